"""Other programs and libraries that envpack runs, and the cage for code that packages bring."""
