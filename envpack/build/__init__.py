"""From a requirements file to a release: the pipeline and what belongs to one build."""
