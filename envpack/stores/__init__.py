"""Where archives and manifests live: a local directory or S3, behind one protocol."""
