"""Many files in, their results out, on as many processes as pay."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from codemods.findings import CRASHED

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing.context import BaseContext

    from codemods.options import SourceOptions
    from codemods.source import SourceResult

Transform: TypeAlias = "Callable[[bytes, str, SourceOptions], SourceResult]"
"""Bytes and name of a file, and the options, to what becomes of it."""


@dataclass(frozen=True)
class Task:
    """A file to be treated; name: its path, as far as it tells what kind of file it is."""

    data: bytes
    name: str
    options: SourceOptions


Batch = list[tuple[int, Task]]
Answer: TypeAlias = "list[tuple[int, SourceResult]]"

# A file takes about 0.23 ms a KB (vLLM's 24 of 1.1 MB took 250 ms), and starting two processes 60
# ms: that is won back from 0.5 MB on.  LibCST, which each process imports for itself, is no reason
# for more of them.
_TASKS_THAT_PAY = 4
_BYTES_THAT_PAY = 600_000
_BYTES_A_BATCH = 64_000


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def migrate_all(
    tasks: Sequence[Task],
    transform: Transform,
    *,
    jobs: int,
    on_done: Callable[[int], None] = lambda count: None,
    start_method: str | None = None,
) -> list[SourceResult]:
    """The result of each task, in their order.

    A task on which the transform raises, or on which its process dies, gets the finding CRASHED;
    the others are done.
    jobs: processes at most.  on_done: told how many more sources are done, now and then.
    start_method: of `multiprocessing`; None is the cheapest that is safe here.
    """
    size = sum(len(task.data) for task in tasks)
    if jobs <= 1 or len(tasks) < _TASKS_THAT_PAY or size < _BYTES_THAT_PAY:
        results: list[SourceResult] = []
        for task in tasks:
            results.append(_attempt(transform, task))
            on_done(1)
        return results
    batches = _batches(tasks)
    done: dict[int, SourceResult] = {}

    def take(answer: Answer) -> None:
        done.update(answer)
        on_done(len(answer))

    context = _context(start_method)
    if context.get_start_method() == "fork":
        import codemods.engine  # noqa: F401  # once, before there are several of us
    _run(batches, transform, min(jobs, len(batches)), context, take)
    for index, task in enumerate(tasks):  # only after a process died
        if index not in done:
            _run([[(index, task)]], transform, 1, context, take)
    died = _crashed("the process that treated it died")
    return [done.get(index, died) for index in range(len(tasks))]


def _batches(tasks: Sequence[Task]) -> list[Batch]:
    """Largest first, small ones together: no process is left alone with a large one at the end."""
    batches: list[Batch] = []
    room = 0
    for index in sorted(range(len(tasks)), key=lambda index: -len(tasks[index].data)):
        size = len(tasks[index].data)
        if size > room:
            batches.append([])
            room = _BYTES_A_BATCH
        batches[-1].append((index, tasks[index]))
        room -= size
    return batches


def _attempt(transform: Transform, task: Task) -> SourceResult:
    try:
        return transform(task.data, task.name, task.options)
    except Exception as error:  # a defect of the tool must not cost the other files
        return _crashed(f"{type(error).__name__}: {error}")


def _crashed(reason: str) -> SourceResult:
    from codemods.source import SourceResult

    return SourceResult(None, (CRASHED.finding(f"the tool failed on this file: {reason}"),), True)


def _migrate_batch(transform: Transform, batch: Batch) -> Answer:
    return [(index, _attempt(transform, task)) for index, task in batch]


def _run(
    batches: list[Batch],
    transform: Transform,
    processes: int,
    context: BaseContext,
    take: Callable[[Answer], None],
) -> None:
    """Hand answers over as they come; where a process dies, those under way never come."""
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    with _no_current_folder():
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_die_on_interrupt)
        futures: list[Future[Answer]] = []
        try:
            for batch in batches:
                futures.append(pool.submit(_migrate_batch, transform, batch))
            for future in as_completed(futures):
                with suppress(BrokenProcessPool):
                    take(future.result())
        except BrokenProcessPool:
            pass  # it broke while work was still handed out
        except BaseException:
            _stop(pool)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _die_on_interrupt() -> None:
    """In a worker: Ctrl-C ends it at once and in silence; the message is the parent's."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool without waiting for the file that each is at."""
    for process in list((pool._processes or {}).values()):
        process.terminate()


def _context(start_method: str | None) -> BaseContext:
    import multiprocessing

    return multiprocessing.get_context(start_method or ("fork" if _may_fork() else "spawn"))


def _may_fork() -> bool:
    """Whether this process has one thread, also none that Python does not know of."""
    try:
        return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


@contextmanager
def _no_current_folder() -> Iterator[None]:
    """Processes started meanwhile do not look for modules in the current folder (Python 3.11+)."""
    name = "PYTHONSAFEPATH"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
