"""What papers printed. It stands in one file, assets/published.json, each row with its source; nothing here is
measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from posecli.bench.layouts import layout_of
from posecli.bench.result import BenchResult


@dataclass(frozen=True)
class Published:
    """A row of a paper's table. values: in the order of the layout's columns, empty where the paper prints only the
    mean. printed_mean: as the paper has it, None where it prints none. hypotheses, steps: None where the paper's
    method has none, or does not say."""

    method: str
    label: str
    keypoints: str
    measure: str
    hypotheses: int | None
    steps: int | None
    printed_mean: float | None
    values: tuple[float, ...]
    source: str
    note: str | None

    @property
    def row_mean(self) -> float | None:
        """Mean of the printed row, which is not always the printed mean."""
        return sum(self.values) / len(self.values) if self.values else None

    @property
    def mean(self) -> float:
        """The printed mean; that of the row where none is printed."""
        found = self.row_mean if self.printed_mean is None else self.printed_mean
        return float("nan") if found is None else found

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {**asdict(self), "row_mean": self.row_mean}


@cache
def published(bench: str) -> tuple[Published, ...]:
    """Every row of a data set that posecli knows of, as printed."""
    layout_of(bench)
    text = (files("posecli") / "assets" / "published.json").read_text(encoding="utf-8")
    rows = json.loads(text)[bench]
    return tuple(Published(**{**row, "values": tuple(row["values"])}) for row in rows)


def chosen(bench: str, method: str | None = None, keypoints: str | None = None) -> tuple[Published, ...]:
    """The published rows of a method (None: of all) on these keypoints (None: any)."""
    return tuple(
        row for row in published(bench) if method in (None, row.method) and keypoints in (None, row.keypoints)
    )


def counterpart(result: BenchResult, measure: str) -> Published | None:
    """The published row to hold a result against: same keypoints, hypotheses and steps where the paper has that row,
    else None."""
    rows = [row for row in chosen(result.bench, result.method, result.keypoints) if row.measure == measure]
    network = result.made_by.get("config", {})
    if result.method == "diffpose-official" and result.bench == "h36m":
        kind = "video" if network.get("frames", 1) > 1 else "frame"
        rows = [row for row in rows if row.label.endswith(kind)]
    frames = f"{network.get('frames')} frames"
    windowed = result.method in ("mixste", "stcformer")
    rows = [row for row in rows if frames in row.label or not (windowed or " frames" in row.label)]
    used = result.settings
    kinds = {"annot3", "univ_annot3"} - {used.get("truth")} if "truth" in used else set()
    rows = [row for row in rows if not any(f"truth {kind}" in str(row.note) for kind in kinds)]
    fitting = [
        row
        for row in rows
        if row.hypotheses in (None, used.get("hypotheses")) and row.steps in (None, used.get("steps"))
        and "baseline" not in row.label
    ]  # fmt: skip
    return fitting[0] if len(fitting) == 1 else None


def sources(bench: str, rows: Sequence[Published]) -> list[str]:
    """Where published rows stand, and what is to be known of them; rows of one table and note together."""
    titles = layout_of(bench).printed
    found: dict[tuple[str, str, str, str | None], list[str]] = {}
    for row in rows:
        key = (row.label, row.keypoints, row.source, row.note)
        found.setdefault(key, []).append(titles[row.measure])
    return [
        f"{', '.join(names)} {label}, {keypoints}: {source}" + (f"; {note}" if note else "")
        for (label, keypoints, source, note), names in found.items()
    ]
