"""How a lifter errs, given what it saw and what it answered: the conditional noise model of D3PRefiner.

Frame by frame, error a and condition b = [2D pose, noisy 3D pose] are taken as jointly Gaussian (paper, equations
4 to 6, where N frames at once would need a covariance of 33 000 dimensions; one frame is what can be estimated).
All in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

JITTER_M2 = 1e-8
"""Added to the conditional variances: a tenth of a millimetre squared, so that a Cholesky factor always exists."""


@dataclass(frozen=True)
class NoiseModel:
    """p(error | x2d, noisy) of one frame. J joints, without the root, whose error is zero: A = 3 (J - 1), B = 5 J - 3.

    root: index of that joint. error_mean: (A,) metres. given_mean: (B,). gain: (A, B), what equation 5 calls
    sigma_ab sigma_bb^-1. factor: (A, A), lower triangular, times its transpose the covariance of equation 6.
    """

    root: int
    error_mean: Tensor
    given_mean: Tensor
    gain: Tensor
    factor: Tensor

    @classmethod
    def fit(
        cls, x2d: Tensor, noisy: Tensor, pose: Tensor, *, root: int = 0, ridge: float = 1e-6
    ) -> NoiseModel:
        """x2d (..., J, 2) normalised; noisy and true pose (..., J, 3), metres, relative to the root; any number of
        leading axes, all of them samples. ridge: added to the diagonal of sigma_bb, as a share of its mean: joints
        built from others make it singular.

        The predictions should be of people that the lifter was not trained on (`posecli.refine.crossfit`). Raises
        ValueError where there are fewer than two samples or a number is not finite.
        """
        a = _flat(noisy.double() - pose.double(), root)
        b = _given(x2d, noisy, root)
        if len(a) < 2:
            raise ValueError(f"a noise model needs at least two frames, got {len(a)}")
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            raise ValueError("poses and 2D poses must be finite")
        error_mean, given_mean = a.mean(dim=0), b.mean(dim=0)
        a, b = a - error_mean, b - given_mean
        s_aa, s_ab, s_bb = (x.T @ y / (len(a) - 1) for x, y in ((a, a), (a, b), (b, b)))
        level = max(float(s_bb.diagonal().mean()), 1e-12)
        solid = s_bb + ridge * level * torch.eye(len(s_bb), dtype=s_bb.dtype)
        gain = torch.cholesky_solve(s_ab.T, torch.linalg.cholesky(solid)).T
        return cls(root, error_mean, given_mean, gain, _cholesky(s_aa - gain @ s_ab.T))

    @property
    def covariance(self) -> Tensor:
        """Equation 6: (A, A), metres squared; the same whatever is given."""
        return self.factor @ self.factor.T

    def mean(self, x2d: Tensor, noisy: Tensor) -> Tensor:
        """Equation 5: the error to be expected, (..., J, 3) float64, zero at the root."""
        given = _given(x2d, noisy, self.root) - self.given_mean
        return self._pose(self.error_mean + given @ self.gain.T, noisy.shape)

    def sample(self, x2d: Tensor, noisy: Tensor, white: Tensor) -> Tensor:
        """An error that may have led to `noisy` (..., J, 3), float64. white: (..., A) standard normal numbers."""
        spread = white.double().reshape(-1, len(self.error_mean)) @ self.factor.T
        return self.mean(x2d, noisy) + self._pose(spread, noisy.shape)

    def _pose(self, flat: Tensor, shape: torch.Size) -> Tensor:
        joints = flat.reshape(*shape[:-2], shape[-2] - 1, 3)
        zero = joints.new_zeros(*shape[:-2], 1, 3)
        return torch.cat([joints[..., : self.root, :], zero, joints[..., self.root :, :]], dim=-2)


def white_noise(
    clips: int, frames: int, size: int, *, generator: torch.Generator, rho: float = 0.0
) -> Tensor:
    """Standard normal numbers (B, T, A), float64. rho: correlation of each with that of the frame before (AR(1));
    the paper's, with 0, has every frame err by itself, which real lifters do not (ours, off by default).
    """
    fresh = torch.randn(
        clips, frames, size, generator=generator, dtype=torch.float64, device=generator.device
    )
    if rho == 0.0:
        return fresh
    rows = [fresh[:, 0]]
    for t in range(1, frames):
        rows.append(rho * rows[-1] + math.sqrt(1 - rho**2) * fresh[:, t])
    return torch.stack(rows, dim=1)


def _flat(points: Tensor, root: int) -> Tensor:
    """(..., J, 3) → (N, 3 (J - 1)): a row per sample, without the root."""
    others = [j for j in range(points.shape[-2]) if j != root]
    return points[..., others, :].reshape(-1, 3 * len(others))


def _given(x2d: Tensor, noisy: Tensor, root: int) -> Tensor:
    """b of equation 5: (N, B) float64."""
    seen = x2d.double().reshape(-1, 2 * x2d.shape[-2])
    return torch.cat([seen, _flat(noisy.double(), root)], dim=1)


def _cholesky(covariance: Tensor) -> Tensor:
    """Lower factor of the nearest positive-definite matrix: rounding leaves eigenvalues a little below zero."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    solid = (vectors * (values.clamp(min=0) + JITTER_M2)) @ vectors.T
    return torch.linalg.cholesky((solid + solid.T) / 2)
