"""Micro-batches without a timer: whatever was queued while the worker was busy is its next batch.

Nothing waits for a batch to fill. One worker thread does all model calls and all writes, so that a batch costs one call
of each model and one commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from remint.errors import ServiceError

Job = TypeVar("Job")
Result = TypeVar("Result")

_MOST_QUEUED: Final = 4_096
_MOST_WEIGHT: Final = 4_096  # rows a batch, beyond its first job


class OverloadedError(ServiceError):
    """More requests wait than could be answered soon, or the service is stopping."""

    code = "overloaded"


class Batcher(Generic[Job, Result]):
    """``submit`` a job, get its result. ``handle``, in the worker, answers each job with a result or an error."""

    def __init__(
        self, handle: Callable[[Sequence[Job]], Sequence[Result | Exception]], *, weight: Callable[[Job], int]
    ) -> None:
        self._handle = handle
        self._weight = weight
        self._queue: deque[tuple[Job, asyncio.Future[Result]]] = deque()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="remint-worker")
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, job: Job) -> Result:
        """Raises what ``handle`` answered for the job, or OverloadedError where it was not taken."""
        if self._closed or len(self._queue) >= _MOST_QUEUED:
            raise OverloadedError("stopping" if self._closed else "too many requests wait")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._queue.append((job, future))
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._drain())
        return await future

    async def close(self) -> None:
        """Finish what is queued, take no more."""
        self._closed = True
        if self._task is not None:
            await self._task
        self._executor.shutdown()

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            batch = self._take()
            jobs = [job for job, _ in batch]
            try:
                results = await loop.run_in_executor(self._executor, self._handle, jobs)
            except Exception as error:  # noqa: BLE001 - a bug must fail its batch's requests, not hang them for ever
                results = [error] * len(jobs)
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # the client went away
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _take(self) -> list[tuple[Job, asyncio.Future[Result]]]:
        batch = [self._queue.popleft()]
        weight = self._weight(batch[0][0])
        while self._queue and weight + self._weight(self._queue[0][0]) <= _MOST_WEIGHT:
            batch.append(self._queue.popleft())
            weight += self._weight(batch[-1][0])
        return batch
