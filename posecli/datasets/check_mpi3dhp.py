"""Whether a folder holds MPI-INF-3DHP as the evaluations need it, and of which truth."""

from __future__ import annotations

from pathlib import Path

from posecli.datasets import mpi3dhp
from posecli.datasets.findings import Finding
from posecli.errors import InputError

_OWNER = (
    "MPI-INF-3DHP is given by the Max Planck Institute for Informatics, for research, at "
    "vcai.mpi-inf.mpg.de/3dhp-dataset"
)
_MADE = {
    "annot3": "this file of it is linked in the READMEs of github.com/paTRICK-swk/D3DP and Andyen512/DDHPose",
    "univ_annot3": "this file of it is made or linked as the README of github.com/paTRICK-swk/P-STMO says",
}


def check_3dhp(folder: Path) -> list[Finding]:
    """At least one of the two test archives must be there; training archives are looked at where they are."""
    said: list[Finding] = []
    there = [kind for kind in mpi3dhp.ANNOTATIONS if (folder / mpi3dhp.archive_file(kind)).is_file()]
    for kind, where in _MADE.items():
        name = mpi3dhp.archive_file(kind)
        if kind in there:
            said += _test(folder / name, kind)
        else:
            users = "D3DP, DDHPose" if kind == "annot3" else "P-STMO, STCFormer"
            text = f"missing, truth {kind} ({users}); {_OWNER}; {where}"
            said.append(Finding(None if there else False, name, text))
    for kind in mpi3dhp.ANNOTATIONS:
        path = folder / mpi3dhp.train_file(kind)
        said.append(
            _train(path) if path.is_file() else Finding(None, path.name, "missing; only training needs it")
        )
    return said


def _test(path: Path, kind: str) -> list[Finding]:
    try:
        sequences = mpi3dhp.read_test(path)
    except InputError as error:
        return [Finding(False, path.name, str(error).removeprefix(f"{path}: "))]
    said = []
    names = [s.name for s in sequences]
    if absent := [name for name in mpi3dhp.SEQUENCES if name not in names]:
        said.append(Finding(False, path.name, f"no {', '.join(absent)}"))
    counts = {s.name: int(s.valid.sum()) for s in sequences}
    text = ", ".join(f"{s.name} {counts[s.name]} of {len(s)}" for s in sequences)
    papers = dict(zip(mpi3dhp.SEQUENCES, mpi3dhp.VALID, strict=True))
    good = counts == papers
    if not good:
        text += f"; the evaluations count {', '.join(map(str, mpi3dhp.VALID))}"
    said.append(Finding(good, f"{kind} frames", f"that count: {text}"))
    counted = [s for s in sequences if s.valid.any()]
    found = mpi3dhp.annotation_of(tuple(counted)) if counted else None
    sizes = ", ".join(f"{s.knee_to_neck_mm:.0f}" for s in counted)
    far = ", ".join(f"{s.reprojection_px:.0f}" for s in counted)
    text = f"knee to neck {sizes} mm (univ_annot3: all 920), projection {far} px from the keypoints: "
    text += f"{found}" if found else "neither annot3 nor univ_annot3"
    if found != kind:
        text += f"; the file's name says {kind}"
    return [*said, Finding(found == kind, f"{kind} truth", text)]


def _train(path: Path) -> Finding:
    try:
        frames = mpi3dhp.read_train(path)
    except InputError as error:
        return Finding(False, path.name, str(error).removeprefix(f"{path}: "))
    total = sum(sum(cameras.values()) for cameras in frames.values())
    text = f"{len(frames)} sequences, {total} frames over all cameras"
    if absent := [name for name in mpi3dhp.TRAIN if name not in frames]:
        return Finding(False, path.name, f"{text}; no {', '.join(absent)}")
    odd = [name for name, cameras in frames.items() if sorted(cameras) != sorted(mpi3dhp.TRAIN_CAMERAS)]
    if odd:
        return Finding(
            False, path.name, f"{text}; {odd[0]} does not have cameras {', '.join(mpi3dhp.TRAIN_CAMERAS)}"
        )
    return Finding(True, path.name, f"{text}, {len(mpi3dhp.TRAIN_CAMERAS)} cameras each")
