"""Do work in separate processes, which end with their work, on a signal, or with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

from envpack.redact import guard_output, meet_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Task = TypeVar("Task")
Answer = TypeVar("Answer")

_ENDING = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a process."""


def side_by_side(
    work: Callable[[Task], Answer], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[Task, Answer | None]]:
    """Yield each task with the answer of `work`, `jobs` at a time, in no fixed order.

    When a process is killed, tasks without an answer are done again, one at a time; the answer is None where it is
    killed again. `work` is a module's function that raises nothing. To end it, KeyboardInterrupt is raised in it
    once, so that it can clean up.
    """
    left = list(tasks)
    try:
        for task, answer in _in_processes(work, left, jobs):
            left.remove(task)
            yield task, answer
    except BrokenProcessPool:
        for task in tuple(left):
            try:
                yield from _in_processes(work, [task], 1)
            except BrokenProcessPool:
                yield task, None


def _in_processes(
    work: Callable[[Task], Answer], tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[Task, Answer]]:
    # A forked process would inherit rattler's threads half alive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max_workers=jobs, mp_context=context, initializer=_begin)
    try:
        running = {pool.submit(_to_end_or_exit, work, task): task for task in tasks}
        for done in as_completed(running):
            yield running[done], done.result()
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        # Those with nothing left to do end by themselves: one that is killed then may hold the lock that others
        # wait for.
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Make this process end on a signal, or when the one that started it is gone; filter its output."""
    guard_output()
    meet_environment(os.environ)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _to_end_or_exit(work: Callable[[Task], Answer], task: Task) -> Answer:
    """Do the work; on a signal to end, interrupt it and exit.

    The pool would treat an exception as an answer, and assign more work.
    """
    told: list[int] = []

    def end(number: int, _frame: object) -> None:
        told.append(number)
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    answer = None
    with suppress(KeyboardInterrupt):  # objects in its traceback clean up when it is deleted
        try:
            for number in _ENDING:
                signal.signal(number, end)
            answer = work(task)
        finally:
            for number in () if told else _ENDING:
                signal.signal(number, signal.SIG_DFL)
    if told:  # also where code that cannot be interrupted swallowed it
        os._exit(1)
    return cast("Answer", answer)
