"""Accuracy is read from cards, and from nothing that only looks like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from posecli.methods import METHODS
from posecli.weights import store
from posecli.weights.figures import OpenFigures, open_figures

TABLE = """| by |  | MPJPE (mm) | P-MPJPE (mm) | frames |
| --- | --- | ---: | ---: | ---: |
| action | walk | 62.6 | 42.7 | 915 |
| all | all | 86.1 | 60.9 | 7576 |
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"# card\n\nBy `posecli bench open`: people.\n\n{TABLE}", OpenFigures(86.1, 60.9)),
        (f"# card\n\n{TABLE}", None),  # whose figures these are is not said
        ("# card\n\nBy `posecli bench open`: people.\n\n## Later\n\n" + TABLE, None),
        ("By `posecli bench open`:\n\n" + TABLE.replace("86.1", "good"), None),
        ("By `posecli bench open`:\n\n" + TABLE.replace("| all | all ", "| all "), None),
        (f"By `posecli bench open --weights runs/2/w.safetensors`:\n\n{TABLE}", OpenFigures(86.1, 60.9)),
        (f"By `posecli bench open --keypoints true`:\n\n{TABLE}", None),
        (
            f"`posecli bench open` has no heatmaps.\n\n## Open\n\nBy `posecli bench open`:\n\n{TABLE}",
            OpenFigures(86.1, 60.9),
        ),
        ("nothing", None),
    ],
)
def test_the_line_over_all_clips(text: str, expected: OpenFigures | None, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text(text, encoding="utf-8")
    assert open_figures(card) == expected


def test_shipped_cards_tell_and_missing_ones_do_not(tmp_path: Path) -> None:
    figures = [open_figures(weights.card) for weights in store.shipped() if weights.method in METHODS]
    assert figures and all(f is not None and 30 < f.p_mpjpe_mm < f.mpjpe_mm < 150 for f in figures)
    assert open_figures(tmp_path / "none.md") is None


def test_a_letter_that_is_not_utf8_hides_no_figures(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_bytes(b"# \xff\n\nBy `posecli bench open`:\n\n" + TABLE.encode())
    assert open_figures(card) == OpenFigures(86.1, 60.9)
