"""Look at releases: check the stored files, compare two releases."""
