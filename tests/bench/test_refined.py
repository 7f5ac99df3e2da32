"""Refiners beside filters: errors that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posecli.bench.open_data import OpenBenchmark, load_benchmark
from posecli.bench.refined import AS_LIFTED, ROUGH, compare, mean_errors, run_refine
from posecli.bench.report_refined import table
from posecli.errors import InputError
from posecli.reporting import Silent
from posecli.weights import store
from posecli.weights.format import load_weights, save_weights


def test_errors_of_a_known_difference() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.3, (40, 17, 3))
    truth -= truth[:, :1]
    frames = np.arange(40)
    offset = np.zeros((40, 17, 3))
    offset[:, 5, 2] = 0.017 * (frames % 2)  # one of 17 joints, to and fro
    found = compare(truth + offset, truth, 30.0)
    assert found.mpjpe_mm == pytest.approx(0.5)  # 17 mm in half of the frames, over 17 joints
    assert found.velocity_mm_s == pytest.approx(30 * 1.0)
    assert found.acceleration_mm_s2 == pytest.approx(30**2 * 2.0)
    assert compare(1.1 * truth, truth, 30.0).p_mpjpe_mm == pytest.approx(0, abs=1e-6)
    assert compare(1.1 * truth, truth, 30.0).jitter == pytest.approx(1.1)
    lively, calm = compare(3 * truth, 2 * truth, 30.0), compare(truth, truth, 30.0)
    assert mean_errors([lively, calm]).jitter == pytest.approx(
        4 / 3
    )  # all that moved over all that should have
    holes = truth.copy()
    holes[10:20] = np.nan
    assert compare(holes, truth, 30.0).mpjpe_mm == pytest.approx(0)
    with pytest.raises(InputError, match="nothing to compare"):
        compare(np.full_like(truth, np.nan), truth, 30.0)
    with pytest.raises(InputError, match="the video has 39 frames and its truth 40"):
        compare(truth[:39], truth, 30.0)


def test_limbs_are_about_the_hips() -> None:
    truth = np.random.default_rng(1).normal(0, 0.3, (5, 17, 3))
    assert compare(truth + 0.5, truth, 30.0, limbs=True).mpjpe_mm == pytest.approx(0, abs=1e-6)
    other = truth.copy()
    other[:, 0] += 1  # the pelvis is no limb joint
    assert compare(other, truth, 30.0, limbs=True).mpjpe_mm == pytest.approx(0, abs=1e-6)


def test_two_clips_of_the_benchmark() -> None:
    whole = load_benchmark()
    result = run_refine(["ddhpose"], [], benchmark=OpenBenchmark(whole.clips[:2], whole.sha256, whole.about))
    rows = {row.refiner: row for row in result.rows}
    assert list(rows) == [ROUGH, AS_LIFTED, "savgol", "one-euro", "lowpass"]
    assert set(rows[AS_LIFTED].change.values()) == {0.0}
    calmed = rows["lowpass"]
    before = rows[AS_LIFTED].errors.acceleration_mm_s2
    assert calmed.errors.acceleration_mm_s2 < before < rows[ROUGH].errors.acceleration_mm_s2
    share = 100 * (calmed.errors.acceleration_mm_s2 / before - 1)
    assert calmed.change["acceleration_mm_s2"] == pytest.approx(share)
    assert f"({share:+.1f} %)" in table(result).markdown()
    assert result.to_dict()["lifters"][0]["method"] == "ddhpose"


def test_refiners_of_one_name_are_told_apart(tmp_path: Path) -> None:
    whole = load_benchmark()
    first = OpenBenchmark(whole.clips[:1], whole.sha256, whole.about)
    shipped = store.find("d3prefiner", "d3prefiner-graformer")
    copy = tmp_path / shipped.name
    copy.write_bytes(shipped.read_bytes())
    result = run_refine(["graformer"], [str(shipped), str(copy)], benchmark=first)
    ours, theirs = (row for row in result.rows if row.base)
    assert {ours.refiner, theirs.refiner} == {str(p.with_suffix("")) for p in (shipped, copy)}
    assert ours.errors == theirs.errors


def test_other_weights_of_a_method_go_by_their_file(tmp_path: Path) -> None:
    whole = load_benchmark()
    first = OpenBenchmark(whole.clips[:1], whole.sha256, whole.about)
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(store.find("graformer").read_bytes())
    said: list[str] = []

    class Listening(Silent):
        def warn(self, message: str) -> None:
            said.append(message)

    result = run_refine(
        ["graformer", str(copy)], ["d3prefiner-graformer"], benchmark=first, reporter=Listening()
    )
    assert list(dict.fromkeys(row.lifter for row in result.rows)) == ["graformer", "mine"]
    assert not said  # the same bytes are the same weights
    other = tmp_path / "other.safetensors"
    method, model, metadata = load_weights(copy)
    save_weights(other, method, model, metadata | {"input": None}, half=True)
    run_refine([str(other)], ["d3prefiner-graformer"], benchmark=first, reporter=Listening())
    assert len(said) == 1 and "errors of graformer, with other weights" in said[0]
