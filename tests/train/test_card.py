"""The card's uncertainty: the figures that were measured, and the picture beside it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from posecli.train.calibrate import AXES, LEVELS
from posecli.train.card import write_card
from posecli.train.config import TrainConfig


def test_the_card_tells_measured_coverage_and_links_its_picture(tmp_path: Path) -> None:
    weights = tmp_path / "ddhpose-cmu.safetensors"
    weights.write_bytes(b"not read")
    observed = {axis: [level - 0.5 - k for level in LEVELS] for k, axis in enumerate(AXES)}
    metadata = {
        "posecli": "0", "rate_hz": 30.0, "corpus_sha256": "c", "acknowledgement": "Thanks.",
        "training": asdict(TrainConfig()), "size_exponent": 0.5, "steps_used": 1, "hypotheses_used": 1,
        "processes": 1, "device": "cpu", "waiting": 0.04,
        "validation": {"mpjpe_mm": 50.0, "p_mpjpe_mm": 40.0, "limbs_p_mpjpe_mm": 45.0},
    }  # fmt: skip
    card = tmp_path / "ddhpose-cmu.md"
    write_card(card, weights, "ddhpose", metadata)
    assert "Uncertainty" not in card.read_text() and not (tmp_path / "ddhpose-cmu-reliability.png").exists()

    part = {"windows": 512, "levels": list(LEVELS), "one": observed, "several": observed}
    calibration = {"hypotheses": 3, "coverage": {"validation": {**part, "windows": 1}, "test": part}}
    write_card(card, weights, "ddhpose", {**metadata, "calibration": calibration})
    text = card.read_text()
    assert "512 windows of the test subjects" in text
    assert "| one | image x | 49.5 | 67.5 | 89.5 | 94.5 |" in text
    assert "| 3 | depth | 47.5 | 65.5 | 87.5 | 92.5 |" in text
    assert "(ddhpose-cmu-reliability.png)" in text
    assert (tmp_path / "ddhpose-cmu-reliability.png").read_bytes().startswith(b"\x89PNG")
