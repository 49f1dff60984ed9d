"""Releases in a store: manifests, tags, the index, where each object is."""
