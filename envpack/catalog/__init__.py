"""Show the releases of a store as a static site, without a server and without requests to other hosts."""
