"""The error model's arithmetic, and what weights files may say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posecli.errors import InputError
from posecli.skeleton import H36M17
from posecli.uncertainty import FEATURES, ErrorModel, Uncertainty, features

RNG = np.random.default_rng(5)


def model(**changes: Any) -> ErrorModel:
    values = {
        "base": np.where(np.arange(17)[:, None] > 0, [0.02, 0.03, 0.05], 0.0), "weights": np.zeros((3, 3)),
        "centre": np.array([-3.0, -4.0, 1.2]), "width": np.array([0.5, 0.4, 0.1]),
        "low": np.array([-4.0, -5.0, 0.9]), "high": np.array([-2.0, -3.0, 1.5]), "spread": np.array([1.0, 2.0, 3.0]),
        **changes,
    }  # fmt: skip
    return ErrorModel(**values)


def standing(frames: int) -> np.ndarray:
    """A body of straight bones, 1.2 m from chest to ankles, y down."""
    pose = np.zeros((1, frames, 17, 3))
    pose[:, :, [8, 11, 14], 1], pose[:, :, [3, 6], 1] = -0.4, 0.8
    return pose


def test_features_of_known_motion() -> None:
    frames = 20
    x2d = np.zeros((1, frames, 17, 2))
    x2d[..., 0] = 0.5 * np.arange(frames)[:, None] ** 2 * 0.02  # second difference 0.02 everywhere
    seen = features(x2d, standing(frames))
    assert seen.shape == (1, frames, len(FEATURES))
    np.testing.assert_allclose(seen[0, 3], [np.log(0.02 + 1e-3), np.log(1e-3), 1.2], atol=1e-6)
    pose = standing(frames)
    pose[:, ::2, 16, 0] = 0.1  # the forearm's length alternates between 0.4 and √(0.4² + 0.1²) … of 16 bones
    parent = H36M17.parents[16]
    lengths = np.linalg.norm(pose[0, :, 16] - pose[0, :, parent], axis=-1)
    assert features(x2d, pose)[0, 0, 1] == pytest.approx(np.log(lengths.std() / 16 + 1e-3))
    lying = standing(frames)[..., [1, 0, 2]]
    np.testing.assert_allclose(features(x2d, lying)[..., 2], 0, atol=1e-9)
    for count in (1, 2):  # single pictures
        assert np.isfinite(features(x2d[:, :count], standing(count))).all()


def test_growth_with_features_and_with_the_spread_of_hypotheses() -> None:
    """One width above the centre grows the standard deviation by e to the weight; spreads add in squares."""
    weights = np.array([[0.3, 0.2, 0.1], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    seen = np.array([[-2.5, -4.0, 1.2], [-3.0, -4.0, 1.2], [40.0, -4.0, 1.2]])  # the last is cut to `high`
    std = model(weights=weights).std(seen, np.zeros((3, 17, 3)))
    np.testing.assert_allclose(std[0, 5], np.array([0.02, 0.03, 0.05]) * np.exp([0.3, 0.2, 0.1]))
    np.testing.assert_allclose(std[1, 5], [0.02, 0.03, 0.05])
    np.testing.assert_allclose(std[2, 5], np.array([0.02, 0.03, 0.05]) * np.exp([0.6, 0.4, 0.2]))
    np.testing.assert_array_equal(std[:, 0], 0)
    wide = model(weights=weights).std(seen[1:2], np.full((1, 17, 3), 0.02))
    expected = np.hypot([0.02, 0.03, 0.05], np.array([1.0, 2.0, 3.0]) * 0.02)
    np.testing.assert_allclose(wide[0, 5], expected)


def test_what_weights_files_say() -> None:
    one, several = model(), model(base=model().base * 0.9)
    calibration = {"features": list(FEATURES), "one": one.to_dict(), "several": several.to_dict()}
    read = Uncertainty.from_metadata({"calibration": calibration, "error_std_m": 3})
    np.testing.assert_allclose(read.several.base, several.base, atol=1e-5)
    np.testing.assert_allclose(read.one.width, one.width)

    answer = RNG.normal(size=(2, 4, 9, 17, 3))
    x2d = RNG.normal(size=(2, 9, 17, 2))
    old = Uncertainty.from_metadata({"error_std_m": np.full((17, 3), 0.05).tolist()})
    np.testing.assert_allclose(old.std(x2d, answer[:, :1]), 0.05)
    np.testing.assert_allclose(old.std(x2d, answer), np.hypot(0.05, answer.std(axis=1, ddof=1)))
    newer = {"calibration": {**calibration, "features": ["mood"]}, "error_std_m": np.ones((17, 3)).tolist()}
    np.testing.assert_allclose(Uncertainty.from_metadata(newer).std(x2d, answer[:, :1]), 1)
    np.testing.assert_array_equal(Uncertainty.from_metadata({}).std(x2d, answer[:, :1]), 0)


@pytest.mark.parametrize(
    "metadata",
    [
        {"error_std_m": [1, 2, 3]}, {"error_std_m": np.full((17, 3), np.nan).tolist()}, {"error_std_m": "wide"},
        {"error_std_m": np.full((17, 3), -1.0).tolist()}, {"calibration": 7}, {"calibration": {"features": 1}},
        {"calibration": {"features": list(FEATURES), "one": {}}},
        {"calibration": {"features": list(FEATURES), "one": {**model().to_dict(), "width": [0, 1, 1]}, "several": {}}},
        {"calibration": {"features": list(FEATURES), "one": {**model().to_dict(), "base": [["x"]]}, "several": {}}},
    ],
)  # fmt: skip
def test_damaged_figures_are_refused(metadata: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="header is damaged"):
        Uncertainty.from_metadata(metadata)
