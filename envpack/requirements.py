"""A person's requirements file as values: `*.txt` as pip reads it, `*.yml` as conda does."""
