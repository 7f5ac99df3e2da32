"""A paired set with the clouds of its heatmaps: windows cut from it to train on, and whole clips to lift."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posecli import resample
from posecli.camera import Pinhole
from posecli.corpus.landmarks_seen import SEEN_COLUMNS, SEEN_POINTS, to_flat_h36m
from posecli.corpus.pair_clouds import Places, unpack
from posecli.corpus.pairs import Pairs
from posecli.corpus.simulate import Batch
from posecli.corpus.window_clouds import CloudBank, PairedClouds, known_places
from posecli.detect.clouds import JointClouds, score_spread
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import UsageError
from posecli.facing import face_windows

Array = NDArray[np.float64]

_NO_CLOUDS = (
    "the paired set keeps no clouds, which this method starts from; make it anew with 'posecli data pairs'"
)


def paired_batches(
    pairs: Pairs,
    window: int,
    size: int = 64,
    *,
    overlap: float = 0.0,
    size_exponent: float = 0.5,
    clouds: bool = False,
) -> list[Batch]:
    """The set as a `Simulator` would have drawn it: batches of up to `size` windows of `window` frames.

    Missed frames are bridged by straight lines as lifting does; stretches of which the detector found fewer than
    half the frames are left out. clouds: bring those of the heatmaps along (`PairedClouds`); in a missed frame the
    nearest found one's go with the joints. Raises UsageError where the set's windows are shorter than `window`, or
    where it kept no clouds and they are asked for.
    """
    frames = pairs.xy.shape[1]
    if window > frames:
        raise UsageError(f"the paired set has windows of {frames} frames, too short for {window}")
    places = paired_places(pairs) if clouds else None
    flat, camera, views, rows, nearest, moved = [], [], [], [], [], []
    stride = max(1, round(window * (1 - overlap)))
    grid = np.arange(window, dtype=np.float64)
    for row in range(len(pairs)):
        seen = to_flat_h36m(_flat(pairs, row))
        for start in range(0, frames - window + 1, stride):
            part = slice(start, start + window)
            found = pairs.found[row, part]
            if found.mean() < 0.5:
                continue
            flat.append(resample.linear(grid[found], seen[part][found], grid))
            camera.append(pairs.points[row, part, :17])
            views.append(int(pairs.viewpoint[row]))
            known = grid[found].astype(np.int64)
            near = known[np.abs(grid[:, None] - known).argmin(axis=1)]
            rows.append(row)
            nearest.append(start + near)
            moved.append(flat[-1] - flat[-1][near])
    batches = []
    for k in range(0, len(flat), size):
        some = slice(k, k + size)
        rays = torch.from_numpy(np.stack(flat[some])).float()
        faced = face_windows(rays, size_exponent)
        joints = torch.from_numpy(np.stack(camera[some])).float()
        pose = faced.from_camera(joints - joints[:, :, :1])
        along = None
        if places is not None:
            along = PairedClouds(
                places=places, row=torch.tensor(rows[some]), frame=torch.from_numpy(np.stack(nearest[some])),
                moved=torch.from_numpy(np.stack(moved[some])).float(), rotation=faced.rotation,
                shown=faced.shown, flip=torch.zeros(len(rays), dtype=torch.bool),
            )  # fmt: skip
        batches.append(Batch(faced.x2d, pose, faced, rays, torch.tensor(views[some]), along))
    return batches


def paired_places(pairs: Pairs) -> Places:
    """Where the heatmaps put the landmarks (P, T, 19), flat coordinates; Gaussians about the landmark as its score
    says (`score_spread`) where a heatmap says nothing. Raises UsageError for a set that kept no clouds.
    """
    if pairs.places is None:
        raise UsageError(_NO_CLOUDS)
    seen = np.stack([_flat(pairs, row)[:, SEEN_COLUMNS] for row in range(len(pairs))])
    h36m = np.stack([to_flat_h36m(_flat(pairs, row)) for row in range(len(pairs))])
    half = (h36m.max(axis=2) - h36m.min(axis=2)).max(axis=-1, keepdims=True) / 2
    to_flat = np.zeros((*pairs.to_image.shape[:2], 1, 2, 3), np.float32)
    for row, size in enumerate(pairs.size):
        pinhole = Pinhole.from_fov((int(size[0]), int(size[1])))
        affine = pairs.to_image[row].astype(np.float64)
        affine[..., 2] -= pinhole.centre
        to_flat[row, :, 0] = affine / pinhole.focal
    places = unpack(pairs.places).through(torch.from_numpy(to_flat))
    spread = score_spread(pairs.scores[..., SEEN_COLUMNS]) * half
    return known_places(places, torch.from_numpy(seen).float(), spread)


class PairedClipClouds(JointClouds):
    """Clouds of one window of a paired set as lifting takes them: from its packed heatmaps, where they say something.

    Raises UsageError for a set that kept none.
    """

    def __init__(self, pairs: Pairs, row: int, keypoints: Keypoints2D) -> None:
        if pairs.places is None:
            raise UsageError(_NO_CLOUDS)
        super().__init__(keypoints, None)
        affine = torch.from_numpy(pairs.to_image[row].astype(np.float64)).float()[:, None]
        places = unpack(pairs.places[row]).through(affine)
        # From top to bottom, as places are drawn from heatmaps: so equal draws are near each other in time.
        order = places.means[..., 1].argsort(dim=-1)
        places = Places(
            places.weights.gather(-1, order),
            torch.take_along_dim(places.means, order[..., None], dim=-2),
            torch.take_along_dim(places.factors, order[..., None, None], dim=-3),
        )
        self._places = places[:, [SEEN_COLUMNS.index(int(joint)) for joint in self._used]]
        self.warning = None

    def _from_heatmaps(self, rows: NDArray[np.int64], quantiles: Tensor, drawn: Tensor) -> None:
        places = self._places[torch.from_numpy(rows)]  # (R, J')
        # One number says which component and, by what is left of it, how far down in it.
        edges = places.weights.cumsum(-1)
        edges = edges / edges[..., -1:].clamp_min(1e-12)
        which = quantiles[..., 1].float()
        kind = (which[..., None] >= edges[..., None, :-1]).sum(-1)
        high = edges.gather(-1, kind)
        low = torch.nn.functional.pad(edges, (1, 0)).gather(-1, kind)
        left = (which - low) / (high - low).clamp_min(1e-12)
        both = torch.stack([quantiles[..., 0].float().expand_as(left), left], dim=-1)
        found = places.draw(which, torch.special.ndtri(both.clamp(1e-6, 1 - 1e-6))).double()
        drawn.copy_(torch.where(places.known[..., None, None], found, drawn))


def cloud_bank(pairs: Pairs) -> CloudBank:
    """What the detector's heatmaps said in every frame of the set, to draw simulated clouds from."""
    places, pixels = paired_places(pairs), pairs.projections()[:, :, SEEN_POINTS]
    true, seen = [], []
    for row, size in enumerate(pairs.size):
        pinhole = Pinhole.from_fov((int(size[0]), int(size[1])))
        true.append(pinhole.rays(pixels[row])[..., :2])
        seen.append(_flat(pairs, row)[:, SEEN_COLUMNS])
    found = torch.from_numpy(pairs.found)
    return CloudBank.of(
        torch.from_numpy(np.stack(seen)).float()[found],
        torch.from_numpy(np.stack(true)).float()[found],
        places[found],
    )


def _flat(pairs: Pairs, row: int) -> Array:
    """Landmarks (T, 33, 2) of one window, flat coordinates."""
    pinhole = Pinhole.from_fov((int(pairs.size[row, 0]), int(pairs.size[row, 1])))
    flat: Array = pinhole.rays(pairs.xy[row])[..., :2]
    return flat
