"""Progress on stderr: bars on a terminal, one plain line per step elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from envpack.cli.answer import progress_kind, say_event, warn
from envpack.cli.options import log_to_stderr
from envpack.progress import SILENT, Counted, Lines, Progress, Step, Unit
from envpack.units import human_size
from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as Bars
    from rich.progress import TaskID


def screen(*, quiet: bool, verbose: bool) -> Progress:
    """Return what suits stderr: nothing, bars, plain lines, or the JSON lines that were asked for."""
    if verbose:
        log_to_stderr()
    if quiet:
        return SILENT
    kind = progress_kind()
    if kind == "json":
        return JsonLines()
    if kind == "plain":
        return Plain()
    return Terminal() if sys.stderr.isatty() and not verbose else Plain()


class Plain(Lines):
    """One line for each step when it has ended; warnings stand out where there are colours."""

    def __init__(self) -> None:
        super().__init__(_to_stderr)

    def warn(self, text: str) -> None:
        """Print a warning."""
        warn(text)


class Terminal(Plain):
    """Bars while steps run; each leaves a line behind."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        super().__init__()
        self._bars: Bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[current]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=Console(stderr=True),
            transient=True,
        )
        self._open = 0

    @contextmanager
    def step(self, name: str, *, total: int | None = None, unit: Unit = "items") -> Iterator[Step]:
        """Open a step with a bar of its own."""
        if not self._open:
            self._bars.start()
        self._open += 1
        task = self._bars.add_task(name, total=total or None, amount="", current="")
        bar = _Bar(self._bars, task, unit)
        try:
            yield bar
        finally:
            self._bars.remove_task(task)
            self._open -= 1
            if not self._open:
                self._bars.stop()
        self._bars.console.print(visible(bar.closing(name), lines=True), highlight=False, markup=False)


class _Bar(Counted):
    """A counted step that moves a bar."""

    def __init__(self, bars: Bars, task: TaskID, unit: Unit) -> None:
        super().__init__(unit)
        self._bars = bars
        self._task = task

    def total(self, amount: int) -> None:
        self._bars.update(self._task, total=amount)

    def current(self, text: str) -> None:
        self._bars.update(self._task, current=visible(text).replace("[", "\\["))

    def advance(self, amount: int) -> None:
        super().advance(amount)
        text = human_size(self.done) if self._unit == "bytes" else str(self.done)
        self._bars.update(self._task, completed=self.done, amount=text)


class JsonLines(Progress):
    """One JSON object a line, for CI systems and user interfaces (schema: docs/progress.schema.json)."""

    @contextmanager
    def step(self, name: str, *, total: int | None = None, unit: Unit = "items") -> Iterator[Step]:
        """Write when a step begins, how far it is, and when it has ended."""
        _event("start", step=name, total=total, unit=unit)
        counted = _Reported(name, unit, total)
        try:
            yield counted
        except BaseException:
            _event("end", step=name, ok=False, seconds=round(counted.seconds, 3), text=counted.facts)
            raise
        _event("end", step=name, ok=True, seconds=round(counted.seconds, 3), text=counted.facts)

    def info(self, text: str) -> None:
        """Write a fact."""
        _event("info", text=text)

    def warn(self, text: str) -> None:
        """Write a warning."""
        _event("warning", text=text)


class _Reported(Counted):
    """A counted step that says how far it is, not more often than twice in a second."""

    def __init__(self, name: str, unit: Unit, total: int | None) -> None:
        super().__init__(unit)
        self._name, self._total = name, total
        self._current = ""
        self._told = 0.0

    def total(self, amount: int) -> None:
        self._total = amount

    def current(self, text: str) -> None:
        self._current = text

    def advance(self, amount: int) -> None:
        super().advance(amount)
        if self.seconds - self._told >= _PAUSE:
            self._told = self.seconds
            _event("progress", step=self._name, done=self.done, total=self._total, current=self._current)


_PAUSE = 0.5
"""Seconds between two lines of one step."""


def _event(event: str, **facts: Any) -> None:
    say_event({"event": event, **facts})


def plain(*, quiet: bool) -> Callable[[str], None]:
    """Return what writes the lines of a log: as text, or as JSON lines if those were asked for."""
    if quiet:
        return _drop
    return JsonLines().info if progress_kind() == "json" else _to_stderr


def _drop(_line: str) -> None:
    """Write nothing."""


def _to_stderr(line: str) -> None:
    click.echo(visible(line, lines=True), err=True)
