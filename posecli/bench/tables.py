"""The papers' tables: what was published, what was measured, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posecli.bench.layouts import LAYOUTS, layout_of
from posecli.bench.protocols import NOTHING, leak
from posecli.bench.published import Published, counterpart
from posecli.bench.report import Table
from posecli.bench.result import BenchResult
from posecli.errors import InputError, UsageError

FORMATS = ("rich", "markdown", "latex", "csv", "json")
MARKED = 0.5
"""Differences from the published number beyond this (mm, or points of a percentage) are marked: papers print one
decimal."""

NOTE_MARK = "!"
_WORDS = ("", "method", "2D")
_ENDS = ("printed mean", "mean of row")


def published_table(bench: str, rows: Sequence[Published]) -> Table:
    """Rows as printed, each with the mean of its row beside the printed mean."""
    layout = layout_of(bench)
    lines = tuple(
        (layout.printed[r.measure], f"{r.label} (published)", r.keypoints, *_printed(r, len(layout.columns)))
        for r in rows
    )
    return Table((*_WORDS, *layout.short, *_ENDS), lines)


def result_table(result: BenchResult) -> Table:
    """For each printed measure: the published row where there is one, the measured row, and the difference."""
    lines: list[tuple[str, ...]] = []
    for measure, title in result.layout.printed.items():
        row, mean = result.row(measure), result.mean(measure)
        printed = counterpart(result, measure)
        if printed is not None:
            lines.append((title, f"{printed.label} (published)", *_printed(printed, len(row))))
        lines.append((title, f"{result.method} (measured, {result.protocol}, {result.aggregation})",
                      *map(_one, row), "", _two(mean)))  # fmt: skip
        if printed is not None:
            apart = [_minus(a, b) for a, b in zip(row, printed.values or [None] * len(row), strict=True)]
            lines.append((title, "difference", *map(_signed, apart), _signed(_minus(mean, printed.printed_mean)),
                          _signed(_minus(mean, printed.row_mean))))  # fmt: skip
    return Table(("", "method", *result.layout.short, *_ENDS), tuple(lines))


def aggregation_table(result: BenchResult) -> Table:
    """What each way to make one pose of the hypotheses gives: means over the columns."""
    names = result.layout.measured
    lines = tuple((name, *(_two(result.mean(m, name)) for m in names)) for name in result.aggregations)
    return Table(("hypotheses", *names.values()), lines)


def sweep_table(results: Sequence[BenchResult]) -> Table:
    """Means over the columns for every number of hypotheses and steps and every way to make one pose of them, each
    beside the published one where there is one."""
    printed = results[0].layout.printed
    lines = []
    for result in results:
        used = result.settings
        for name in result.aggregations:
            cells = [str(used.get("hypotheses")), str(used.get("steps")), name]
            for measure in printed:
                row = counterpart(result, measure) if name == result.aggregation else None
                cells += [_two(result.mean(measure, name)), _one(row.mean if row else None)]
            lines.append(tuple(cells))
    heads = [part for title in printed.values() for part in (title, f"{title} published")]
    return Table(("H", "W", "pose", *heads), tuple(lines))


def remarks(result: BenchResult) -> list[str]:
    """What must be known to read the table, a line each."""
    layout = result.layout
    said = [
        f"{result.frames} frames of {layout.people} scored over {result.joints} joints, protocol {result.protocol}"
    ]
    if taken := leak(layout, result.method, result.protocol):
        said.append(f"takes from the truth: {taken}")
    kind, looks = result.settings.get("truth"), result.settings.get("truth_looks_like")
    if kind is not None:
        said.append(f"truth {kind}; rows of the other truth cannot be compared")
        if looks != kind:
            said.append(f"BEWARE: the file says {kind}, the bodies in it say {looks or 'neither'}")
    absent = [g for g in layout.columns if not result.groups.get(g, NOTHING).sums]
    if absent:
        said.append(f"nothing of: {', '.join(absent)}; the mean is of the others")
    if "p1" in layout.measured and result.mean("p1") != result.mean("p1"):
        said.append("the cameras do not follow from these files: only P-MPJPE is scored")
    found = [(title, counterpart(result, m)) for m, title in layout.printed.items()]
    for title, row in found:
        if row is None:
            said.append(f"{title}: no published row with these keypoints and settings")
        else:
            said.append(f"{title} published: {row.source}" + (f"; {row.note}" if row.note else ""))
    if any(row is not None for _, row in found):
        said.append(f"{NOTE_MARK} marks a difference of more than {MARKED}")
    return said


def compare(first: dict[str, Any], second: dict[str, Any]) -> tuple[Table, list[str]]:
    """Two result files of `run_bench` side by side, and in words where their making differs.

    Raises InputError where one is no such result, or of another data set.
    """
    if "runs" in first or "runs" in second:
        raise InputError("one holds several runs; measure with one number of hypotheses and of steps")
    layout = LAYOUTS.get(str(first.get("bench")))
    if layout is None or first.get("bench") != second.get("bench"):
        raise InputError(
            "they are no results of one data set, of posecli bench h36m, 3dhp or humaneva with --out"
        )
    lines: list[tuple[str, ...]] = []
    for measure, title in layout.printed.items():
        rows = [_measured(content, measure) for content in (first, second)]
        for name, short in zip(layout.columns, layout.short, strict=True):
            a, b = (row["by"].get(name) for row in rows)
            lines.append((title, short, _one(a), _one(b), _signed(_minus(b, a))))
        a, b = (row["mean"] for row in rows)
        lines.append((title, "mean", _two(a), _two(b), _signed(_minus(b, a))))
    keys = ("method", "protocol", "keypoints", "headline", "joints", "frames", "weights", "weights_sha256", "settings",
            "posecli", "git", "device", "machine")  # fmt: skip
    apart = [f"{k}: {first.get(k)} | {second.get(k)}" for k in keys if first.get(k) != second.get(k)]
    return Table(("", "of", "a", "b", "b - a"), tuple(lines)), apart


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
    """Columns downwards, methods across: for a narrow window."""
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
        found: dict[str, Any] = content["measured"][content["headline"]].get(
            measure, {"mean": None, "by": {}}
        )
        if not isinstance(found["by"], dict):
            raise TypeError
        numbers = [found["mean"], *found["by"].values()]
        if not all(n is None or isinstance(n, int | float) for n in numbers):
            raise TypeError
        return found
    except (KeyError, TypeError, AttributeError):
        raise InputError("it is no result of posecli bench h36m, 3dhp or humaneva with --out") from None


def _printed(row: Published, columns: int) -> tuple[str, ...]:
    values = row.values or (None,) * columns
    return (*map(_one, values), _one(row.printed_mean), _two(row.row_mean))


def _words(table: Table) -> int:
    """Columns before the first of numbers."""
    return next((k for k, name in enumerate(table.headings) if name not in (*_WORDS, "of")), 1)


def _one(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.1f}"


def _two(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.2f}"


def _signed(value: float) -> str:
    if value != value:
        return "-"
    return f"{value:+.1f}" + (NOTE_MARK if abs(value) > MARKED else "")


def _minus(b: float | None, a: float | None) -> float:
    return float("nan") if a is None or b is None else b - a


def _escaped(cell: str) -> str:
    return "".join(
        {"%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_"}.get(c, c) for c in cell.replace("\n", " ")
    )
