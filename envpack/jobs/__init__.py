"""Jobs: code, parameters, environment and launcher, described in a file and submitted together."""
