"""What `ablations.py` measured, as one table with what seeds alone do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ablation_rows import Bench, Group, Result, Row, read, results_of, write

SAME = 2.0  # times the standard error of a difference; what is less is called nothing

FIGURES = tuple((where, key) for where in ("open", "paired") for key in ("mpjpe_mm", "p_mpjpe_mm"))
HEADS = (
    "",
    "open",
    "difference",
    "paired",
    "difference",
    "runs",
    "parameters",
    "steps",
    "H, W",
    "CPU (s)",
    "weights",
)
ABOUT = """# Ablations

By `python scripts/ablations.py`, rows in `scripts/ablations.toml`: small networks, barely trained, through the whole of
lifting. Errors in mm, MPJPE / P-MPJPE, on `posecli bench open` (test subjects) and on what BlazePose said of rendered
validation subjects; means over runs of different seeds, then the difference to the first row of the group, of runs of
the same seeds. CPU: seconds of processor time that the first training took. Weights: of the first."""


def write_table(groups: dict[str, Group], bench: Bench) -> None:
    """Everything that was measured so far, as Markdown."""
    found = {(g.name, row.name): results_of(row, bench) for g in groups.values() for row in g.rows}
    parts = [ABOUT]
    for group in groups.values():
        noise = noise_of(group, found)
        if lines := group_lines(group, bench, found, noise):
            table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
            several = {row.run() for row in group.rows if row.settings and found[group.name, row.name]}
            words = f"{group.question}.{f' {in_words(noise)}' if len(several) > 1 else ''}"
            parts.append(f"## {group.name} (issue {group.issue})\n\n{words}\n\n{table}")
    write(bench.out / "ablations.md", "\n\n".join(parts) + "\n")


Found = dict[tuple[str, str], dict[int, Result]]


@dataclass(frozen=True)
class Noise:
    """Standard deviation of `FIGURES` of a difference of two runs of one seed; source: where that is from, in words."""

    spread: tuple[float, ...]
    source: str


def noise_of(group: Group, found: Found) -> Noise | None:
    """From rows that were run with several seeds beside the first of the group; where these are few, from how runs
    of one row differ. None where no row was run twice."""
    runs = {row.name: found[group.name, row.name] for row in group.rows if row.settings is not None}
    first = found[group.name, group.rows[0].name]
    paired = [
        [differences(runs[row.name][s], first[s]) for s in sorted(first.keys() & runs[row.name].keys())]
        for row in group.rows[1:]
        if row.name in runs
    ]
    alone = [[figures(result) for result in seeds.values()] for seeds in runs.values()]
    for samples, factor, least, source in (
        (paired, 1.0, 4, "as such differences do"),
        (alone, math.sqrt(2), 1, "√2 times that of runs of one row"),
    ):
        several = [s for s in samples if len(s) > 1]
        freedom = sum(len(s) - 1 for s in several)
        if freedom >= least:
            squares = [
                sum((len(s) - 1) * statistics.variance(v[k] for v in s) for s in several) for k in range(4)
            ]
            words = f"{source}, {freedom} degrees of freedom"
            return Noise(tuple(factor * math.sqrt(s / freedom) for s in squares), words)
    return None


def in_words(noise: Noise | None) -> str:
    """What to think of a difference of the group."""
    if noise is None:
        return "One run each: how far they scatter with the seed is not known, so differences have a question mark."
    a, b, c, d = noise.spread
    return (
        f"With the seed a difference of two runs scatters by {a:.2f} / {b:.2f} mm open, {c:.2f} / {d:.2f} paired "
        f"(standard deviation; {noise.source}); ≈: below {SAME:g} times that over the square root of the number of "
        "runs, so not to be told from nothing."
    )


def figures(result: Result) -> list[float]:
    return [result[where][key] for where, key in FIGURES]


def differences(result: Result, first: Result) -> list[float]:
    return [a - b for a, b in zip(figures(result), figures(first), strict=True)]


def means(rows: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]


def group_lines(group: Group, bench: Bench, found: Found, noise: Noise | None) -> list[list[str]]:
    """Headings, rule and a line per measured row of the group; none where nothing was measured."""
    shown = [(row, runs) for row in group.rows if (runs := found[group.name, row.name])]
    zero, paper = group.rows[0], any(row.paper for row, _ in shown)
    first = found[group.name, zero.name]
    heads = [*HEADS, "paper, H36M", "as the paper?"] if paper else [*HEADS]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)] if shown else []
    for row, runs in shown:
        common = sorted(first.keys() & runs.keys()) if row != zero else []
        apart = means([differences(runs[s], first[s]) for s in common]) if common else []
        # Two measurements of the same weights differ by what was asked for and by nothing else.
        same = row.weights == zero.weights and (bool(row.weights) or row.run() == zero.run())
        scatter = noise.spread if noise else (math.inf,) * 4
        least = [0.0 if same or not common else SAME * s / math.sqrt(len(common)) for s in scatter]
        mark = " ≈" if noise else " ?"
        said = [
            f"{mm:+.1f}{mark if abs(mm) < limit else ''}" for mm, limit in zip(apart, least, strict=False)
        ]
        a, b, c, d = means([figures(result) for result in runs.values()])
        seed, result = min(runs.items())
        made = read(bench.out / "runs" / row.run(seed) / "made.json") if row.settings else None
        line = [
            row.name, f"{a:.1f} / {b:.1f}", " / ".join(said[:2]), f"{c:.1f} / {d:.1f}", " / ".join(said[2:]),
            str(len(runs)), f"{result['parameters']:,}", str(row.settings["steps"]) if row.settings else "",
            f"{result['hypotheses']}, {result['steps']}", f"{made['cpu_s']:.0f}" if made and made["cpu_s"] else "",
            f"`{result['sha256'][:12]}`",
        ]  # fmt: skip
        if paper:
            line.append(" / ".join(f"{v:g}" for v in row.paper))
            line.append(verdict(apart[0], least[0], row, zero) if apart and row.paper and zero.paper else "")
        lines.append(line)
    return lines


def verdict(mm: float, least: float, row: Row, zero: Row) -> str:
    """Whether MPJPE on the open benchmark moves as the paper says."""
    if abs(mm) < least:
        return "not seen" if math.isfinite(least) else "?"
    return "yes" if (mm > 0) == (row.paper[0] > zero.paper[0]) else "NO, the other way"
