"""Progress on stderr: bars on a terminal, one plain line per step elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from envpack.cli import colours
from envpack.cli.options import log_to_stderr
from envpack.progress import SILENT, Progress, Step, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bars
    from rich.progress import TaskID


def screen(*, quiet: bool, verbose: bool) -> Progress:
    """Return what suits stderr: nothing, bars, or plain lines."""
    if verbose:
        log_to_stderr()
    if quiet:
        return SILENT
    return Terminal() if sys.stderr.isatty() and not verbose else Plain()


def human_size(amount: float) -> str:
    """Return bytes as people read them: `12.3 MB`."""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


class _Counted(Step):
    """A step that remembers how far it is, for its closing line."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._text = ""
        self.done = 0

    def advance(self, amount: int) -> None:
        with self._lock:
            self.done += amount

    def note(self, text: str) -> None:
        self._text = text

    def closing(self, name: str) -> str:
        """Return the line that stays: the step, what it did, how long it took."""
        if self._unit == "bytes":
            facts = [human_size(self.done)] if self.done else []
            facts += [self._text] if self._text else []
        else:
            facts = [self._text or str(self.done)] if self._text or self.done else []
        return f"{name:<10} {time.monotonic() - self._start:6.1f} s  {', '.join(facts)}".rstrip()


class Plain(Progress):
    """One line for each step when it has ended, for logs and pipes."""

    @contextmanager
    def step(self, name: str, *, total: int | None = None, unit: Unit = "items") -> Iterator[Step]:  # noqa: ARG002
        """Open a step."""
        counted = _Counted(unit)
        yield counted
        click.echo(counted.closing(name), err=True)

    def info(self, text: str) -> None:
        """Print a fact."""
        click.echo(text, err=True)

    def warn(self, text: str) -> None:
        """Print a warning."""
        click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {text}", err=True, color=colours())


class Terminal(Plain):
    """Bars while steps run; each leaves a line behind."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bars: Bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
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
        task = self._bars.add_task(name, total=total or None, amount="")
        bar = _Bar(self._bars, task, unit)
        try:
            yield bar
        finally:
            self._bars.remove_task(task)
            self._open -= 1
            if not self._open:
                self._bars.stop()
        self._bars.console.print(bar.closing(name), highlight=False, markup=False)


class _Bar(_Counted):
    """A counted step that moves a bar."""

    def __init__(self, bars: Bars, task: TaskID, unit: Unit) -> None:
        super().__init__(unit)
        self._bars = bars
        self._task = task

    def total(self, amount: int) -> None:
        self._bars.update(self._task, total=amount)

    def advance(self, amount: int) -> None:
        super().advance(amount)
        text = human_size(self.done) if self._unit == "bytes" else str(self.done)
        self._bars.update(self._task, completed=self.done, amount=text)
