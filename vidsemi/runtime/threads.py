"""Work in threads, in the order of the items: for functions that mostly run without Python's lock."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from vidsemi.runtime.process import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """The results of all items, in order; as many are worked on at once as there are cores, and one more waits."""
    cores = usable_cores()
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > cores:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
