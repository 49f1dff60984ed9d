"""Read Spark's event log of an application: what its environment cost and what to change."""
