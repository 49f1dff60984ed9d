"""Other programs and libraries that envpack runs."""
