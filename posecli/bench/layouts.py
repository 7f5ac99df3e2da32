"""The tables that papers print: of which data set, with which columns, of which measures."""

from __future__ import annotations

from dataclasses import dataclass

from posecli.datasets import h36m, humaneva, mpi3dhp
from posecli.errors import UsageError


@dataclass(frozen=True)
class Layout:
    """columns: what a result is split by, in the papers' order; short: their headings. printed: measures of the
    table, key → title; measured: those and others, key → title with unit. people: whose frames are scored.

    overlap: which windows count a frame that lies in two, in the releases ("all", "last"). batch: windows that the
    releases score together, for P-Best. agreed: methods whose published rows are of J-Agg, which takes the true root
    and camera.
    """

    bench: str
    title: str
    columns: tuple[str, ...]
    short: tuple[str, ...]
    printed: dict[str, str]
    measured: dict[str, str]
    people: str
    overlap: str = "all"
    batch: int = 4
    agreed: tuple[str, ...] = ()


_PLAIN = {"p1": "P1 (mm)", "p2": "P2 (mm)", "p3": "N-MPJPE (mm)", "velocity": "MPJVE (mm/frame)"}

_PEOPLE = tuple(f"{action} {person}" for action in humaneva.ACTIONS for person in humaneva.PEOPLE)

LAYOUTS = {
    layout.bench: layout
    for layout in (
        Layout(
            "h36m", "Human3.6M", h36m.ACTIONS, h36m.SHORT, {"p1": "P1", "p2": "P2"}, _PLAIN, "S9 and S11",
            agreed=("ddhpose", "d3dp"),
        ),
        Layout(
            "3dhp", "MPI-INF-3DHP", mpi3dhp.SEQUENCES, mpi3dhp.SEQUENCES,
            {"pck": "PCK", "auc": "AUC", "p1": "MPJPE"},
            {"pck": "PCK@150 (%)", "auc": "AUC (%)", "p1": "MPJPE (mm)"},
            "the six test sequences", overlap="last", batch=2, agreed=("ddhpose", "d3dp"),
        ),
        Layout(
            "humaneva", "HumanEva-I", _PEOPLE, _PEOPLE,
            {"p2": "P-MPJPE"}, {**_PLAIN, "p1": "MPJPE (mm)", "p2": "P-MPJPE (mm)"},
            "the validation takes of S1, S2 and S3",
        ),
    )
}  # fmt: skip


def layout_of(bench: str) -> Layout:
    """Raises UsageError for a name that is none of `LAYOUTS`."""
    if bench not in LAYOUTS:
        raise UsageError(f"unknown benchmark {bench!r}; one of: {', '.join(LAYOUTS)}")
    return LAYOUTS[bench]
