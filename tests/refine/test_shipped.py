"""Shipped refiners do on test subjects what their cards say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posecli.bench.open_data import load_benchmark
from posecli.bench.refined import AS_LIFTED, run_refine
from posecli.refine.choose import MadeBy, choose_refiner
from posecli.weights.store import ShippedWeights, sha256, shipped

REFINERS = [w for w in shipped() if w.method == "d3prefiner"]
FRAME_LIFTER = "graformer"
"""Of the lifters one that is quick to ask, and whose answers tremble."""


@pytest.mark.parametrize("weights", REFINERS, ids=lambda w: w.name)
def test_a_shipped_refiner_does_no_harm(weights: ShippedWeights) -> None:
    """No row of its card has an MPJPE more than 1 % above the lifter's own, and every one a calmer motion."""
    card = weights.card.read_text(encoding="utf-8")
    assert sha256(weights.path) in card
    said = [
        [c.strip() for c in line.split("|")[1:-1]]
        for line in card.partition("\n## Test subjects\n")[2].partition("\n## ")[0].splitlines()
        if f"| {weights.name} |" in line
    ]
    assert said, "its card has no table of posecli bench refine"
    for row in said:
        change = [float(cell.partition("(")[2].removesuffix(" %)")) for cell in row[3:7]]
        assert change[0] <= 1.0 and change[3] < 0, row


def test_walking_as_seen_by_a_frame_lifter() -> None:
    """Of people that neither saw: no worse, and calmer than a filter over time leaves it; the refiner is the one that
    is chosen where nobody names one."""
    whole = load_benchmark()
    walking = replace(whole, clips=tuple(c for c in whole.clips if c.action == "walk"))
    chosen = choose_refiner("d3prefiner", made_by=MadeBy(FRAME_LIFTER), device="cpu")
    found = run_refine([FRAME_LIFTER], [str(chosen.record["weights"])], benchmark=walking, device="cpu")
    rows = {row.refiner: row for row in found.rows}
    (refined,) = (row for row in found.rows if row.base)
    assert (refined.refiner, refined.base) == (f"d3prefiner-{FRAME_LIFTER}", FRAME_LIFTER)
    assert refined.change["mpjpe_mm"] < 0 and refined.change["acceleration_mm_s2"] < -30
    assert refined.errors.acceleration_mm_s2 < rows["savgol"].errors.acceleration_mm_s2
    assert rows[AS_LIFTED].errors.jitter > refined.errors.jitter
