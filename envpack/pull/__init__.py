"""Download a release to this machine and run commands in it."""
