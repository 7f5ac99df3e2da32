"""Whether a folder holds Human3.6M as the evaluations need it."""

from __future__ import annotations

from pathlib import Path

from posecli.datasets import h36m
from posecli.datasets.check_takes import held, seen
from posecli.datasets.findings import Finding
from posecli.datasets.videopose3d import Takes
from posecli.errors import InputError

_OWNER = "Human3.6M is given to registered researchers at vision.imar.ro/human3.6m"
_SCRIPT = "made of the download by data/prepare_data_h36m.py of github.com/facebookresearch/VideoPose3D"
_CPN = "linked in DATASETS.md of github.com/facebookresearch/VideoPose3D"
_HR = "in the data folder that github.com/lojol2327/DiffuPose links to; only DiffuPose wants it (16 joints)"


def check_h36m(folder: Path) -> list[Finding]:
    """Motion, exact and CPN's keypoints must be there; other keypoints are looked at where they are."""
    said: list[Finding] = []
    path = folder / h36m.POSITIONS
    if not path.is_file():
        said.append(Finding(False, path.name, f"missing; {_OWNER}, and this file is {_SCRIPT}"))
    for name, needed, where in (
        (h36m.keypoints_file("gt"), True, _SCRIPT),
        (h36m.keypoints_file("cpn"), True, _CPN),
        (h36m.keypoints_file("hr"), False, _HR),
    ):
        if not (folder / name).is_file():
            said.append(Finding(False if needed else None, name, f"missing; {where}"))
    if not path.is_file():
        return said
    try:
        positions = held(path, (*h36m.TRAIN, *h36m.TEST), h36m.read_positions)
    except InputError as error:
        return [*said, Finding(False, path.name, str(error).removeprefix(f"{path}: "))]
    said += _subjects(positions)
    about, views = seen(
        folder, "data_2d_h36m_", lambda kind: h36m.read_views(folder, kind, positions),
        needed=(h36m.TRUE_KEYPOINTS, "cpn_ft_h36m_dbb"), cameras=len(h36m.CAMERAS), unit="take",
    )  # fmt: skip
    said += about
    if h36m.TRUE_KEYPOINTS in views:
        try:
            _, worst = h36m.find_cameras(positions, views[h36m.TRUE_KEYPOINTS])
            said.append(
                Finding(True, "cameras", f"follow from the exact projection, {worst:.5f} px off at most")
            )
        except InputError as error:
            said.append(Finding(False, "cameras", str(error)))
    return said


def _subjects(positions: Takes) -> list[Finding]:
    said = []
    for group, subjects, frames in (
        ("test", h36m.TEST, h36m.TEST_FRAMES),
        ("training", h36m.TRAIN, h36m.TRAIN_FRAMES),
    ):
        if missing := [s for s in subjects if s not in positions]:
            # evaluating needs no training subjects
            said.append(Finding(False if group == "test" else None, group, f"no {', '.join(missing)}"))
            continue
        counted = len(h36m.CAMERAS) * sum(len(w) for s in subjects for w in positions[s].values())
        takes = sum(len(positions[s]) for s in subjects)
        text = f"{', '.join(subjects)}: {takes} takes, {counted} frames over all cameras"
        if counted != frames:
            text += f"; the evaluations' logs say {frames}"
        said.append(Finding(counted == frames, f"{group} frames", text))
        for subject in subjects:
            actions = {h36m.action_of(take) for take in positions[subject]}
            if absent := [a for a in h36m.ACTIONS if a not in actions]:
                said.append(Finding(False, subject, f"no takes of {', '.join(absent)}"))
            if odd := sorted(actions - set(h36m.ACTIONS)):
                said.append(Finding(False, subject, f"unknown actions: {', '.join(odd)}"))
    return said
