"""Show what a store holds as a static site: no server, no request to anywhere else."""
