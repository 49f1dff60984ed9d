"""The lock: every package of an environment with its URL and SHA-256."""
