"""Cards say of shipped weights what `posecli bench open` finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from posecli import defaults
from posecli.bench.open import run_open
from posecli.bench.open_data import load_benchmark
from posecli.weights.store import ShippedWeights, sha256, shipped


def table(card: str) -> dict[tuple[str, str], dict[str, str]]:
    """(by, name) → heading → cell, of the open benchmark's table; empty where the card has none."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if "|" in line]
    heads = next((row for row in rows if row[:3] == ["by", "", "MPJPE (mm)"]), [])
    return {
        (row[0], row[1]): dict(zip(heads, row, strict=True))
        for row in rows
        if len(row) == len(heads) and row[0] in ("action", "viewpoint", "all")
    }


@pytest.mark.parametrize("weights", shipped(), ids=lambda w: w.name)
def test_the_open_benchmark_gives_the_cards_figures(weights: ShippedWeights) -> None:
    """To 0.1 mm: all of it for the default method, walking for the others."""
    card = weights.card.read_text(encoding="utf-8")
    assert sha256(weights.path) in card
    said, whole = table(card), load_benchmark()
    if not said:
        pytest.skip("its card has no open benchmark")
    rows = (("all", "all"), ("viewpoint", "phone"))
    if weights.method != defaults.METHOD:
        whole = replace(whole, clips=tuple(c for c in whole.clips if c.action == "walk"))
        rows = (("action", "walk"),)
    result = run_open(method=weights.method, weights=weights.path, benchmark=whole, device="cpu")
    for by, name in rows:
        found = result.overall if by == "all" else result.by(by)[name]
        assert found.mpjpe_mm == pytest.approx(float(said[by, name]["MPJPE (mm)"]), abs=0.1)
        assert found.p_mpjpe_mm == pytest.approx(float(said[by, name]["P-MPJPE (mm)"]), abs=0.1)
        assert found.frames == int(said[by, name]["frames"])
