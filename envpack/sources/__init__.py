"""From a source to a wheel: a team's own project, a source distribution, a git repository; built in the cage."""
