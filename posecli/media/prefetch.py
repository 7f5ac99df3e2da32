"""Work ahead in a thread, by a few items and no more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def prefetch(make: Callable[[], Iterator[T]], depth: int = 4) -> Iterator[T]:
    """Iterate over make() while a thread computes up to `depth` items ahead.

    The iterator is made, advanced and closed in the thread. What it raises is raised here, after the items
    before it. When the consumer stops early, however it does, the thread ends within one item.
    """
    box: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def work() -> None:
        problem: BaseException = StopIteration()
        items = make()
        try:
            for item in items:
                box.put((item, None))
                if stop.is_set():
                    return
        except BaseException as error:
            problem = error
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
        box.put((None, problem))

    thread = threading.Thread(target=work, name="posecli-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, problem = box.get()
            if isinstance(problem, StopIteration):
                return
            if problem is not None:
                raise problem
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        while thread.is_alive():  # make room for a last put that may be waiting
            try:
                box.get(timeout=0.02)
            except queue.Empty:
                thread.join(timeout=0.02)
