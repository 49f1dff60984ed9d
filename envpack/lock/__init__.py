"""The lock: every package of an environment by address and SHA-256."""
