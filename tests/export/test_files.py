"""Results appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from posecli.errors import ExitCode, OutputError
from posecli.files import atomic_write, claim


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


def test_what_may_not_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    there = tmp_path / "there.h5"
    there.write_text("hours of rendering")
    (tmp_path / "link.h5").symlink_to(there)
    for path, overwrite, words in (
        (there, False, "exists; use --overwrite"),
        (tmp_path / "link.h5", True, "is the input itself"),
        (tmp_path, True, "is a folder; name a file"),
        (there / "new.h5", True, "a file lies where a folder is needed"),
    ):
        with pytest.raises(OutputError, match=words):
            claim(path, inputs=[] if words.startswith("exists") else [there], overwrite=overwrite)
    claim(tmp_path / "deep" / "new.h5", inputs=[there])
    claim(there, overwrite=True)
    assert there.read_text() == "hours of rendering" and list((tmp_path / "deep").iterdir()) == []


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
