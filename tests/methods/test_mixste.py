"""MixSTE: size of the released models, losses by hand, what deterministic lifting promises."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from posecli.methods import METHODS
from posecli.methods.common import mirrored
from posecli.methods.mixste import MixSTE, MixSTEConfig, joint_weights
from posecli.skeleton import H36M17

TINY = MixSTEConfig(frames=5, width=16, depth=2, heads=2)


def tiny(**changes) -> MixSTE:
    torch.manual_seed(0)
    return MixSTE(dataclasses.replace(TINY, **changes)).eval()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("frames", "size"), [(243, 33_783_811), (81, 33_700_867), (27, 33_673_219)])
def test_parameters_of_the_released_models(frames: int, size: int) -> None:
    with torch.device("meta"):
        model = MixSTE(MixSTEConfig(frames=frames))
    assert sum(p.numel() for p in model.parameters()) == size  # methods.md 12.3
    assert len(model.state_dict()) == 204


def test_the_registry_builds_from_settings_and_refuses_foreign_ones() -> None:
    model = METHODS["mixste"].build(TINY.to_dict())
    assert model.config == TINY and model.window == 5 and not model.training
    with pytest.raises(ValueError, match=r"missing settings \['width'\]"):
        METHODS["mixste"].build({k: v for k, v in TINY.to_dict().items() if k != "width"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"velocity_weight": -1.0}, "velocity_weight must not be negative"),
        ({"smoothness_weight": float("nan")}, "smoothness_weight must not be negative"),
        ({"weighted_joints": 1}, "weighted_joints must be true or false"),
        ({"frames": True}, "frames must be a whole number"),
    ],
)
def test_wrong_settings_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_released_joint_weights() -> None:
    assert joint_weights(H36M17) == (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)


def test_hypotheses_are_one_and_the_same_root_relative_pose() -> None:
    model, x2d = tiny(), torch.randn(2, 5, 17, 2, generator=seeded(1))
    poses = model.lift_windows(x2d, hypotheses=3, steps=7, generator=seeded(0))
    assert poses.shape == (2, 3, 5, 17, 3)
    assert torch.equal(poses[:, :1].expand_as(poses), poses)
    assert not poses[..., 0, :].any()


def test_mirrored_input_gives_the_mirrored_pose() -> None:
    model, x2d = tiny(), torch.randn(2, 5, 17, 2, generator=seeded(1))
    with torch.no_grad():
        pose, other = model.predict(x2d), model.predict(mirrored(x2d, H36M17.mirror))
    torch.testing.assert_close(other, mirrored(pose, H36M17.mirror), rtol=1e-4, atol=1e-5)


def test_losses_by_hand() -> None:
    """One wrist (weight 4) of 17 joints off by 3 cm sideways in one of two frames; the truth stands still."""
    model, pose = tiny(), torch.zeros(1, 2, 17, 3)
    prediction = pose.clone()
    prediction[0, 1, H36M17.index("LWrist"), 0] = 0.03
    losses = model.losses(prediction, pose)
    assert losses.position.item() == pytest.approx(4 * 0.03 / 34)
    assert losses.smoothness.item() == pytest.approx(4 * 0.03**2 / (17 * 3))
    assert losses.velocity.item() == pytest.approx(0.03 / 17)
    parts = losses.position + 0.5 * losses.smoothness + 2.0 * losses.velocity
    assert losses.total.item() == pytest.approx(parts.item())
    plain = tiny(weighted_joints=False, velocity_weight=0.0, smoothness_weight=0.0)
    assert plain.losses(prediction, pose).total.item() == pytest.approx(0.03 / 34)


def test_a_window_of_one_frame_has_no_velocity() -> None:
    model = tiny(frames=1)
    losses = model.losses(torch.ones(2, 1, 17, 3), torch.zeros(2, 1, 17, 3))
    assert losses.velocity.item() == losses.smoothness.item() == 0 and torch.isfinite(losses.total)


def test_training_lowers_the_loss_and_a_seed_repeats_it() -> None:
    x2d, pose = (torch.randn(4, 1, 17, c, generator=seeded(c)).expand(4, 5, 17, c) * 0.3 for c in (2, 3))
    histories = []
    for _ in range(2):
        model, generator = tiny(drop_path=0.1).train(), seeded(7)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        history = []
        for _ in range(20):
            loss = model.loss(x2d, pose, generator=generator)
            optimizer.zero_grad()
            loss.objective(scaled_by_itself=True).backward()
            optimizer.step()
            history.append(loss.total.item())
        histories.append(history)
    assert histories[0] == histories[1]
    assert sum(histories[0][-5:]) < 0.8 * sum(histories[0][:5])
