"""Owns the threads that read ranges, and the first failure among them. Knows no tensors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Job = TypeVar("Job")


def in_parallel(jobs: Iterable[Job], work: Callable[[Job], None], threads: int) -> None:
    """Do `work` on every job, at most `threads` at once, taking jobs in their order. Returns when all are done.

    The first exception of a job is raised here, and no further job is begun. An iterator that blocks in
    its `next` is how a caller holds the readers back.
    """
    waiting: Iterator[Job] = iter(jobs)
    taking = threading.Lock()
    failures: list[BaseException] = []

    def read() -> None:
        while not failures:
            try:
                with taking:
                    job = next(waiting, None)
                if job is None:
                    return
                work(job)
            except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
                failures.append(error)

    crew = [threading.Thread(target=read, name=f"reader-{number}", daemon=True) for number in range(max(1, threads))]
    for reader in crew:
        reader.start()
    for reader in crew:
        # One reader may sit in a socket until its stall limit: a failed load must not wait for it.
        while reader.is_alive() and not failures:
            reader.join(0.05)
    if failures:
        raise failures[0]
