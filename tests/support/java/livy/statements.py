"""What ReplDriver runs: each line it reads is a statement in JSON, each line it writes a statement's output."""

import ast
import contextlib
import io
import json
import sys

from pyspark.sql import SparkSession

names = {"__name__": "__main__", "spark": SparkSession.builder.getOrCreate()}
sys.stdout.write("ready\n")
sys.stdout.flush()
for line in sys.stdin:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            for node in ast.parse(json.loads(line)).body:
                exec(compile(ast.Interactive([node]), "statement", "single"), names)  # noqa: S102
        answer = {"status": "ok", "data": {"text/plain": printed.getvalue()}}
    except Exception as error:  # noqa: BLE001
        answer = {"status": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": []}
    sys.stdout.write(json.dumps({**answer, "execution_count": 0}) + "\n")
    sys.stdout.flush()
