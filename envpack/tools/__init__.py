"""What envpack runs or loads that is not its own: uv, rattler, git, the processors."""
