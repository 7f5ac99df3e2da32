"""What checks of archives in VideoPose3D's layout share: which subjects there are, and whose keypoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from posecli.datasets.findings import Finding
from posecli.datasets.videopose3d import Takes, Views
from posecli.errors import InputError
from posecli.untrusted_npz import read_npz


def held(path: Path, subjects: Sequence[str], read: Callable[[Path, tuple[str, ...]], Takes]) -> Takes:
    """Motion of those of `subjects` that the archive holds at all. read: the data set's `read_positions`. Raises
    InputError."""
    found = read_npz(path, "positions_3d")["positions_3d"]
    return read(path.parent, tuple(s for s in subjects if isinstance(found, dict) and s in found))


def seen(
    folder: Path, prefix: str, read: Callable[[str], Views], *, needed: Sequence[str], cameras: int, unit: str
) -> tuple[list[Finding], dict[str, Views]]:
    """What is to be said of every file of keypoints in `folder`, and what is in the good ones: kind → views.

    prefix: of the files' names, before the kind. read: views of a kind. needed: kinds that must be good; others may lie
    there for other uses. unit: what a take is called.
    """
    said, good = [], {}
    for file in sorted(folder.glob(f"{prefix}*.npz")):
        kind = file.stem.removeprefix(prefix)
        try:
            views = read(kind)
        except InputError as error:
            bad = False if kind in needed else None
            said.append(Finding(bad, file.name, str(error).removeprefix(f"{file}: ")))
            continue
        joints = next((v[0].shape[1] for takes in views.values() for v in takes.values()), 0)
        said.append(Finding(True, file.name, f"{joints} joints, {cameras} cameras, every {unit}"))
        good[kind] = views
    return said, good
