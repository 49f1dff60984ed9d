"""Findings about how rows go to Python functions and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.explain.findings import found
from envpack.explain.limits import SMALL_BATCH

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
    records = _records(case)
    sized = [(_batch(node, records), node) for node in _arrow_nodes(case)]
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


def small_arrow_batches(case: Case) -> Iterator[Found]:
    """Yield functions that get very many small Arrow batches, because the setting makes them small."""
    records = _records(case)
    small = [
        node
        for node in _arrow_nodes(case)
        if 0 < records < node.rows / node.tasks and _batch(node, records) < SMALL_BATCH
    ]
    if not small:
        return
    most = max(small, key=lambda node: node.sent)
    per_row = most.sent / most.rows
    yield from found(
        "small-arrow-batches",
        f"{_BATCH}={records} makes Arrow batches of {per_row * records:,.0f} bytes, about "
        f"{most.rows / records:,.0f} of them",
        sum(node.sent for node in small),
        places=[node.stage for node in small],
        quote=most.text,
        advice="more rows in a batch: the function is called, and the batch handed over, less often",
        settings={_BATCH: str(max(int(min(_WANTED_BATCH / per_row, _USUAL_BATCH)), 1))},
    )


def _records(case: Case) -> int:
    """Return the most rows of a batch; 0 sets no bound."""
    records = case.run.number(_BATCH)
    return _USUAL_BATCH if records is None else records


def _arrow_nodes(case: Case) -> list[PythonNode]:
    """Return the steps that send Arrow batches, as far as their rows and bytes are known."""
    arrow = [node for node in case.run.nodes if "Arrow" in node.name or "Pandas" in node.name]
    return [node for node in arrow if node.rows and node.sent and node.tasks]


def _batch(node: PythonNode, records: int) -> float:
    return node.sent / node.rows * _rows(node, records)


def _rows(node: PythonNode, records: int) -> float:
    """Return the rows of a batch: no more than a task has, and all of them where 0 sets no bound."""
    rows = node.rows / node.tasks
    return min(records, rows) if records else rows
