"""Known errors in, known coverage out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm, t
from torch import Tensor

from posecli.errors import InputError
from posecli.skeleton import H36M17, Skeleton
from posecli.train.calibrate import AXES, LEVELS, calibrate, coverage, fit_error_model, lift_sample
from posecli.train.reliability import plot_reliability
from posecli.uncertainty import FEATURES, Uncertainty

BASE = np.array([0.02, 0.03, 0.08])


def known(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, sizes of the error and standard normal numbers (N, 17, 3): two features count, one does not."""
    rng = np.random.default_rng(seed)
    seen = rng.uniform([-4, -5, 0.8], [-2, -3, 1.4], (count, 3))
    size = BASE * np.exp(0.5 * (seen[:, :1] + 3) + np.array([0.0, 0.4, 0.0]) * (seen[:, 1:2] + 4))
    return seen, np.repeat(size[:, None], 17, axis=1), rng.normal(size=(count, 17, 3))


def inside(error: np.ndarray, std: np.ndarray, limit: float) -> np.ndarray:
    return (np.abs(error)[:, 1:] <= limit * std[:, 1:]).mean(axis=(0, 1)) * 100


def test_gaussian_errors_are_recovered() -> None:
    seen, size, normal = known(2000, 0)
    fitted = fit_error_model(seen, size * normal, np.zeros_like(normal))
    seen, size, normal = known(4000, 1)
    std = fitted.std(seen, np.zeros_like(normal))
    np.testing.assert_allclose(std[:, 1:] / size[:, 1:], 1, atol=0.15)  # 2000 frames, 16 joints apart
    np.testing.assert_array_equal(std[:, 0], 0)
    slope = fitted.weights / fitted.width[:, None]
    np.testing.assert_allclose(slope, [[0.5, 0.5, 0.5], [0, 0.4, 0], [0, 0, 0]], atol=0.06)
    for share in (0.5, 0.6827, 0.9, 0.95):
        found = inside(size * normal, std, norm.ppf(0.5 + share / 2))
        np.testing.assert_allclose(found, 100 * share, atol=1.0)


def test_heavy_tails_keep_both_promises_within_five_points() -> None:
    """Student's t with four degrees of freedom: one standard deviation holds 77 %, not 68."""
    seen, size, _ = known(2000, 2)
    error = size * t.rvs(4, size=(2000, 17, 3), random_state=3) * 0.5
    std = fit_error_model(seen, error, np.zeros_like(error)).std(seen, np.zeros_like(error))
    assert np.abs(inside(error, std, 1.0) - 68.27).max() < 5
    assert np.abs(inside(error, std, 1.96) - 95).max() < 5
    by_rms = np.sqrt((error[:, 1:] ** 2).mean(axis=0))
    assert (np.abs(error[:, 1:]) < by_rms).mean() > 0.76


def test_hypotheses_that_disagree_widen_the_intervals() -> None:
    rng = np.random.default_rng(4)
    seen, _, normal = known(2000, 4)
    spread = rng.gamma(2.0, 0.005, normal.shape)
    error = np.hypot(BASE, 4 * spread) * normal
    fitted = fit_error_model(seen, error, spread)
    np.testing.assert_allclose(fitted.spread, 4, rtol=0.15)
    np.testing.assert_allclose(fitted.base[1:].mean(axis=0), BASE, rtol=0.15)


class Settings:
    def to_dict(self) -> dict[str, Any]:
        return {}


@dataclass
class Trembling:
    """Says that everybody stands still at the origin, each hypothesis a little off."""

    window: int = 9
    skeleton: Skeleton = H36M17
    config: Settings = field(default_factory=Settings)

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        pose = 0.01 * torch.randn(len(x2d), hypotheses, 9, 17, 3, generator=generator)
        return pose - pose[..., :1, :]


@dataclass
class Drawn:
    x2d: Tensor
    pose: Tensor
    clouds: None = None


def windows(batches: int, seed: int) -> list[Drawn]:
    """Truth that is the further from the origin, the more the 2D trembles."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(batches):
        shake = torch.exp(torch.rand(20, 1, 1, 1, generator=generator) * 2 - 5)
        x2d = shake * torch.randn(20, 9, 17, 2, generator=generator)
        pose = 3 * shake * torch.randn(20, 9, 17, 3, generator=generator)
        pose[:, :, 0] = 0
        drawn.append(Drawn(x2d, pose))
    return drawn


def test_a_lifter_is_calibrated_on_one_set_and_checked_on_another(tmp_path: Path) -> None:
    result = calibrate(Trembling(), windows(6, 0), test=windows(6, 1), windows=100)
    assert result["features"] == list(FEATURES) and result["hypotheses"] == 3
    assert result["coverage"]["test"]["windows"] == 102  # 17 of each of six batches
    for part in ("one", "several"):
        for axis in AXES:
            found = result["coverage"]["test"][part][axis]
            assert found == sorted(found)
            np.testing.assert_allclose(found, LEVELS, atol=3.0)
    assert result == calibrate(Trembling(), windows(6, 0), test=windows(6, 1), windows=100)

    uncertainty = Uncertainty.from_metadata({"calibration": result})
    sample = lift_sample(Trembling(), windows(6, 1), hypotheses=3, windows=100, seed=0)
    assert sample is not None
    measured = coverage(uncertainty, sample)
    np.testing.assert_allclose(measured["one"]["depth"], result["coverage"]["test"]["one"]["depth"], atol=0.3)

    plot_reliability(measured, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_calibrate_on_is_refused() -> None:
    with pytest.raises(InputError, match="no validation windows"):
        calibrate(Trembling(), [])
