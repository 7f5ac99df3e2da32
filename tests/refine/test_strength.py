"""How much of a correction is made."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posecli.demo import shipped_motion
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig
from posecli.refine.pairs import Pairs
from posecli.refine.strength import find_strength

CONFIG = D3PRefinerConfig(frames=5, width=16, depth=1, heads=2, diffusion=False, conditional=False)


class Overdoing(D3PRefiner):
    """Finds every joint 40 mm too low."""

    def error(self, x2d: Tensor, state: Tensor, t: int) -> Tensor:
        guess = torch.zeros_like(state)
        guess[..., 1:, 1] = 0.04
        return guess


def pairs(low: float) -> Pairs:
    """Poses whose joints, but for the root, were lifted `low` metres too low."""
    pose = torch.from_numpy(shipped_motion().points[:20, :17]).reshape(4, 5, 17, 3).float()
    pose = pose - pose[:, :, :1]
    noisy = pose.clone()
    noisy[..., 1:, 1] += low
    return Pairs(pose[..., :2].clone(), noisy, pose)


@pytest.mark.parametrize(
    ("errors", "strength"),
    [
        ([0.02], 0.5),  # half of the correction is right
        ([0.05], 1.0),  # never more than all of it
        ([0.02, 0.04], 0.65),  # |1 - 2 s| and 1 - s of what was wrong are left: alike at two thirds
        ([0.04, -0.02], 0.05),  # it only harms the other: as little as can be
    ],
)
def test_the_worst_off_lifter_decides(errors: list[float], strength: float) -> None:
    assert find_strength(Overdoing(CONFIG), [pairs(e) for e in errors]) == strength


def test_a_share_of_the_correction_is_made() -> None:
    low = pairs(0.04)
    half = Overdoing(D3PRefinerConfig(**{**CONFIG.to_dict(), "strength": 0.5})).refine(low.x2d, low.noisy)
    torch.testing.assert_close(half, (low.noisy + low.pose) / 2)
