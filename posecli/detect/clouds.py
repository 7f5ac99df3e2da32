"""Clouds: where in the image each joint may be, as positions drawn from the detector's kept heatmaps.

This is the x and y distribution that DiffPose starts from (Gong et al., CVPR 2023, section 4.1).

A cell's probability and its share of the heatmap
    A network that ends in a sigmoid per cell (BlazePose: kind "logit") says for each cell alone how likely the joint
    is there. One cell holds it; given that, a cell's probability goes with its odds p / (1 - p). The difference is
    large: over hundreds of cells of p = 0.02 the raw values spread a sure wrist (peak 0.95) over 0.4 of half the
    person's box, the odds over 0.15 (two clips). Heatmaps trained as densities (kind "probability") are taken as
    they are.

Clouds move smoothly with their heatmaps: all frames of one call share their quantiles, down the rows first and then
along the chosen row, so sample s of one frame and sample s of the next are the same guess about two moments.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posecli.detect.heatmaps import HeatmapFormat, Heatmaps
from posecli.detect.keypoints import Keypoints2D
from posecli.skeleton import H36M17, Skeleton, h36m_weights

NO_HEATMAPS = (
    "the detections kept no heatmaps: joints are taken as Gaussian, with widths guessed from the scores"
)

_FRAMES_AT_ONCE = 16  # 16 frames of BlazePose's joints are 20 MB of float64


def score_spread(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Standard deviation of a joint's position for its score (any shape, in [0, 1]), relative to half the longer
    side of the person's box: 0.035 for a score of 1, 0.14 for 0.9, 0.28 for 0.

    A rough fit to BlazePose's heatmaps on two clips (medians 0.033, 0.21 and 0.25), for detectors that keep none.
    """
    doubt = 1.0 - np.clip(np.nan_to_num(np.asarray(scores, dtype=np.float64)), 0.0, 1.0)
    return 0.035 + 0.25 * np.cbrt(doubt)


def density(p: Tensor, format: HeatmapFormat) -> Tensor:
    """Stored probabilities → numbers that go with the chance that the joint is in a cell; see the module's text."""
    return p / (1 - p).clamp_min(1e-3) if format.kind == "logit" else p


def draw_from_grids(weight: Tensor, quantiles: Tensor) -> Tensor:
    """Positions drawn from images of densities, each cell evenly filled.

    weight: (F, R, C), not negative, float64. quantiles: (F, S, 2) in [0, 1), for x and y.
    Returns (F, S, 2): x (column) and y (row), whole numbers at the middles of cells; NaN where an image is empty.
    """
    _, rows, columns = weight.shape
    flat = _edges(weight.flatten(1))  # (F, R·C + 1)
    row_edges = flat[:, ::columns].contiguous()
    row, y = _invert(row_edges, quantiles[..., 1] * row_edges[:, -1:], 0, rows)
    first = row * columns
    start, stop = flat.gather(1, first), flat.gather(1, first + columns)
    _, x = _invert(flat, start + quantiles[..., 0] * (stop - start), first, columns)
    drawn = torch.stack([x - first, y], dim=-1) - 0.5
    return torch.where(flat[:, -1, None, None] > 0, drawn, torch.nan)


def draw_from_vectors(weight_x: Tensor, weight_y: Tensor, quantiles: Tensor) -> Tensor:
    """The same for SimCC: densities (F, C) along x and (F, R) along y, independent of one another."""
    drawn = []
    for weight, quantile in ((weight_x, quantiles[..., 0]), (weight_y, quantiles[..., 1])):
        edges = _edges(weight)
        place = _invert(edges, quantile * edges[:, -1:], 0, weight.shape[1])[1] - 0.5
        drawn.append(torch.where(edges[:, -1:] > 0, place, torch.nan))
    return torch.stack(drawn, dim=-1)


def _edges(weight: Tensor) -> Tensor:
    """(F, N) → cumulative sums (F, N + 1) that begin with zero."""
    return torch.nn.functional.pad(weight.cumsum(dim=1), (1, 0))


def _invert(edges: Tensor, place: Tensor, first: Tensor | int, count: int) -> tuple[Tensor, Tensor]:
    """Bin (F, S) among the `count` from bin `first` on in which `place` (F, S) falls, and the position within all
    bins as a real number: the inverse of the cumulative sums (F, N + 1), straight between their edges.
    """
    found = torch.searchsorted(edges, place.contiguous(), right=True) - 1
    found = torch.minimum(torch.maximum(found, torch.as_tensor(first)), torch.as_tensor(first) + count - 1)
    low, high = edges.gather(1, found), edges.gather(1, found + 1)
    part = ((place - low) / (high - low).clamp_min(torch.finfo(edges.dtype).tiny)).clamp(0, 1)
    return found, found + part


