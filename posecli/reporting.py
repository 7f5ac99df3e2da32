"""How long-running work tells its caller where it stands, without knowing of terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called with the number of units done so far, and with how many there are where that is known only now."""

    def __call__(self, done: int, total: int | None = None) -> None: ...


class Reporter(Protocol):
    """Receives progress and warnings. `cli` draws them; the default keeps silent."""

    def stage(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Advance]: ...

    def warn(self, message: str) -> None: ...

    def note(self, message: str) -> None: ...


class Silent:
    """A reporter that says nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        yield lambda done, total=None: None

    def warn(self, message: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass
