"""Files and directories of this machine: caches, workspaces, writing and removing."""
