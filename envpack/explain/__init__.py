"""Read Spark's event log of an application and say what its environment cost and what to change."""
