"""Settings from a TOML file, for any dataclass of them."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from posecli.errors import InputError, UsageError

Settings = TypeVar("Settings")


def read_settings(kind: type[Settings], path: Path) -> Settings:
    """`kind`, a dataclass, built from the file's entries.

    Raises InputError where the file cannot be read, UsageError for an entry that `kind` has not, and what `kind` raises
    of values.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError, and Python's own of numbers too long
        raise InputError(f"{path} is not TOML: {error}") from error
    except RecursionError:
        raise InputError(f"{path} cannot be read: its values are nested too deep") from None
    described: Any = kind
    known = {f.name for f in fields(described)}
    if unknown := set(values) - known:
        raise UsageError(f"{path}: unknown setting {min(unknown)!r}; one of: {', '.join(sorted(known))}")
    return kind(**values)
