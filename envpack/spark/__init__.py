"""Compute what a launcher needs to run a job in a release."""
