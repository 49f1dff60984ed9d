"""The command line: flags become values, values become one library call, results become text."""
