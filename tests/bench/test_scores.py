"""Scores of clips and groups, and whether a stated spread holds, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.bench.scores import LEVELS, Coverage, histogram, mean_scores, score_poses

RNG = np.random.default_rng(4)
TRUTH = RNG.normal(size=(12, 17, 3)) * 0.3
TRUTH -= TRUTH[:, :1]


def test_the_truth_has_no_error() -> None:
    scores = score_poses(TRUTH, TRUTH, 30)
    assert scores.mpjpe_mm == scores.mpjve_mm == scores.acceleration_mm_s2 == 0
    assert scores.p_mpjpe_mm == pytest.approx(0, abs=1e-9) and scores.jitter == 1
    assert (scores.frames, scores.missed, scores.pck150_percent) == (12, 0, 100)


def test_a_constant_error_of_one_joint() -> None:
    """34 mm at one of 17 joints: 2 mm on the mean, nothing in time; at a wrist it is one of fourteen for AUC."""
    guess = TRUTH.copy()
    guess[:, 13, 2] += 0.034
    scores = score_poses(guess, TRUTH, 30)
    assert scores.mpjpe_mm == pytest.approx(2.0)
    assert scores.mpjve_mm == pytest.approx(0, abs=1e-9) and scores.jitter == pytest.approx(1)
    full, part = 100 * 30 / 31, 100 * 24 / 31  # thresholds over 0; over 34
    assert scores.auc_percent == pytest.approx((13 * full + part) / 14)


def test_velocity_is_by_time_and_gaps_are_not_jumped() -> None:
    truth = np.repeat(TRUTH[:1], 12, axis=0)
    guess = truth + np.arange(12)[:, None, None] * np.array([0.002, 0.0, 0.0])  # 2 mm a frame
    guess[5:7] = np.nan
    scores = score_poses(guess, truth, 30)
    assert scores.missed == 2 and scores.frames == 12
    assert scores.mpjve_mm == pytest.approx(2.0) and scores.velocity_mm_s == pytest.approx(60.0)
    assert scores.predicted_acceleration_mm_s2 == pytest.approx(0, abs=1e-6) and np.isnan(scores.jitter)


def test_nothing_predicted_is_no_score() -> None:
    with pytest.raises(ValueError, match="no frame"):
        score_poses(np.full_like(TRUTH, np.nan), TRUTH, 30)


def test_every_clip_counts_the_same() -> None:
    short, long = score_poses(TRUTH[:4] + 0.01, TRUTH[:4], 30), score_poses(TRUTH, TRUTH, 30)
    both = mean_scores([short, long])
    assert both.mpjpe_mm == pytest.approx(short.mpjpe_mm / 2) and both.frames == 16


def test_honest_and_dishonest_spread() -> None:
    """Normal errors of the stated size fall on the diagonal; the depth's is stated half as large as it is."""
    std = np.tile([0.02, 0.03, 0.05], (40_000, 1))
    error = RNG.normal(size=std.shape) * std * [1, 1, 2]
    coverage = Coverage.of(error, std)
    np.testing.assert_allclose(coverage.curve("image"), LEVELS, atol=0.01)
    assert coverage.within(1, "x") == pytest.approx(0.6827, abs=0.01)
    assert coverage.within(2, "y") == pytest.approx(0.9545, abs=0.01)
    assert coverage.within(1, "depth") == pytest.approx(0.3829, abs=0.01)  # half a standard deviation
    assert coverage.within(2, "depth") == pytest.approx(0.6827, abs=0.01)
    assert coverage.to_dict()["depth"]["within_2_std"] == coverage.within(2, "depth")


def test_no_error_is_inside_any_spread_and_absent_rows_count_nowhere() -> None:
    coverage = Coverage.of(np.array([[0.0, 0.0, 0.0], [1.0, np.nan, 1.0]]), np.zeros((2, 3)))
    assert coverage.ratios.shape == (1, 3) and coverage.within(1) == 1.0


def test_histogram() -> None:
    counts = histogram(np.array([0.0, 9.99, 10.0, 399.9, 400.0, 5000.0, np.nan]))
    assert len(counts) == 41 and counts.sum() == 6
    assert (counts[0], counts[1], counts[39], counts[40]) == (2, 1, 1, 2)
