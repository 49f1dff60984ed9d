"""Run rivals side by side: fresh processes, round by round, medians after a warm-up that watches memory."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Command = "Sequence[str | Path]"

_EVERY = 0.02
"""Seconds between two looks at the memory."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One way to do the job."""

    name: str
    commands: Sequence[Sequence[str | Path]]
    """Run one after the other; together they are timed."""
    variables: Mapping[str, str]
    """Their whole environment."""
    before: Callable[[], object] = lambda: None
    """Sets the scene, untimed."""
    after: Callable[[], Mapping[str, float]] = dict
    """Looks at what was made, untimed; returns facts by name, such as `size`."""
    only: int | None = None
    """How many rounds to take part in, if not in all."""


@dataclass(kw_only=True)
class Taken:
    """What one rival took."""

    rival: str
    rounds: list[list[float]] = field(default_factory=list)
    """Seconds of wall time of each command in each round, the warm-up not counted."""
    processor: list[float] = field(default_factory=list)
    """Seconds of processor time of all commands in each round, of all cores together."""
    peak_memory: int = 0
    """Bytes, of the whole process tree at its highest, as seen in the warm-up."""
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Seconds of all commands together."""
        return statistics.median(map(sum, self.rounds))

    @property
    def parts(self) -> list[float]:
        """The median of each command."""
        return [statistics.median(seconds) for seconds in zip(*self.rounds, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "rival": self.rival,
            "median": round(self.median, 4),
            "seconds": [round(sum(seconds), 4) for seconds in self.rounds],
            **({"parts": [round(value, 4) for value in self.parts]} if len(self.parts) > 1 else {}),
            "processor": round(statistics.median(self.processor), 4),
            "peak_memory": self.peak_memory,
            **self.facts,
        }


class Failed(Exception):
    """A command of a rival did not end well."""


def compare(rivals: Sequence[Rival], *, rounds: int = 5) -> list[Taken]:
    """Let each rival run once to warm up, then `rounds` times; every round has all rivals, one after the other.

    So what else happens on the machine hits all of them alike. Raises Failed when a command fails.
    """
    taken = {rival.name: Taken(rival=rival.name) for rival in rivals}
    for number in range(rounds + 1):
        for rival in rivals:
            if rival.only is not None and number > rival.only:
                continue
            rival.before()
            os.sync()  # what another has left to be written would slow this one
            used = _processor_seconds()
            seconds, peak = _run(rival, watched=number == 0)
            if number:
                taken[rival.name].processor.append(_processor_seconds() - used)
                taken[rival.name].rounds.append(seconds)
            else:
                taken[rival.name].peak_memory = peak
            taken[rival.name].facts.update(rival.after())
            _say(f"  {'warm-up' if number == 0 else f'round {number}'}  {sum(seconds):8.2f} s  {rival.name}")
    return list(taken.values())


def _processor_seconds() -> float:
    """Return what ended child processes have used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(rival: Rival, *, watched: bool) -> tuple[list[float], int]:
    """Run a rival's commands; return the seconds of each and, if they are watched, the peak memory."""
    seconds, peak = [], 0
    with tempfile.TemporaryFile() as output:
        for command in rival.commands:
            start = time.monotonic()
            process = subprocess.Popen(
                [str(word) for word in command],
                env=dict(rival.variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            watch = _Watch(process.pid) if watched else None
            code = process.wait()
            seconds.append(time.monotonic() - start)
            peak = max(peak, watch.peak()) if watch else 0
            if code:
                output.seek(0)
                text = output.read().decode(errors="replace")
                raise Failed(f"{' '.join(map(str, command))} ended with {code}:\n{text}")
    return seconds, peak


class _Watch:
    """Adds up the resident memory of a process and of all it starts, again and again.

    Pages that processes share are counted for each of them, so this is rather too much than too little.
    """

    def __init__(self, pid: int) -> None:
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, args=[pid], daemon=True)
        self._thread.start()

    def peak(self) -> int:
        """Stop watching and return the highest sum, in bytes."""
        self._ended.set()
        self._thread.join()
        return self._peak

    def _look(self, pid: int) -> None:
        try:
            root = psutil.Process(pid)
        except psutil.NoSuchProcess:
            return
        while not self._ended.wait(_EVERY):
            self._peak = max(self._peak, sum(_resident(process) for process in [root, *_below(root)]))


def _below(root: psutil.Process) -> list[psutil.Process]:
    try:
        found: list[psutil.Process] = root.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    else:
        return found


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
