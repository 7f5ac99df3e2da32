"""How long-running work tells its caller where it stands, without knowing of terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of units done so far."""


class Reporter(Protocol):
    """Receives progress and warnings. `cli` draws them; the default keeps silent."""

    def stage(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Advance]: ...

    def warn(self, message: str) -> None: ...

    def note(self, message: str) -> None: ...


class Silent:
    """A reporter that says nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        yield lambda done: None

    def warn(self, message: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass
