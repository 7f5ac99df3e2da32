"""Heatmaps in 24 bytes each: four Gaussians for the places where a joint may be.

The paired set keeps what clouds (`posecli.detect.clouds`) are drawn from, not the heatmaps themselves: 64 × 64 cells
of 19 landmarks in 20 000 frames are too much even when packed (about 3 kB a frame; so it is 0.45 kB). Places are drawn
from a heatmap as lifting draws them, and a mixture is fitted to them by EM.

A component is six bytes, lengths in cells: its share in 255ths; mean x and y from the outer edge of the first cell,
in quarters; standard deviations along x and y, as 1 + 28 ln(σ / 0.05), rounded (σ known within 2 %); the correlation
as 128 + 127 r. Components come in the order of their shares. A heatmap that says nothing is all zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posecli.detect.clouds import density, draw_from_grids
from posecli.detect.heatmaps import HeatmapFormat, decode, encode
from posecli.diffusion import mixture

COMPONENTS, BYTES = 4, 6
_PLACES = 512  # drawn from each heatmap for the fit
_ITERATIONS = 15
_QUARTERS, _LEAST, _STEPS, _MOST_R = 4, 0.05, 28.0, 127
_FLOOR = 0.01  # cells²; the places fill their cells, which alone makes 1/12
_AT_ONCE = 256  # heatmaps; 40 MB


def pack(p: NDArray[np.floating], format: HeatmapFormat) -> NDArray[np.uint8]:
    """Probabilities of N heatmaps (N, rows, columns), up to 64 cells each way → (N, COMPONENTS, BYTES).

    They are rounded as a detections file rounds them, so that clouds are those of `posecli lift`. The same input gives
    the same bytes.
    """
    if p.ndim != 3 or max(p.shape[1:]) > 256 // _QUARTERS:
        raise ValueError(f"heatmaps must be (N, rows, columns) of up to 64 cells each way, got {p.shape}")
    packed = [_pack(p[at : at + _AT_ONCE], format) for at in range(0, len(p), _AT_ONCE)]
    return np.concatenate([np.zeros((0, COMPONENTS, BYTES), np.uint8), *packed])


def _pack(p: NDArray[np.floating], format: HeatmapFormat) -> NDArray[np.uint8]:
    weight = density(torch.from_numpy(decode(encode(p))).double(), format)
    places = draw_from_grids(weight, _evenly(_PLACES).expand(len(p), -1, -1)).float()
    empty = places.isnan().any(dim=2).any(dim=1)
    places[empty] = 0.0
    fitted = mixture.fit(
        places, COMPONENTS, generator=torch.Generator().manual_seed(0), iterations=_ITERATIONS, floor=_FLOOR,
        chunk=_AT_ONCE,
    ).mixture  # fmt: skip
    order = fitted.weights.argsort(dim=1, descending=True)
    share = fitted.weights.gather(1, order)
    rows = torch.arange(len(p))[:, None]
    mean, covariance = fitted.means[rows, order], fitted.covariances[rows, order]
    std = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    r = covariance[..., 0, 1] / (std[..., 0] * std[..., 1])
    codes = torch.cat(
        [
            share[..., None] * 255,
            (mean + 0.5) * _QUARTERS - 0.5,
            1 + _STEPS * (std / _LEAST).log(),
            128 + _MOST_R * r[..., None],
        ],
        dim=-1,
    )
    codes[empty] = 0.0
    return codes.round().clamp(0, 255).numpy().astype(np.uint8)


def _evenly(count: int) -> Tensor:
    """`count` pairs (count, 2) that fill the unit square evenly (a lattice of the plastic number's powers)."""
    plastic = 1.324717957244746
    steps = torch.tensor([1 / plastic, 1 / plastic**2], dtype=torch.float64)
    return (0.5 + torch.arange(1, count + 1, dtype=torch.float64)[:, None] * steps) % 1


@dataclass(frozen=True)
class Places:
    """Where points may be: mixtures of M Gaussians in the plane, for any number of points (...).

    weights: (..., M), summing to one, or all zero where nothing is known. means: (..., M, 2).
    factors: (..., M, 2, 2), with covariance factor · factorᵀ.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    @property
    def known(self) -> Tensor:
        """(...) bool."""
        return self.weights[..., 0] > 0

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.weights, self.means, self.factors

    def __getitem__(self, index: Any) -> Places:
        """Some of the points."""
        return Places(*(part[index] for part in self.parts))

    def to(self, device: torch.device) -> Places:
        return Places(*(part.to(device) for part in self.parts))

    def through(self, affine: Tensor) -> Places:
        """Under affine maps (..., 2, 3) that broadcast against the points."""
        turn, shift = affine[..., None, :, :2], affine[..., None, :, 2]
        return Places(self.weights, (turn @ self.means[..., None])[..., 0] + shift, turn @ self.factors)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (..., 2) and covariance (..., 2, 2) of the whole mixtures."""
        share = self.weights[..., None]
        mean = (share * self.means).sum(-2)
        away = self.means - mean[..., None, :]
        within = self.factors @ self.factors.mT + away[..., :, None] * away[..., None, :]
        return mean, (share[..., None] * within).sum(-3)

    def draw(self, uniform: Tensor, white: Tensor) -> Tensor:
        """Positions (..., S, 2): uniform (..., S) in [0, 1) choose the component, white (..., S, 2) standard normal
        the place in it; both broadcast against the points.
        """
        edges = self.weights.cumsum(-1)
        edges = edges / edges[..., -1:].clamp_min(1e-12)
        kind = (uniform[..., None] >= edges[..., None, :-1]).sum(-1)  # (..., S)
        kind = kind.expand(*self.weights.shape[:-1], kind.shape[-1])
        mean = self.means.gather(-2, kind[..., None].expand(*kind.shape, 2))
        flat = self.factors.flatten(-2)
        factor = flat.gather(-2, kind[..., None].expand(*kind.shape, 4))
        x, y = white[..., 0], white[..., 1]
        return mean + torch.stack(
            [factor[..., 0] * x + factor[..., 1] * y, factor[..., 2] * x + factor[..., 3] * y], dim=-1
        )


def unpack(codes: NDArray[np.uint8]) -> Places:
    """Undo `pack`: bytes (..., COMPONENTS, BYTES) → places in cells, whole numbers at the middles of cells."""
    value = torch.from_numpy(codes.astype(np.float32))
    share = value[..., 0]
    std = _LEAST * ((value[..., 3:5] - 1) / _STEPS).exp()
    r = ((value[..., 5] - 128) / _MOST_R).clamp(-0.999, 0.999)
    zero = torch.zeros_like(r)
    entries = [std[..., 0], zero, r * std[..., 1], (1 - r.square()).sqrt() * std[..., 1]]
    factors = torch.stack(entries, dim=-1).view(*r.shape, 2, 2)
    means = (value[..., 1:3] + 0.5) / _QUARTERS - 0.5
    return Places(share / share.sum(-1, keepdim=True).clamp_min(1.0), means, factors)
