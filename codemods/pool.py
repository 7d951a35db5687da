"""Many sources in, their results out, on as many processes as pay."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from codemods.findings import CRASHED
from codemods.source import SourceOptions, SourceResult

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor
    from multiprocessing.context import BaseContext

Transform = Callable[[bytes, SourceOptions], SourceResult]
Batch = list[tuple[int, bytes]]
Answer = list[tuple[int, SourceResult]]

# Two processes take 0.36 s for 6 files of 46 KB where one takes 0.51 s; starting them costs 26 ms
# (fork) to 190 ms (spawn, which imports LibCST again).
_SOURCES_THAT_PAY = 4
_BYTES_THAT_PAY = 100_000
_BYTES_A_BATCH = 64_000


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def migrate_all(
    sources: Sequence[bytes],
    options: SourceOptions,
    transform: Transform,
    *,
    jobs: int,
    on_done: Callable[[int], None] = lambda count: None,
    start_method: str | None = None,
) -> list[SourceResult]:
    """The result of each source, in their order.

    A source on which the transform raises, or on which its process dies, gets the finding CRASHED;
    the others are done.
    jobs: processes at most.  on_done: told how many more sources are done, now and then.
    start_method: of `multiprocessing`; None is the cheapest that is safe here.
    """
    size = sum(map(len, sources))
    if jobs <= 1 or len(sources) < _SOURCES_THAT_PAY or size < _BYTES_THAT_PAY:
        results: list[SourceResult] = []
        for data in sources:
            results.append(_attempt(transform, data, options))
            on_done(1)
        return results
    batches = _batches(sources)
    done: dict[int, SourceResult] = {}

    def take(answer: Answer) -> None:
        done.update(answer)
        on_done(len(answer))

    context = _context(start_method)
    _run(batches, options, transform, min(jobs, len(batches)), context, take)
    for index, data in enumerate(sources):  # only after a process died
        if index not in done:
            _run([[(index, data)]], options, transform, 1, context, take)
    died = _crashed("the process that treated it died")
    return [done.get(index, died) for index in range(len(sources))]


def _batches(sources: Sequence[bytes]) -> list[Batch]:
    """Largest first, small ones together: no process is left alone with a large one at the end."""
    batches: list[Batch] = []
    room = 0
    for index in sorted(range(len(sources)), key=lambda index: -len(sources[index])):
        size = len(sources[index])
        if size > room:
            batches.append([])
            room = _BYTES_A_BATCH
        batches[-1].append((index, sources[index]))
        room -= size
    return batches


def _attempt(transform: Transform, data: bytes, options: SourceOptions) -> SourceResult:
    try:
        return transform(data, options)
    except Exception as error:  # a defect of the tool must not cost the other files
        return _crashed(f"{type(error).__name__}: {error}")


def _crashed(reason: str) -> SourceResult:
    return SourceResult(None, (CRASHED.finding(f"the tool failed on this file: {reason}"),), True)


def _migrate_batch(transform: Transform, options: SourceOptions, batch: Batch) -> Answer:
    return [(index, _attempt(transform, data, options)) for index, data in batch]


def _run(
    batches: list[Batch],
    options: SourceOptions,
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
                futures.append(pool.submit(_migrate_batch, transform, options, batch))
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
