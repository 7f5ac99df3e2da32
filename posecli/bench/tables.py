"""The papers' tables: what was published, what was measured, and how far they are apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from posecli.bench.h36m import H36MResult
from posecli.bench.protocols import LEAKS
from posecli.bench.report import Table
from posecli.datasets.h36m import ACTIONS, SHORT
from posecli.errors import InputError, UsageError

FORMATS = ("rich", "markdown", "latex", "csv", "json")
TITLES = {"p1": "P1", "p2": "P2"}
MARKED_MM = 0.5
"""Differences from the published number beyond this are marked: papers print one decimal."""

NOTE_MARK = "!"


@dataclass(frozen=True)
class Published:
    """A row of a paper's table. actions: mm, in the order of `ACTIONS`. printed_mean: as the paper has it."""

    method: str
    label: str
    keypoints: str
    measure: str
    hypotheses: int | None
    steps: int | None
    printed_mean: float
    actions: tuple[float, ...]
    source: str
    note: str | None

    @property
    def row_mean(self) -> float:
        """Mean of the printed row, which is not always the printed mean."""
        return sum(self.actions) / len(self.actions)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "row_mean": self.row_mean}


@cache
def published_h36m() -> tuple[Published, ...]:
    """Every row of Human3.6M that posecli knows of, as printed."""
    text = (files("posecli") / "assets" / "published.json").read_text(encoding="utf-8")
    return tuple(Published(**{**row, "actions": tuple(row["actions"])}) for row in json.loads(text)["h36m"])


def chosen(method: str | None = None, keypoints: str | None = None) -> tuple[Published, ...]:
    """The published rows of a method (None: of all) on these keypoints (None: any)."""
    return tuple(
        row for row in published_h36m() if method in (None, row.method) and keypoints in (None, row.keypoints)
    )


def counterpart(result: H36MResult, measure: str) -> Published | None:
    """The published row to hold a result against: same keypoints, hypotheses and steps where the paper has that row,
    else None."""
    settings = result.made_by.get("settings", {})
    rows = [row for row in chosen(result.method, result.keypoints) if row.measure == measure]
    if result.method == "diffpose-official":
        network = result.made_by.get("config", {})
        kind = "video" if network.get("frames", 1) > 1 else "frame"
        rows = [row for row in rows if row.label.endswith(kind)]
    if result.method in ("mixste", "stcformer"):
        frames = result.made_by.get("config", {}).get("frames")
        rows = [row for row in rows if f"{frames} frames" in row.label]
    fitting = [
        row
        for row in rows
        if row.hypotheses in (None, settings.get("hypotheses")) and row.steps in (None, settings.get("steps"))
        and "baseline" not in row.label
    ]  # fmt: skip
    return fitting[0] if len(fitting) == 1 else None


def published_table(rows: Sequence[Published]) -> Table:
    """Rows as printed, each with the mean of its row beside the printed mean."""
    lines = tuple(
        (TITLES[r.measure], f"{r.label} (published)", r.keypoints, *map(_mm, r.actions), _mm(r.printed_mean),
         _means(r.row_mean))
        for r in rows
    )  # fmt: skip
    return Table(("", "method", "2D", *SHORT, "printed mean", "mean of row"), lines)


def result_table(result: H36MResult) -> Table:
    """For P1 and P2: the published row where there is one, the measured row, and the difference."""
    lines: list[tuple[str, ...]] = []
    for measure, title in TITLES.items():
        row, mean = result.row(measure), result.mean(measure)
        printed = counterpart(result, measure)
        if printed is not None:
            lines.append((title, f"{printed.label} (published)", *map(_mm, printed.actions),
                          _mm(printed.printed_mean), _means(printed.row_mean)))  # fmt: skip
        lines.append((title, f"{result.method} (measured, {result.protocol}, {result.aggregation})",
                      *map(_mm, row), "", _means(mean)))  # fmt: skip
        if printed is not None:
            apart = [a - b for a, b in zip(row, printed.actions, strict=True)]
            lines.append((title, "difference", *map(_signed, apart), _signed(mean - printed.printed_mean),
                          _signed(mean - printed.row_mean)))  # fmt: skip
    return Table(("", "method", *SHORT, "printed mean", "mean of row"), tuple(lines))


def aggregation_table(result: H36MResult) -> Table:
    """What each way to make one pose of the hypotheses gives: means over the actions, mm."""
    names = {"p1": "P1", "p2": "P2", "p3": "N-MPJPE", "velocity": "MPJVE (mm/frame)"}
    lines = tuple((name, *(_means(result.mean(m, name)) for m in names)) for name in result.aggregations)
    return Table(("hypotheses", *names.values()), lines)


