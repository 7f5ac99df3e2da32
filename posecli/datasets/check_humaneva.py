"""Whether a folder holds HumanEva-I as the evaluations need it."""

from __future__ import annotations

from pathlib import Path

from posecli.datasets import humaneva
from posecli.datasets.check_takes import held, seen
from posecli.datasets.findings import Finding
from posecli.datasets.videopose3d import Takes, Views
from posecli.errors import InputError

_OWNER = "HumanEva-I is given to registered researchers at humaneva.is.tue.mpg.de"
_SCRIPT = (
    "made of the download by data/ConvertHumanEva.m (15 joints) and data/prepare_data_humaneva.py of "
    "github.com/facebookresearch/VideoPose3D"
)


def check_humaneva(folder: Path) -> list[Finding]:
    """Motion and exact keypoints must be there; other keypoints are looked at where they are."""
    said: list[Finding] = []
    path = folder / humaneva.POSITIONS
    if not path.is_file():
        said.append(Finding(False, path.name, f"missing; {_OWNER}, and this file is {_SCRIPT}"))
    true = humaneva.keypoints_file(humaneva.TRUE_KEYPOINTS)
    if not (folder / true).is_file():
        said.append(Finding(False, true, f"missing; {_SCRIPT}"))
    if not path.is_file():
        return said
    try:
        positions = held(path, (*humaneva.TRAIN, *humaneva.TEST), humaneva.read_positions)
    except InputError as error:
        return [*said, Finding(False, path.name, str(error).removeprefix(f"{path}: "))]
    for group, subjects in (("test", humaneva.TEST), ("training", humaneva.TRAIN)):
        # evaluating needs no training subjects
        bad = False if group == "test" else None
        if missing := [s for s in subjects if s not in positions]:
            said.append(Finding(bad, group, f"no {', '.join(missing)}"))
            continue
        takes = sum(len(positions[s]) for s in subjects)
        frames = len(humaneva.CAMERAS) * sum(len(w) for s in subjects for w in positions[s].values())
        names = ", ".join(humaneva.ACTIONS)
        said.append(
            Finding(True, f"{group} frames", f"{names}: {takes} chunks, {frames} frames over all cameras")
        )
        for subject in subjects:
            actions = {humaneva.action_of(take) for take in positions[subject]}
            if absent := [a for a in humaneva.ACTIONS if a not in actions]:
                said.append(Finding(bad, subject, f"no takes of {', '.join(absent)}"))
    about, views = seen(
        folder, "data_2d_humaneva15_", lambda kind: humaneva.read_views(folder, kind, positions),
        needed=(humaneva.TRUE_KEYPOINTS,), cameras=len(humaneva.CAMERAS), unit="chunk",
    )  # fmt: skip
    said += about
    if humaneva.TRUE_KEYPOINTS in views:
        said.append(_cameras(positions, views[humaneva.TRUE_KEYPOINTS]))
    return said


def _cameras(positions: Takes, exact: Views) -> Finding:
    try:
        found, worst = humaneva.find_cameras(positions, exact)
    except InputError as error:
        return Finding(False, "cameras", str(error))
    if found:
        return Finding(True, "cameras", f"follow from the exact projection, {worst:.3f} px off at most")
    return Finding(
        None,
        "cameras",
        f"do not follow from the exact projection ({worst:.2f} px off): only P-MPJPE is scored",
    )
