"""MixSTE's network: odd sizes, what tokens are told apart by, the state of D3DP."""

from __future__ import annotations

import pytest
import torch

from posecli.nets.mixste import MixSTENet


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(**changes) -> MixSTENet:
    torch.manual_seed(0)
    return MixSTENet(**{"joints": 17, "frames": 5, "width": 12, "depth": 2, "heads": 3, **changes}).eval()


@pytest.mark.parametrize(
    ("joints", "frames", "width", "depth", "heads"),
    [(17, 9, 12, 3, 3), (16, 7, 8, 1, 1), (13, 1, 6, 2, 3), (2, 80, 4, 2, 2)],
)
def test_any_size(joints: int, frames: int, width: int, depth: int, heads: int) -> None:
    sizes = {"joints": joints, "frames": frames, "width": width, "depth": depth, "heads": heads}
    x2d = torch.randn(2, frames, joints, 2, generator=seeded(0))
    pose = net(**sizes)(x2d)
    assert pose.shape == (2, 1, frames, joints, 3) and torch.isfinite(pose).all()
    state = torch.randn(2, 4, frames, joints, 3, generator=seeded(1))
    pose = net(**sizes, state_channels=3)(x2d, state, torch.tensor([0, 999]))
    assert pose.shape == (2, 4, frames, joints, 3) and torch.isfinite(pose).all()


def test_clips_and_hypotheses_do_not_see_one_another() -> None:
    model, x2d = net(state_channels=3), torch.randn(3, 5, 17, 2, generator=seeded(0))
    state, t = torch.randn(3, 4, 5, 17, 3, generator=seeded(1)), torch.tensor([3, 700, 999])
    together = model(x2d, state, t)
    alone = model(x2d[1:2], state[1:2, 2:3], t[1:2])
    torch.testing.assert_close(together[1:2, 2:3], alone, rtol=1e-4, atol=1e-5)


def test_every_frame_and_joint_counts() -> None:
    """A change of one token changes all outputs of the clip: attention goes over joints and frames."""
    model, x2d = net(), torch.randn(1, 5, 17, 2, generator=seeded(0))
    other = x2d.clone()
    other[0, 4, 16] += 1
    assert ((model(x2d) - model(other)).abs().amax(dim=-1) > 1e-6).all()


def test_without_places_joints_and_frames_are_alike() -> None:
    model, x2d = net(), torch.randn(1, 5, 17, 2, generator=seeded(0))
    frames, joints = torch.randperm(5, generator=seeded(1)), torch.randperm(17, generator=seeded(2))
    swapped = x2d[:, frames][:, :, joints]
    moved = model(x2d)[:, :, frames][:, :, :, joints]
    assert not torch.allclose(model(swapped), moved, atol=1e-3)
    with torch.no_grad():
        model.pos_s.zero_(), model.pos_t.zero_()
        moved = model(x2d)[:, :, frames][:, :, :, joints]
        torch.testing.assert_close(model(swapped), moved, rtol=1e-4, atol=1e-5)


def test_stochastic_depth_draws_from_the_generator() -> None:
    model, x2d = net(drop_path=0.5).train(), torch.randn(4, 5, 17, 2, generator=seeded(0))
    first, again, other = (model(x2d, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
