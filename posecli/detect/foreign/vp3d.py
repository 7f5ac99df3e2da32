"""VideoPose3D's 2D archives.

    data_2d_<name>.npz   `positions_2d` {subject: {action: [(T, J, 2) per camera]}} and `metadata` {layout_name,
                         num_joints, keypoints_symmetry, video_metadata {subject: {w, h, fps}}}
    Detectron's own      `boxes`, `keypoints` (per frame [[], (N, 4, 17)]: x, y, logit, probability), `metadata`

Both are pickled inside; `posecli.untrusted_npz` makes nothing of them but containers and numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from posecli.detect.foreign.clip import (
    MOST_BYTES,
    ForeignClip,
    add,
    listed,
    only_known,
    sighting,
)
from posecli.errors import InputError
from posecli.skeleton import COCO17, H36M17, HALPE26
from posecli.untrusted_npz import npz_names, read_npz

_LAYOUTS = {"coco": {17: COCO17}, "h36m": {17: H36M17}, "halpe": {26: HALPE26}}


def read_vp3d(path: Path, wanted: str | None = None) -> ForeignClip:
    """The only sequence of the archive, or the one whose subject is called `wanted` (the video's name)."""
    members = _members(path)
    if "positions_2d" in members:
        return _positions(members, path, wanted)
    if {"keypoints", "boxes"} <= set(members):
        return _detectron(members, path)
    raise InputError(f"{path} holds {listed(sorted(members)) or 'nothing'}, not VideoPose3D's positions_2d")


def _positions(members: dict[str, Any], path: Path, wanted: str | None) -> ForeignClip:
    subjects, metadata = members["positions_2d"], members.get("metadata")
    if not isinstance(subjects, dict):
        raise InputError(f"{path}: positions_2d is not what VideoPose3D writes")
    sequences = {
        f"{subject}/{action}" + (f"/{camera}" if len(cameras) > 1 else ""): (str(subject), points)
        for subject, actions in subjects.items()
        if isinstance(actions, dict)
        for action, cameras in actions.items()
        if isinstance(cameras, list | tuple)
        for camera, points in enumerate(cameras)
    }
    if len(sequences) != 1 and wanted is not None:
        sequences = {k: v for k, v in sequences.items() if Path(v[0]).stem == wanted} or sequences
    if len(sequences) != 1:
        raise InputError(
            f"{path} holds {len(sequences)} sequences ({listed(list(sequences), 4)}); one is lifted at a time: give "
            "the video whose name one of them bears, or an archive of one"
        )
    ((name, (subject, points)),) = sequences.items()
    if not isinstance(points, np.ndarray) or points.ndim != 3 or points.shape[2] not in (2, 3):
        raise InputError(f"{path}: {name} is not an array of frames, joints and x, y")
    about = metadata if isinstance(metadata, dict) else {}
    layout = str(about.get("layout_name", "coco"))
    if layout not in _LAYOUTS:
        raise InputError(f"{path}: joint layout {layout[:40]!r} is unknown; known are {', '.join(_LAYOUTS)}")
    skeleton = only_known(points.shape[1], _LAYOUTS[layout], path)
    videos = about.get("video_metadata")
    about_video = videos.get(subject) if isinstance(videos, dict) else None
    clip = ForeignClip("vp3d", skeleton, size=_size(about_video), fps=_rate(about_video))
    for frame, xy in enumerate(points):
        scores = xy[:, 2] if points.shape[2] == 3 else None
        add(clip, frame, [sighting(xy[:, :2], scores, skeleton.num_joints, f"{path}: frame {frame}")], path)
    return clip


def _detectron(members: dict[str, Any], path: Path) -> ForeignClip:
    frames = members["keypoints"]
    if not isinstance(frames, list):
        raise InputError(f"{path}: keypoints is not what VideoPose3D's infer_video.py writes")
    clip = ForeignClip(
        "vp3d", COCO17, size=_size(members.get("metadata")), fps=_rate(members.get("metadata"))
    )
    for number, frame in enumerate(frames):
        where = f"{path}: frame {number}"
        people = frame[1] if isinstance(frame, list | tuple) and len(frame) == 2 else None
        people = [] if people is None or len(people) == 0 else people
        seen = []
        for person in people:
            if not isinstance(person, np.ndarray) or person.shape != (4, 17):
                raise InputError(f"{where}: a person is not (4, 17) numbers")
            seen.append(sighting(person[:2].T, person[3], 17, where))
        add(clip, number, seen, path)
    return clip


def _members(path: Path) -> dict[str, Any]:
    """The archive's arrays by name, those that are not wanted as None; object arrays as containers of plain arrays."""
    names = npz_names(path)
    wanted = tuple(n for n in ("positions_2d", "metadata", "boxes", "keypoints") if n in names)
    return {**dict.fromkeys(names), **read_npz(path, *wanted, most_bytes=MOST_BYTES)}


def _size(about: Any) -> tuple[int, int] | None:
    sides = (about.get("w"), about.get("h")) if isinstance(about, dict) else (None, None)
    good = all(isinstance(side, int) and 0 < side < 1 << 16 for side in sides)
    return (int(sides[0]), int(sides[1])) if good and sides[0] is not None and sides[1] is not None else None


def _rate(about: Any) -> float | None:
    rate = about.get("fps") if isinstance(about, dict) else None
    return float(rate) if isinstance(rate, int | float) and 0 < rate < 1000 else None
