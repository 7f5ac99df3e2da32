"""DDHPose: sizes of the released models, symmetry of the sampler, losses, settings."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from posecli.diffusion import noise
from posecli.methods import METHODS
from posecli.methods.common import mirrored
from posecli.methods.ddhpose import DDHPose, DDHPoseConfig

TINY = DDHPoseConfig(frames=5, width=16, depth=2, heads=2)


def tiny(**changes) -> DDHPose:
    torch.manual_seed(0)
    model = DDHPose(dataclasses.replace(TINY, **changes)).eval()
    for name, parameter in model.named_parameters():
        if name.split(".")[-1] in ("pos_s", "pos_t", "group_emb"):
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_live_parameters_of_the_released_model() -> None:
    with torch.device("meta"):
        model = DDHPose(DDHPoseConfig())
    live = sum(p.numel() for p in model.parameters())
    assert live == 36_677_635  # methods.md 12.3
    unused = 7 * (512 * 512 + 512)  # STEblocks.*.attn.qkv_xc, created and never used by the released code
    assert live + unused == 38_516_227


def test_the_registry_builds_from_settings_and_refuses_foreign_ones() -> None:
    model = METHODS["ddhpose"].build(TINY.to_dict())
    assert model.config == TINY and model.window == 5 and not model.training
    with pytest.raises(ValueError, match=r"unknown settings \['wings'\]"):
        METHODS["ddhpose"].build({**TINY.to_dict(), "wings": 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton": "spider"}, "skeleton must be one of"),
        ({"hrtt_layout": "new"}, "hrtt_layout must be"),
        ({"hrst": 1}, "hrst must be true or false"),
        ({"length_weight": -1.0}, "length_weight must not be negative"),
        ({"width": 17}, "width must be even"),
        ({"heads": 3}, "multiple of heads"),
        ({"frames": 0}, "frames must be a whole number"),
        ({"depth": 10**9}, "depth must be a whole number"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"clamp": float("nan")}, "clamp must be positive"),
        ({"hrst_over_frames": True}, "as many frames as joints"),
    ],
)
def test_wrong_settings_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_lifting_is_root_relative_and_a_seed_repeats_it() -> None:
    model, x2d = tiny(), torch.randn(2, 5, 17, 2, generator=seeded(1))
    poses = [model.lift_windows(x2d, hypotheses=3, steps=2, generator=seeded(s)) for s in (4, 4, 5)]
    assert poses[0].shape == (2, 3, 5, 17, 3)
    assert torch.equal(poses[0][..., 0, :], torch.zeros(2, 3, 5, 3))
    assert torch.equal(poses[0], poses[1]) and not torch.equal(poses[0], poses[2])


def test_mirrored_input_and_noise_give_the_mirrored_pose() -> None:
    model, x2d = tiny(), torch.randn(1, 5, 17, 2, generator=seeded(1))
    shapes = [(1, 2, 5, 17, 3), (1, 2, 5, 17, 1), (1, 2, 5, 16, 3), (1, 2, 5, 16, 1)]
    draws = [torch.randn(shape, generator=seeded(i)) for i, shape in enumerate(shapes)]

    def mirrored(z: torch.Tensor) -> torch.Tensor:
        joints = z if z.shape[-2] == 17 else torch.cat([z[..., :1, :], z], dim=-2)  # bones as their children
        joints = joints[..., list(model.skeleton.mirror), :]
        if z.shape[-1] > 1:
            joints = joints * torch.tensor([-1.0, *[1.0] * (z.shape[-1] - 1)])
        return joints if z.shape[-2] == 17 else joints[..., 1:, :]

    pose = model.sample(x2d, hypotheses=2, steps=2, draw=noise.recorded(draws))
    other = model.sample(
        mirrored(x2d), hypotheses=2, steps=2, draw=noise.recorded([mirrored(z) for z in draws])
    )
    torch.testing.assert_close(other, mirrored(pose), rtol=1e-4, atol=1e-5)


def test_hypotheses_do_not_see_one_another() -> None:
    model, x2d = tiny(), torch.randn(2, 5, 17, 2, generator=seeded(1))
    draws = [torch.randn(2, 3, 5, 17, c, generator=seeded(c)) for c in (3, 1)]
    together = model.sample(x2d, hypotheses=3, steps=1, draw=noise.recorded(draws))
    alone = model.sample(x2d[1:], hypotheses=1, steps=1, draw=noise.recorded([z[1:, 2:] for z in draws]))
    torch.testing.assert_close(together[1:, 2:], alone, rtol=1e-4, atol=1e-5)


def test_windows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(B, 5, 17, 2\)"):
        tiny().lift_windows(torch.zeros(1, 6, 17, 2), hypotheses=1, steps=1, generator=seeded(0))


def test_losses_by_hand() -> None:
    """Stretching a pose about the root changes lengths and positions, no direction."""
    model = tiny()
    pose = torch.randn(2, 5, 17, 3, generator=seeded(0))
    pose = pose - pose[..., :1, :]
    losses = model.losses(1.5 * pose, pose)
    assert losses.position.item() == pytest.approx(0.5 * pose.norm(dim=-1).mean().item(), rel=1e-5)
    length = (pose[..., model._child, :] - pose[..., model._parent, :]).norm(dim=-1)  # (B, T, bones)
    assert losses.length.item() == pytest.approx((0.5 * length.mean(1)).square().mean().item(), rel=1e-5)
    assert losses.direction.item() == pytest.approx(0, abs=1e-10)
    opposite = model.losses(-pose, pose)
    assert opposite.direction.item() == pytest.approx(4, rel=1e-5)
    assert opposite.length.item() == pytest.approx(0, abs=1e-10)


def test_bones_of_no_length_make_no_nan() -> None:
    model, pose = tiny(), torch.zeros(1, 5, 17, 3, requires_grad=True)
    losses = model.losses(pose, torch.randn(1, 5, 17, 3, generator=seeded(0)))
    losses.total.backward()
    assert torch.isfinite(losses.total) and torch.isfinite(pose.grad).all()


def test_training_lowers_the_loss_and_a_seed_repeats_it() -> None:
    x2d, pose = (torch.randn(4, 5, 17, c, generator=seeded(c)) * 0.3 for c in (2, 3))
    histories = []
    for _ in range(2):
        model, generator = tiny(drop_path=0.1).train(), seeded(7)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        history = []
        for _ in range(30):
            loss = model.loss(x2d, pose, generator=generator)
            optimizer.zero_grad()
            loss.objective(scaled_by_itself=True).backward()
            optimizer.step()
            history.append(loss.total.item())
        histories.append(history)
    assert histories[0] == histories[1]
    assert sum(histories[0][-5:]) < 0.8 * sum(histories[0][:5])


def test_state_scale_changes_the_noise_not_the_signal() -> None:
    pose = torch.randn(2, 5, 17, 3, generator=seeded(0)) * 0.1
    t, still = torch.zeros(2, dtype=torch.long), torch.zeros(2, 5, 17, 3)
    plain, scaled = (tiny(state_scale=s).noised_states(pose, t, (still, still[..., :1])) for s in (1.0, 3.0))
    torch.testing.assert_close(plain, scaled)
    z = torch.ones_like(still)
    plain, scaled = (tiny(state_scale=s).noised_states(pose, t, (z, z[..., :1]))[0] for s in (1.0, 2.0))
    clean = tiny().noised_states(pose, t, (still, still[..., :1]))[0]
    torch.testing.assert_close(plain - clean, 2 * (scaled - clean), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"disentangled_input": False},
        {"disentangled_output": True},
        {"disentangled_input": False, "disentangled_output": True},
        {"hierarchy_embedding": False, "hrst": False, "hrtt_layout": "off"},
    ],
)
def test_what_the_papers_ablations_change_trains_and_keeps_the_mirror(changes: dict) -> None:
    model, x2d = tiny(**changes), torch.randn(1, 5, 17, 2, generator=seeded(1))
    pose = torch.randn(1, 5, 17, 3, generator=seeded(2))
    model.loss(x2d, pose - pose[..., :1, :], generator=seeded(3)).total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    mirror = list(model.skeleton.mirror)
    states = tuple(torch.randn(1, 2, 5, 17, c, generator=seeded(c)) for c in model._channels)
    t = torch.full((1,), 500)
    seen = model.step(x2d, states, t).pose
    other = model.step(mirrored(x2d, mirror), tuple(swapped(s, mirror) for s in states), t).pose
    torch.testing.assert_close(other, mirrored(seen, mirror), rtol=1e-4, atol=1e-5)
    assert model.lift_windows(x2d, hypotheses=2, steps=3, generator=seeded(0)).shape == (1, 2, 5, 17, 3)


def swapped(state: torch.Tensor, mirror: list[int]) -> torch.Tensor:
    return mirrored(state, mirror) if state.shape[-1] == 3 else state[..., mirror, :]


@pytest.mark.parametrize("skeleton", ["h36m17", "mpi_inf_3dhp17"])
def test_bones_of_any_length_chain_to_the_pose_they_are_of(skeleton: str) -> None:
    model = tiny(skeleton=skeleton, disentangled_output=True)
    pose = torch.randn(2, 5, 17, 3, generator=seeded(0)).double()
    pose = pose - pose[..., [model.skeleton.root], :]
    direction, length = (model._slots(part) for part in model.bones(pose))
    torch.testing.assert_close(model.chained(torch.cat([7 * direction, length], dim=-1)), pose)


def test_weights_from_before_the_ablations_settings_still_build() -> None:
    old = DDHPoseConfig().to_dict()
    for name in ("disentangled_input", "disentangled_output", "hierarchy_embedding", "hrst"):
        del old[name]
    del old["length_weight"], old["direction_weight"]
    assert DDHPoseConfig.from_dict(old) == DDHPoseConfig()
    with pytest.raises(ValueError, match="missing settings"):
        DDHPoseConfig.from_dict({"frames": 27})
