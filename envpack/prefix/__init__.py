"""The prefix: link a lock into a directory, and find out what activating it would set."""
