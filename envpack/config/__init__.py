"""What a person has chosen, and the cluster that it is chosen for."""
