"""Cameras stand where the table says, and people are in the picture."""

from __future__ import annotations

import math

import pytest
import torch

from posecli.corpus.simulate import Simulator, SimulatorConfig
from posecli.corpus.store import Clip
from posecli.corpus.viewpoints import ASSUMED_TAN, NAMES, VIEWPOINTS, choose
from posecli.demo import shipped_motion


@pytest.mark.parametrize("name", NAMES)
def test_ranges_and_frame(name: str) -> None:
    clip = Clip(shipped_motion().points, 30.0, 2, 0, "A", 0, "", True, 1.0)
    config = SimulatorConfig(viewpoint=name, mixed=0, sitting=0, reaching=0)
    simulator, generator = Simulator([clip], 9, config), torch.Generator().manual_seed(0)
    motion = simulator.motion(512, generator)
    seen, ranges = simulator.see(motion, generator), VIEWPOINTS[name]
    assert (seen.viewpoint == NAMES.index(name)).all()

    low, high = (math.radians(f) / 2 for f in ranges.fov_deg)
    fov = torch.atan(ASSUMED_TAN / seen.zoom)
    assert low - 1e-4 <= fov.min() and fov.max() <= high + 1e-4
    assert seen.points[..., 2].min() > 0.49
    torch.testing.assert_close(seen.up.norm(dim=-1), torch.ones(512))

    # The camera is the origin: its height over the floor is minus the floor's along the way up.
    floor = torch.einsum("bi,btki->btk", seen.up, seen.points).amin(dim=(1, 2))
    distance = seen.points[:, :, 0].mean(dim=1).norm(dim=-1)
    # People who would not fit are further away, and steep views are not steeper than 72 degrees.
    usual = (distance <= ranges.distance_m[1]) & (distance > 2.5)
    inside = (-floor > ranges.height_m[0] - 0.35) & (-floor < ranges.height_m[1] + 0.35)
    assert inside[usual].float().mean() > 0.9
    assert distance.min() > 0.9 * ranges.distance_m[0]

    beyond = (seen.flat(seen.points).abs() > seen.half[:, None, None]).any(dim=-1)  # (B, T, 28)
    assert float(beyond.any(dim=(1, 2)).float().mean()) <= 1.15 * ranges.cut + 0.02
    assert beyond.any() or ranges.cut < 0.1


def test_shares() -> None:
    which = choose(20_000, "mixed", torch.Generator().manual_seed(0))
    for k, (name, row) in enumerate(VIEWPOINTS.items()):
        assert float((which == k).float().mean()) == pytest.approx(row.share, abs=0.015), name
    assert sum(v.share for v in VIEWPOINTS.values()) == pytest.approx(1)
    assert (choose(5, "webcam", torch.Generator()) == NAMES.index("webcam")).all()
