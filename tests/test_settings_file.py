"""Settings files: what is no TOML, or no setting, ends in one clear error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from posecli.errors import InputError, UsageError
from posecli.settings_file import read_settings


@dataclass(frozen=True)
class Some:
    width: int = 1
    names: tuple[str, ...] = ()


def test_entries_become_settings(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("width = 8")
    assert read_settings(Some, tmp_path / "s.toml") == Some(width=8)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"width = ", "is not TOML"),
        (b"width = 8 # \xff", "is not TOML"),
        (b"width = " + b"9" * 5000, "is not TOML: Exceeds the limit"),
        (b"width = " + b"[" * 500 + b"]" * 500, "cannot be read: its values are nested too deep"),
        (b"a = " + b"{a=" * 500 + b"1" + b"}" * 500, "cannot be read: its values are nested too deep"),
    ],
)
def test_what_cannot_be_read(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_bytes(content)
    with pytest.raises(InputError, match=rf"s\.toml {says}"):
        read_settings(Some, tmp_path / "s.toml")


def test_missing_files_and_unknown_entries(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        read_settings(Some, tmp_path / "absent")
    (tmp_path / "s.toml").write_text("height = 1")
    with pytest.raises(UsageError, match="unknown setting 'height'; one of: names, width"):
        read_settings(Some, tmp_path / "s.toml")