class JointClouds:
    """Clouds of one person's Human3.6M-17 joints through a clip.

    keypoints: of the detector's skeleton. heatmaps: theirs, or None.
    A joint built from several of the detector's (the pelvis from both hips) gets its cloud from theirs, sample by
    sample, so that its error goes along with theirs.
    Where there is no heatmap of a joint or it is empty, positions are Gaussian about the keypoint (`score_spread`).
    `warning` says so where that holds for the whole clip, else it is None.
    """

    def __init__(self, keypoints: Keypoints2D, heatmaps: Heatmaps | None) -> None:
        self._keypoints, self._heatmaps = keypoints, heatmaps
        weights = h36m_weights(keypoints.skeleton)
        self._used = np.flatnonzero((weights != 0).any(axis=0))
        self._to_h36m = torch.from_numpy(weights[:, self._used])
        self._maps = _same_names(keypoints.skeleton, self._used, heatmaps)
        self.warning = None if (self._maps >= 0).any() else NO_HEATMAPS

    def draw(
        self, rows: Sequence[int] | NDArray[np.integer], count: int, generator: torch.Generator
    ) -> Tensor:
        """Clouds (R, 17, S, 2) float32, pixels, of the frames `rows` (a person was found in each), S = `count`."""
        joints = len(self._used)
        quantiles = torch.rand(joints, count, 2, generator=generator, dtype=torch.float64)
        white = (
            torch.erfinv(2 * quantiles.clamp(1e-9, 1 - 1e-9) - 1) * 2**0.5
        )  # the same guess, as a Gaussian
        wanted = np.asarray(rows, dtype=np.int64)
        result = torch.empty(len(wanted), H36M17.num_joints, count, 2)
        for at in range(0, len(wanted), _FRAMES_AT_ONCE):
            part = slice(at, at + _FRAMES_AT_ONCE)
            drawn = self._from_scores(wanted[part], white)
            self._from_heatmaps(wanted[part], quantiles, drawn)
            result[part] = torch.einsum("ij,rjsc->risc", self._to_h36m, drawn).float()
        return result

    def _from_scores(self, rows: NDArray[np.int64], white: Tensor) -> Tensor:
        """(R, J', S, 2) for the detector's joints that count."""
        every = self._keypoints.xy[rows].astype(np.float64)
        half = (np.nanmax(every, axis=1) - np.nanmin(every, axis=1)).max(axis=-1) / 2
        std = score_spread(self._keypoints.scores[np.ix_(rows, self._used)]) * half[:, None]
        middle = torch.from_numpy(every[:, self._used])
        return middle[:, :, None] + torch.from_numpy(std)[..., None, None] * white

    def _from_heatmaps(self, rows: NDArray[np.int64], quantiles: Tensor, drawn: Tensor) -> None:
        """Put what the heatmaps say in the place of `drawn` (R, J', S, 2), where they say something."""
        maps, kept = self._heatmaps, np.flatnonzero(self._maps >= 0)
        if maps is None or not len(kept):
            return
        record = np.searchsorted(maps.frames, rows)
        there = np.flatnonzero(maps.frames[np.minimum(record, len(maps) - 1)] == rows)
        if not len(there):
            return
        first, last = int(record[there].min()), int(record[there].max())
        if last - first >= 4 * _FRAMES_AT_ONCE:  # far apart: one by one rather than everything between
            for each in there:
                self._from_heatmaps(rows[each : each + 1], quantiles, drawn[each : each + 1])
            return
        read = maps.read(first, last + 1)
        index = np.ix_(record[there] - first, self._maps[kept])
        weights = [density(torch.from_numpy(values[index]).double(), maps.format) for values in read]
        frames = len(there) * len(kept)
        shared = quantiles[kept].expand(len(there), -1, -1, -1).reshape(frames, -1, 2)
        if maps.format.layout == "grid":
            cells = draw_from_grids(weights[0].flatten(0, 1), shared)
        else:
            cells = draw_from_vectors(weights[0].flatten(0, 1), weights[1].flatten(0, 1), shared)
        cells = cells.view(len(there), len(kept), -1, 2)
        affine = torch.from_numpy(maps.to_image[record[there]])  # (R, 2, 3)
        pixels = torch.einsum("rab,rjsb->rjsa", affine[..., :2], cells) + affine[:, None, None, :, 2]
        at = (torch.from_numpy(there)[:, None], torch.from_numpy(kept))
        drawn[at] = torch.where(torch.isfinite(pixels), pixels, drawn[at])


def _same_names(skeleton: Skeleton, used: NDArray[np.int64], heatmaps: Heatmaps | None) -> NDArray[np.int64]:
    """For each used joint the number of the heatmap of that name, -1 where there is none."""
    names = () if heatmaps is None or not len(heatmaps) else heatmaps.format.joint_names
    wanted = [skeleton.joint_names[j] for j in used]
    return np.array([names.index(name) if name in names else -1 for name in wanted], dtype=np.int64)
