"""Results appear whole or not at all: write under another name, then rename."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from posecli.errors import OutputError


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """An OSError inside the block becomes an OutputError about `path`: full disk, no permission, …"""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {_reason(error)}") from error


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path` (same ending, not yet there); rename it to `path` at the end.

    Whatever leaves the block early, Ctrl-C included, removes the temporary file and leaves an older `path` as
    it was. Missing parent folders are made. An OSError inside the block becomes an OutputError (full disk, no
    permission, …), so read inputs that can fail before entering, or let them raise a PosecliError.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:100]}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        # A file that cannot be removed must not hide why we are here.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_beside(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path` for what is needed on the way to it; removed at the end in any case.

    An OSError inside the block becomes an OutputError about `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:100]}-{secrets.token_hex(4)}.scratch{path.suffix}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def claim(path: Path, *, inputs: Sequence[Path] = (), overwrite: bool = False) -> None:
    """Find out, before minutes of work, that `path` may be written: raises OutputError where it is one of `inputs`,
    exists and may not be overwritten, or its folder cannot be written to.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    if any(path.exists() and given.exists() and path.samefile(given) for given in inputs):
        raise OutputError(f"{path} is the input itself; name another file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; use --overwrite, or another name")
    with scratch_beside(path) as tried:
        tried.touch()


def _reason(error: OSError) -> str:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full; free some space or choose another folder with --out"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "no permission; choose another folder with --out"
        case errno.EISDIR:
            return "a folder of that name is in the way"
        case errno.ENOTDIR | errno.EEXIST:
            return "a file lies where a folder is needed; choose another folder with --out"
    return error.strerror or str(error) or type(error).__name__
