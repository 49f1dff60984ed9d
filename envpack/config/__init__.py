"""The user's configuration, and the cluster that environments are built for."""
