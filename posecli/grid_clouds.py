"""Clouds on the grid of times at which a stretch is lifted, as rays, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posecli.camera import Pinhole
from posecli.detect.clouds import JointClouds

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GridClouds:
    """The clouds of one stretch. Between frames of the source (and where the person was out of sight) the cloud of
    the nearest frame that has one is taken along with the joint: a cloud cannot be interpolated, a position can.

    seen: frames in which the person was found. times: (T,) of all frames. flat: (T, 17, 2), their joints as x/z and
    y/z of the rays. grid: (G,) times, on_grid: (G, 17, 2) the joints there. size: S, places of each joint. seed: of
    the clouds' quantiles, which are the same throughout a clip.
    """

    clouds: JointClouds
    seen: NDArray[np.int64]
    times: Array
    flat: Array
    grid: Array
    on_grid: Array
    camera: Pinhole
    size: int
    seed: int

    def of(self, starts: Sequence[int], window: int) -> Tensor:
        """Clouds (b, window, 17, S, 2) of windows that begin at `starts`, float32, as x/z and y/z of the rays. Beyond
        its end a stretch is played backwards, as in `windows.lift_grid`.
        """
        frames = len(self.grid)
        forth_and_back = np.pad(np.arange(frames), (0, max(0, window - frames)), mode="symmetric")
        at = np.stack([forth_and_back[start : start + window] for start in starts])  # (b, window)
        at, where = np.unique(at, return_inverse=True)
        rows, row_of = np.unique(self._nearest(self.grid[at]), return_inverse=True)
        drawn = self.clouds.draw(rows, self.size, torch.Generator().manual_seed(self.seed))
        focal, centre = (
            torch.as_tensor(v, dtype=torch.float32) for v in (self.camera.focal, self.camera.centre)
        )
        rays = (drawn - centre) / focal
        moved = torch.from_numpy(self.on_grid[at] - self.flat[rows[row_of]]).float()
        rays = rays[torch.from_numpy(row_of)] + moved[:, :, None]
        return rays[torch.from_numpy(where.reshape(len(starts), window))]

    def _nearest(self, times: Array) -> NDArray[np.int64]:
        """The frame, among those seen, nearest to each of the times (N,)."""
        known = self.times[self.seen]
        after = np.searchsorted(known, times).clip(1, max(len(known) - 1, 1))
        after = np.minimum(after, len(known) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.where(times - known[before] <= known[after] - times, before, after)
        return self.seen[nearer]
