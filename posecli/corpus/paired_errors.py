"""The paired set as errors: how far the detector was off, and how each landmark was seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from posecli.camera import Pinhole
from posecli.corpus.body_views import view
from posecli.corpus.landmarks_seen import SEEN_COLUMNS
from posecli.corpus.pairs import Pairs
from posecli.corpus.viewpoints import Seen

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """The paired set as the fit sees it; N windows, D = 19 landmarks.

    error: (N, T, D, 2) in units, NaN where missed. truth: (N, T, D, 2), units from the frame's mean. axes, front,
    near, hidden, beyond, tilt: as `body_views.Views`. scores: (N, T, D).
    """

    error: Array
    truth: Array
    axes: Array
    front: Array
    near: Array
    hidden: Array
    beyond: Array
    tilt: Array
    scores: Array

    @property
    def state(self) -> NDArray[np.int64]:
        """(N, T, D) index into `STATES`, -1 where neither in sight nor hidden for sure."""
        outside = np.linalg.norm(self.beyond, axis=-1) > 0
        return np.select([outside, self.hidden == 0, self.hidden == 1], [2, 0, 1], -1)


def seen_pairs(pairs: Pairs) -> Seen:
    """The truth of a paired set as the simulator holds it."""
    focal = assumed_focal(pairs)
    return Seen(
        torch.from_numpy(pairs.points), torch.from_numpy(pairs.focal / focal).float(),
        torch.from_numpy(pairs.size / 2 / focal[:, None]).float(), torch.from_numpy(pairs.up),
        torch.from_numpy(pairs.viewpoint.astype(np.int64)),
    )  # fmt: skip


def assumed_focal(pairs: Pairs) -> Array:
    """(N,) focal length, pixels, that lifting would assume."""
    return np.array([Pinhole.from_fov((int(w), int(h))).focal for w, h in pairs.size])


def errors_of(pairs: Pairs, detected: NDArray[np.floating] | None = None) -> Errors:
    """Errors of the detector; or of `detected` (N, T, 19, 2) in flat coordinates, in its place."""
    views = view(seen_pairs(pairs))
    if detected is None:
        middle, focal = pairs.size[:, None, None] / 2, assumed_focal(pairs)[:, None, None, None]
        detected = (pairs.xy[:, :, SEEN_COLUMNS] - middle) / focal
    flat, unit = views.flat.double().numpy(), views.unit.double().numpy()
    rest = (views.axes, views.front, views.near, views.hidden, views.beyond, views.tilt)
    axes, front, near, hidden, beyond, tilt = (r.double().numpy() for r in rest)
    truth = flat / unit
    return Errors(
        (detected - flat) / unit, truth - truth.mean(axis=2, keepdims=True), axes, front, near, hidden, beyond, tilt,
        pairs.scores[:, :, SEEN_COLUMNS].astype(np.float64),
    )  # fmt: skip
