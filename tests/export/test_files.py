"""Results appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from posecli.errors import ExitCode, OutputError
from posecli.files import atomic_write


def test_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "clip.npz"
    with atomic_write(target) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == target.parent and temporary.suffix == ".npz"
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_leaves_the_old_file_when_stopped(tmp_path: Path, stop: type[BaseException]) -> None:
    target = tmp_path / "clip.bvh"
    target.write_text("old")
    with pytest.raises(stop), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise stop
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_an_output_error() -> None:
    """/dev/full answers every write with ENOSPC."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(OutputError, match="the disk is full") as caught, atomic_write("clip.bvh"):
        Path("/dev/full").write_text("x")
    assert caught.value.code is ExitCode.OUTPUT


def test_obstacles_are_named(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").mkdir()
    with (
        pytest.raises(OutputError, match="a folder of that name is in the way"),
        atomic_write(tmp_path / "clip.bvh") as temporary,
    ):
        temporary.write_text("x")
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="a file lies where a folder is needed"),
        atomic_write(tmp_path / "file" / "clip.bvh") as temporary,
    ):
        temporary.write_text("x")
    with pytest.raises(OutputError, match="no permission"), atomic_write(tmp_path / "x.bvh"):
        raise PermissionError(errno.EACCES, "denied")
