"""Findings about how rows go to Python functions and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.explain.findings import found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.explain.findings import Case, Found
    from envpack.explain.run import PythonNode

_ARROW_UDF = "spark.sql.execution.pythonUDF.arrow.enabled"
_BATCH = "spark.sql.execution.arrow.maxRecordsPerBatch"
_USUAL_BATCH = 10_000
_WANTED_BATCH = 64 << 20
"""Bytes of a batch that is neither small nor a risk: Spark 4's own maxBytesPerBatch has this size."""


def pickled_rows(case: Case) -> Iterator[Found]:
    """Yield plain Python functions that get many rows: each row is pickled one way and back."""
    plain = [node for node in case.run.nodes if node.name.startswith("BatchEvalPython") and node.rows]
    if not plain:
        return
    most = max(plain, key=lambda node: node.rows)
    rows = sum(node.rows for node in plain)
    version = case.run.version
    settings = {_ARROW_UDF: "true"} if version is None or version >= (3, 4) else {}
    yield from found(
        "pickled-rows",
        f"plain Python functions got {rows:,} rows, each of them pickled to Python and back",
        rows,
        places=[node.stage for node in plain],
        quote=most.text,
        advice="Arrow carries whole columns: write a pandas_udf, or set this where the function stays as it is",
        settings=settings,
    )


def arrow_batch(case: Case) -> Iterator[Found]:
    """Yield functions whose Arrow batches are so large that they threaten the worker's memory."""
    records = case.run.number(_BATCH)
    records = _USUAL_BATCH if records is None else records
    arrow = [node for node in case.run.nodes if "Arrow" in node.name or "Pandas" in node.name]
    sized = [(_batch(node, records), node) for node in arrow if node.rows and node.sent and node.tasks]
    if not sized:
        return
    size, node = max(sized, key=lambda pair: pair[0])
    per_row = node.sent / node.rows
    yield from found(
        "arrow-batch",
        f"a row has {per_row:,.0f} bytes, so that an Arrow batch of {_rows(node, records):,.0f} rows fills the "
        "worker's memory",
        size,
        places=[node.stage],
        quote=node.text,
        advice="fewer rows in a batch; in Spark 4 spark.sql.execution.arrow.maxBytesPerBatch bounds it by its size",
        settings={_BATCH: str(max(int(_WANTED_BATCH / per_row), 1))},
    )


def _batch(node: PythonNode, records: int) -> float:
    return node.sent / node.rows * _rows(node, records)


def _rows(node: PythonNode, records: int) -> float:
    """Return the rows of a batch: no more than a task has, and all of them where 0 sets no bound."""
    rows = node.rows / node.tasks
    return min(records, rows) if records else rows
