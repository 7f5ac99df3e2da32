"""What a benchmark on a paper's data set measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.bench.layouts import LAYOUTS, Layout
from posecli.bench.protocols import AGGREGATIONS, NOTHING, Totals, leak

UNITS = {"p1": "mm", "p2": "mm", "p3": "mm", "velocity": "mm/frame", "pck": "%", "auc": "%"}


@dataclass(frozen=True)
class BenchResult:
    """Measures of a method on a data set.

    bench: a name in `LAYOUTS`. groups: by column of the papers' table, frame-weighted over all clips of it.
    aggregation: whose numbers stand in the table. errors: counts of joint errors of the poses that need no truth
    (P-Agg), see `posecli.bench.scores.histogram`; all zero where poses could not be turned into the camera's axes.
    """

    bench: str
    method: str
    protocol: str
    keypoints: str
    aggregation: str
    groups: dict[str, Totals]
    joints: int
    errors: NDArray[np.int64]
    made_by: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.bench]

    @property
    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = self.made_by.get("settings", {})
        return found

    @property
    def frames(self) -> int:
        """Scored; under "official" some frames of some data sets twice."""
        return sum(totals.frames for totals in self.groups.values())

    def row(self, measure: str = "p1", aggregation: str | None = None) -> list[float]:
        """A value per column; NaN where the data have none."""
        name = aggregation or self.aggregation
        return [self.groups.get(group, NOTHING).mean(name, measure) for group in self.layout.columns]

    def mean(self, measure: str = "p1", aggregation: str | None = None) -> float:
        """The papers' average: of the columns, each counting the same."""
        values = [v for v in self.row(measure, aggregation) if v == v]
        return float(np.mean(values)) if values else float("nan")

    @property
    def aggregations(self) -> tuple[str, ...]:
        found = {name for totals in self.groups.values() for name, _ in totals.sums}
        return tuple(name for name in AGGREGATIONS if name in found)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""

        def values(aggregation: str) -> dict[str, Any]:
            known = [
                m for m in self.layout.measured if self.mean(m, aggregation) == self.mean(m, aggregation)
            ]
            return {
                m: {"mean": self.mean(m, aggregation),
                    "by": dict(zip(self.layout.columns, self.row(m, aggregation), strict=True))}
                for m in known
            }  # fmt: skip

        return {
            "bench": self.bench,
            "method": self.method,
            "protocol": self.protocol,
            "leak": leak(self.layout, self.method, self.protocol),
            "keypoints": self.keypoints,
            "joints": self.joints,
            "headline": self.aggregation,
            "frames": self.frames,
            "units": {m: UNITS[m] for m in self.layout.measured},
            "measured": {name: values(name) for name in self.aggregations},
            "joint_errors_per_10_mm": self.errors.tolist(),
            **{k: v for k, v in self.made_by.items() if k != "method"},
            "seconds": self.seconds,
        }
