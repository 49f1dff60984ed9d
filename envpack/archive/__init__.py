"""From a prefix to one archive: conda-pack chooses and rewrites, envpack writes the bytes."""
