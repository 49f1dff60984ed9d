"""How fast, how small, how much: envpack beside what people use instead, on the same input in the same run.

One command each: `python -m bench.pack`, `python -m bench.build`, ... (`make bench BENCH=pack`). docs/speed.md
explains what is measured and how.
"""
