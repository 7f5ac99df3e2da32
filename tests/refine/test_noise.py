"""The conditional noise model against Gaussians whose parameters are known, and against least squares."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posecli.refine.crossfit import subject_folds
from posecli.refine.noise import JITTER_M2, NoiseModel, white_noise

JOINTS, ROOT = 4, 1
A, B = 3 * (JOINTS - 1), 5 * JOINTS - 3


def others(points: torch.Tensor) -> torch.Tensor:
    return points[:, [j for j in range(JOINTS) if j != ROOT]].reshape(len(points), -1)


def samples(
    count: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """x2d, noisy, pose (count, J, .); and the true gain and covariance of the error given the first two."""
    g = torch.Generator().manual_seed(seed)
    x2d = torch.randn(count, JOINTS, 2, generator=g, dtype=torch.float64)
    noisy = torch.randn(count, JOINTS, 3, generator=g, dtype=torch.float64)
    noisy[:, ROOT] = 0
    gain = 0.1 * torch.randn(A, B, generator=g, dtype=torch.float64)
    root = 0.1 * torch.randn(A, A, generator=g, dtype=torch.float64)
    given = torch.cat([x2d.flatten(1), others(noisy)], dim=1)
    error = 0.02 + given @ gain.T + torch.randn(count, A, generator=g, dtype=torch.float64) @ root.T
    pose = noisy.clone()
    pose[:, [j for j in range(JOINTS) if j != ROOT]] -= error.reshape(count, -1, 3)
    return x2d, noisy, pose, gain, root @ root.T


def test_it_recovers_a_known_gaussian() -> None:
    x2d, noisy, pose, gain, covariance = samples(200_000)
    model = NoiseModel.fit(x2d, noisy, pose, root=ROOT)
    torch.testing.assert_close(model.gain, gain, atol=4e-3, rtol=0)
    torch.testing.assert_close(model.covariance, covariance, atol=2e-3, rtol=0)
    # And what it samples has that mean and covariance again, around one condition.
    at = (x2d[:1].expand(100_000, -1, -1), noisy[:1].expand(100_000, -1, -1))
    white = white_noise(1, 100_000, A, generator=torch.Generator().manual_seed(1))[0]
    drawn = model.sample(*at, white)
    assert (drawn[:, ROOT] == 0).all()
    expected = 0.02 + torch.cat([x2d[:1].flatten(1), others(noisy[:1])], dim=1) @ gain.T
    torch.testing.assert_close(others(drawn).mean(dim=0), expected[0], atol=2e-2, rtol=0)
    torch.testing.assert_close(torch.cov(others(drawn).T), covariance, atol=4e-3, rtol=0)


def test_the_conditional_mean_is_linear_regression() -> None:
    x2d, noisy, pose, *_ = samples(500)
    model = NoiseModel.fit(x2d, noisy, pose, root=ROOT, ridge=0.0)
    given = torch.cat([torch.ones(500, 1, dtype=torch.float64), x2d.flatten(1), others(noisy)], dim=1)
    solution = torch.linalg.lstsq(given, others(noisy - pose)).solution
    torch.testing.assert_close(others(model.mean(x2d, noisy)), given @ solution, atol=1e-10, rtol=0)


def test_joints_built_from_others_do_no_harm() -> None:
    """x2d of rank 2, as where a pelvis is the midpoint of the hips: sigma_bb is singular, the error almost exact."""
    x2d, noisy, pose, *_ = samples(300)
    x2d[:, 2] = (x2d[:, 0] + x2d[:, 1]) / 2
    pose = noisy - 0.1 * noisy  # the error is a tenth of the answer: nothing of it is random
    model = NoiseModel.fit(x2d, noisy, pose, root=ROOT)
    torch.testing.assert_close(model.mean(x2d, noisy), 0.1 * noisy, atol=1e-5, rtol=0)
    values = torch.linalg.eigvalsh(model.covariance)
    assert (values >= 0.9 * JITTER_M2).all() and (values < 10 * JITTER_M2).all()


def test_clips_are_samples_too_and_few_or_broken_ones_are_refused() -> None:
    x2d, noisy, pose, *_ = samples(60)
    flat = NoiseModel.fit(x2d, noisy, pose, root=ROOT)
    clips = NoiseModel.fit(*(v.unflatten(0, (3, 20)) for v in (x2d, noisy, pose)), root=ROOT)
    torch.testing.assert_close(flat.gain, clips.gain)
    assert clips.mean(x2d.unflatten(0, (3, 20)), noisy.unflatten(0, (3, 20))).shape == (3, 20, JOINTS, 3)
    with pytest.raises(ValueError, match="two frames"):
        NoiseModel.fit(x2d[:1], noisy[:1], pose[:1], root=ROOT)
    x2d[0, 0] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        NoiseModel.fit(x2d, noisy, pose, root=ROOT)


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_noise_over_time_has_unit_variance_and_the_correlation_asked_for(rho: float) -> None:
    white = white_noise(2000, 30, 3, generator=torch.Generator().manual_seed(0), rho=rho)
    torch.testing.assert_close(white.var(dim=0), torch.ones(30, 3, dtype=torch.float64), atol=0.15, rtol=0)
    assert float((white[:, 1:] * white[:, :-1]).mean()) == pytest.approx(rho, abs=0.02)


def test_nobody_lies_in_two_folds() -> None:
    subjects = [7, 7, 7, 1, 1, 2, 3, 3, 9, 9, 9, 9]
    folds = subject_folds(subjects, 3)
    assert sorted(np.concatenate(folds)) == list(range(12))
    assert sorted(len(rows) for rows in folds) == [4, 4, 4]
    for rows in folds:
        assert not {subjects[k] for k in rows} & {subjects[k] for k in range(12) if k not in rows}
    with pytest.raises(ValueError, match="5 subjects cannot make 6 folds"):
        subject_folds(subjects, 6)
