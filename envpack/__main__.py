"""Let `python -m envpack` run the command line."""

from envpack.cli import main

main()