def remarks(result: H36MResult) -> list[str]:
    """What must be known to read the table, a line each."""
    said = [
        f"{result.frames} frames of S9 and S11 scored over {result.joints} joints, protocol {result.protocol}"
    ]
    if result.protocol == "official" and result.method in LEAKS:
        said.append(f"takes from the truth: {LEAKS[result.method]}")
    if absent := [a for a, v in zip(ACTIONS, result.row(), strict=True) if v != v]:
        said.append(f"no takes of: {', '.join(absent)}; the mean is of the others")
    found = [(m, counterpart(result, m)) for m in TITLES]
    for measure, row in found:
        if row is None:
            said.append(f"{TITLES[measure]}: no published row with these keypoints and settings")
        else:
            said.append(f"{TITLES[measure]} published: {row.source}" + (f"; {row.note}" if row.note else ""))
    if any(row is not None for _, row in found):
        said.append(f"{NOTE_MARK} marks a difference of more than {MARKED_MM} mm")
    return said


def sources(rows: Sequence[Published]) -> list[str]:
    """Where published rows stand, and what is to be known of them."""
    lines = [
        f"{TITLES[row.measure]} {row.label}, {row.keypoints}: {row.source}"
        + (f"; {row.note}" if row.note else "")
        for row in rows
    ]
    return list(dict.fromkeys(lines))


def compare(first: dict[str, Any], second: dict[str, Any]) -> tuple[Table, list[str]]:
    """Two result files of `bench h36m` side by side, and in words where their making differs.

    Raises InputError where one is no such result.
    """
    lines: list[tuple[str, ...]] = []
    for measure, title in TITLES.items():
        rows = [_measured(content, measure) for content in (first, second)]
        for name, short in zip(ACTIONS, SHORT, strict=True):
            a, b = (row["actions"].get(name) for row in rows)
            lines.append((title, short, _mm(a), _mm(b), _signed(_minus(b, a))))
        a, b = (row["mean"] for row in rows)
        lines.append((title, "mean", _means(a), _means(b), _signed(_minus(b, a))))
    keys = ("method", "protocol", "keypoints", "headline", "joints", "frames", "weights", "weights_sha256", "settings",
            "posecli", "git", "device", "machine")  # fmt: skip
    apart = [f"{k}: {first.get(k)} | {second.get(k)}" for k in keys if first.get(k) != second.get(k)]
    return Table(("", "action", "a", "b", "b - a"), tuple(lines)), apart


def latex(table: Table) -> str:
    """A tabular; needs booktabs."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(_escaped(cell) for cell in cells) + r" \\"

    columns = "l" * _words(table) + "r" * (len(table.headings) - _words(table))
    return "\n".join([
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(table.headings), r"\midrule",
        *map(line, table.rows), r"\bottomrule", r"\end{tabular}",
    ])  # fmt: skip


def upright(table: Table) -> Table:
    """Actions downwards, methods across: for a narrow window."""
    words = _words(table)
    headings = ("", *("\n".join(part for part in row[:words] if part) for row in table.rows))
    rows = tuple(
        (table.headings[k], *(row[k] for row in table.rows)) for k in range(words, len(table.headings))
    )
    return Table(headings, rows)


def check_format(name: str) -> None:
    """Raises UsageError for a name that is none of `FORMATS`."""
    if name not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}, not {name!r}")


def _measured(content: dict[str, Any], measure: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = content["measured"][content["headline"]][measure]
        if not isinstance(found["actions"], dict):
            raise TypeError
        numbers = [found["mean"], *found["actions"].values()]
        if not all(n is None or isinstance(n, int | float) for n in numbers):
            raise TypeError
        return found
    except (KeyError, TypeError):
        raise InputError("it is no result of `posecli bench h36m --out`") from None


def _words(table: Table) -> int:
    """Columns before the first action."""
    return next((k for k, name in enumerate(table.headings) if name == SHORT[0]), 1)


def _mm(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.1f}"


def _means(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2f}"


def _signed(value: float) -> str:
    if value != value:
        return "-"
    return f"{value:+.1f}" + (NOTE_MARK if abs(value) > MARKED_MM else "")


def _minus(b: float | None, a: float | None) -> float:
    return float("nan") if a is None or b is None else b - a


def _escaped(cell: str) -> str:
    return "".join(
        {"%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_"}.get(c, c) for c in cell.replace("\n", " ")
    )
