"""From a linked prefix to one archive: the same bytes for the same lock."""
