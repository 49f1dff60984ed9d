"""Look at releases: check what is stored, compare two."""
