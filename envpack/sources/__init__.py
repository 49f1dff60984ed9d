"""Build wheels in the cage from a project, a source distribution or a git repository."""
