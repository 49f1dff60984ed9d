"""What a Spark launcher needs to start with a packed Python: settings as data, then as text."""
