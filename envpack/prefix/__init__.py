"""The prefix: install a lock into a directory, and find out what activation would set."""
