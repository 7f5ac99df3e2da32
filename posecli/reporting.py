"""How long-running work tells its caller where it stands, without knowing of terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of units done so far."""


class Reporter(Protocol):
    """Receives progress and warnings. `cli` draws them; the default keeps silent."""

    def stage(self, name: str, total: int | None, unit: str) -> _Stage: ...

    def warn(self, message: str) -> None: ...

    def note(self, message: str) -> None: ...


class _Stage(Protocol):
    """Context manager of one stage of work, giving the function to call as it goes on."""

    def __enter__(self) -> Advance: ...

    def __exit__(self, *args: object) -> bool | None: ...


class Silent:
    """A reporter that says nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        yield lambda done: None

    def warn(self, message: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass
