"""The methods that rest on graphs of joints: GraFormer, Modulated GCN, DiffPose as released, DiffuPose."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from posecli.diffusion import gaussian, noise, sampler, schedules
from posecli.errors import UsageError
from posecli.methods import METHODS
from posecli.methods.base import DrawsNoise
from posecli.methods.common import mirrored
from posecli.methods.diffpose_official import DiffPoseOfficial, DiffPoseOfficialConfig
from posecli.methods.diffupose import DiffuPose, DiffuPoseConfig
from posecli.methods.frames import NECK_SHARE, NetworkJoints
from posecli.skeleton import H36M16, H36M17
from posecli.weights.format import load_weights, save_weights

TINY: dict[str, dict[str, Any]] = {
    "graformer": {"width": 16, "depth": 1},
    "mgcn": {"width": 16, "depth": 1},
    "diffpose-official": {"width": 16, "depth": 1, "step_width": 16, "dropout": 0.0},
    "diffupose": {"width": 32, "depth": 1, "timesteps": 20},
}
STEPS = {"diffpose-official": 2, "diffupose": 5}


def tiny(name: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    return METHODS[name].build({**METHODS[name].defaults, **TINY[name], **changes})


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def people(count: int, joints: int = 17, frames: int = 1) -> tuple[Tensor, Tensor]:
    """Random upright figures seen from afar: x2d (B, T, J, 2), pose (B, T, J, 3) with the root at zero."""
    pose = 0.3 * torch.randn(count, frames, joints, 3, generator=seeded(3))
    pose = pose - pose[..., :1, :]
    return pose[..., :2].clone(), pose


def lift(model: Any, x2d: Tensor, name: str, hypotheses: int = 3) -> Tensor:
    return model.lift_windows(x2d, hypotheses=hypotheses, steps=STEPS.get(name, 1), generator=seeded(1))


@pytest.mark.parametrize("skeleton", ["h36m17", "h36m16"])
@pytest.mark.parametrize("name", TINY)
def test_one_frame_is_enough_and_a_seed_gives_one_result(name: str, skeleton: str) -> None:
    model = tiny(name, skeleton=skeleton)
    assert model.window == 1 and model.skeleton == H36M17
    x2d, _ = people(1)
    pose = lift(model, x2d, name)
    assert pose.shape == (1, 3, 1, 17, 3) and pose.isfinite().all()
    assert (pose[..., 0, :] == 0).all()
    assert torch.equal(pose, lift(model, x2d, name))
    same = torch.equal(pose[:, 0], pose[:, 1])
    assert same == (name != "diffupose")
    with pytest.raises(ValueError, match="x2d must be"):
        lift(model, x2d.expand(1, 2, -1, -1), name)


@pytest.mark.parametrize("name", ["graformer", "mgcn", "diffpose-official"])
def test_a_frame_is_lifted_alike_alone_and_among_others(name: str) -> None:
    model, (x2d, _) = tiny(name), people(5)
    torch.testing.assert_close(lift(model, x2d, name)[3:4], lift(model, x2d[3:4], name), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["graformer", "mgcn"])
def test_a_mirrored_person_is_lifted_to_the_mirrored_pose(name: str) -> None:
    model, (x2d, _) = tiny(name, flip=True), people(4)
    expected = mirrored(lift(model, x2d, name), H36M17.mirror)
    torch.testing.assert_close(
        lift(model, mirrored(x2d, H36M17.mirror), name), expected, rtol=1e-4, atol=1e-5
    )


def test_sixteen_joints_get_a_neck_between_thorax_and_head() -> None:
    joints = NetworkJoints(H36M16)
    _, pose = people(3, joints=16)
    full = joints.restore(pose + 1.0)
    torch.testing.assert_close(joints.drop(full), pose)
    names = H36M17.joint_names
    thorax, neck, head = (full[..., names.index(n), :] for n in ("Thorax", "Neck/Nose", "Head"))
    torch.testing.assert_close(neck, (1 - NECK_SHARE) * thorax + NECK_SHARE * head)
    kept = [n for n in names if n != "Neck/Nose"]
    assert list(H36M16.joint_names) == kept
    for child, parent in enumerate(H36M16.parents):  # the tree is Human3.6M's with the head on the thorax
        there = H36M17.parents[names.index(kept[child])]
        expected = "Thorax" if kept[child] == "Head" else names[there]
        assert parent == -1 or kept[parent] == expected


@pytest.mark.parametrize("name", TINY)
def test_training_lowers_the_loss_and_a_seed_repeats_it(name: str) -> None:
    x2d, pose = people(32)
    runs = []
    for _ in range(2):
        model = tiny(name).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for step in range(20):
            loss = model.loss(x2d, pose, generator=seeded(step)).objective()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert all(p.grad is not None for p in model.parameters())
        runs.append(losses)
    assert runs[0] == runs[1]
    assert sum(runs[0][-5:]) < 0.8 * sum(runs[0][:5])


@pytest.mark.parametrize("name", TINY)
def test_weights_survive_their_file(name: str, tmp_path: Path) -> None:
    model, (x2d, pose) = tiny(name), people(4)
    model.train().loss(x2d, pose, generator=seeded(0))  # moves the statistics of batch normalisation
    model.eval()
    save_weights(tmp_path / "w.safetensors", name, model)
    found, again, _ = load_weights(tmp_path / "w.safetensors")
    assert found == name and again.config == model.config
    assert torch.equal(lift(again, x2d, name), lift(model, x2d, name))


# DiffuPose ---------------------------------------------------------------------------------------------


class KnowsThePose(nn.Module):
    """A denoiser that predicts the noise which is really there."""

    def __init__(self, pose: Tensor, schedule: schedules.Schedule) -> None:
        super().__init__()
        self.pose, self.schedule = pose, schedule

    def forward(self, x_t: Tensor, x2d: Tensor, t: Tensor) -> Tensor:
        return torch.cat([gaussian.noise_from_x0(x_t, t, self.pose, self.schedule), x2d], dim=-1)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("steps", [2, 5, 10, 20, 100])
def test_sampling_with_the_true_noise_ends_at_the_pose(steps: int, schedule: str) -> None:
    model = DiffuPose(DiffuPoseConfig(width=32, depth=1, schedule=schedule))
    x2d, pose = (x[:, 0].clamp(-0.9, 0.9) for x in people(3))
    model.net = KnowsThePose(pose, model.schedule)  # type: ignore[assignment]
    end = model.sample(x2d, steps=steps, draw=noise.from_generator(seeded(2)))
    torch.testing.assert_close(end, pose, rtol=0, atol=2e-4)


def test_all_steps_of_ddim_with_eta_one_are_ancestral_sampling() -> None:
    """Ho et al. 2020, eq. 7: posterior mean and variance from the twelve tables."""
    schedule = schedules.cosine_schedule(20)
    tables = schedules.schedule_buffers(schedule)
    start, x0, *draws = torch.randn(21, 4, 3, generator=seeded(0)).double()

    class Guess:
        def __init__(self, state: Tensor, t: int) -> None:
            self.state = state
            self.signals = (x0,)
            self.noises = (gaussian.noise_from_x0(state, torch.full((4,), t), x0, schedule),)

    seen = [
        g.state
        for g in sampler.ddim(
            (start,),
            lambda states, t: Guess(states[0], t),
            schedule=schedule,
            steps=20,
            eta=1.0,
            draw=noise.recorded(draws),
        )
    ]
    state = start
    for k, t in enumerate(range(19, 0, -1)):
        mean = tables["posterior_mean_coef1"][t] * x0 + tables["posterior_mean_coef2"][t] * state
        state = mean + tables["posterior_variance"][t].sqrt() * draws[k]
        torch.testing.assert_close(seen[k + 1], state, rtol=1e-9, atol=1e-9)


def test_batch_of_one_and_hypotheses_do_not_change_what_noise_makes() -> None:
    model, (x2d, _) = tiny("diffupose"), people(3)
    assert isinstance(model, DrawsNoise)
    draws = [torch.randn(3, 2, 1, 17, 3, generator=seeded(k)) for k in range(10)]
    together = model.lift_drawing(x2d, hypotheses=2, steps=5, draw=noise.recorded(draws))
    for row in range(3):
        alone = model.lift_drawing(
            x2d[row : row + 1],
            hypotheses=1,
            steps=5,
            draw=noise.recorded([d[row : row + 1, 1:] for d in draws]),
        )
        torch.testing.assert_close(alone[:, 0], together[row : row + 1, 1], rtol=1e-3, atol=1e-4)


def test_a_single_step_from_noise_is_refused() -> None:
    with pytest.raises(UsageError, match="one step from noise alone is no pose"):
        tiny("diffupose").lift_windows(people(1)[0], hypotheses=1, steps=1, generator=seeded(0))


def test_flip_averages_with_a_chain_of_its_own_noise() -> None:
    model, (x2d, _) = tiny("diffupose"), people(2)
    draws = [torch.randn(2, 1, 1, 17, 3, generator=seeded(k)) for k in range(10)]
    both = model.lift_drawing(x2d, hypotheses=1, steps=5, draw=noise.recorded(draws))[:, 0, 0]
    plain = model.sample(x2d[:, 0], steps=5, draw=noise.recorded([d[:, 0, 0] for d in draws[0::2]]))
    other = model.sample(
        mirrored(x2d[:, 0], H36M17.mirror), steps=5, draw=noise.recorded([d[:, 0, 0] for d in draws[1::2]])
    )
    mean = (plain + mirrored(other, H36M17.mirror)) / 2
    torch.testing.assert_close(both, mean - mean[:, :1], rtol=1e-4, atol=1e-5)


def test_loss_weighs_joints_channels_and_kinds_of_error() -> None:
    model = DiffuPose(DiffuPoseConfig(width=32, depth=1)).eval()
    x2d, pose = (x[:, 0] for x in people(2))
    z, t = torch.randn(2, 17, 3, generator=seeded(1)), torch.tensor([3, 50])

    class OffByOne(nn.Module):
        def forward(self, x_t: Tensor, x2d: Tensor, t: Tensor) -> Tensor:
            return torch.cat([z, x2d], dim=-1) + 1.0

    model.net = OffByOne()  # type: ignore[assignment]
    losses = model.losses(x2d, pose, t, z)
    per_joint = (3 * 1.0 + 2 * 0.8) / 5
    weights = [1, 1, 2, 4, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 1, 2, 4]  # released, Human3.6M-17
    assert float(losses.unweighted) == pytest.approx(per_joint)
    assert float(losses.objective()) == pytest.approx(per_joint * sum(weights) / 17)


@pytest.mark.parametrize(
    ("steps", "times"),
    [
        (2, [99, 49, -1]),
        (5, [99, 79, 59, 39, 19, -1]),
        (10, [*range(99, -1, -10), -1]),
        (20, [*range(99, -1, -5), -1]),
    ],
)
def test_steps_of_table_vi_are_evenly_spaced(steps: int, times: list[int]) -> None:
    model, trace = DiffuPose(DiffuPoseConfig(width=32, depth=1)).eval(), []  # type: ignore[var-annotated]
    x2d, _ = people(2)
    model.sample(x2d[:, 0], steps=steps, draw=noise.from_generator(seeded(0)), trace=trace)
    assert [step.t for step in trace] == times[:-1]


@pytest.mark.parametrize(("steps", "same"), [(5, True), (20, False)])
def test_ddim_is_decided_by_its_first_draw_and_ddpm_is_not(steps: int, same: bool) -> None:
    """The tiny network has 20 steps: as many are ancestral sampling (Ho et al. 2020), which draws in each."""
    model, (x2d, _) = tiny("diffupose"), people(2)
    first = torch.randn(2, 17, 3, generator=seeded(0))
    ends = [
        model.sample(
            x2d[:, 0],
            steps=steps,
            draw=noise.recorded([first, *torch.randn(steps, 2, 17, 3, generator=seeded(seed))]),
        )
        for seed in (1, 2)
    ]
    assert torch.equal(*ends) == same


@pytest.mark.parametrize("skeleton", ["h36m17", "h36m16"])
def test_hypotheses_are_others_and_their_mean_is_steadier(skeleton: str) -> None:
    """Averages of ten independent chains vary √10 less than single ones."""
    model, (x2d, _) = tiny("diffupose", skeleton=skeleton, flip=False), people(1)
    poses = model.lift_windows(x2d, hypotheses=400, steps=5, generator=seeded(0))[0, :, 0, 1:]
    single = poses.std(dim=0).mean()
    means = poses.view(40, 10, *poses.shape[1:]).mean(dim=1).std(dim=0).mean()
    assert len(torch.unique(poses.flatten(1), dim=0)) == 400
    assert float(single / means) == pytest.approx(math.sqrt(10), rel=0.15)


def test_linear_and_cosine_schedules_of_a_hundred_steps_end_in_noise() -> None:
    """Linear: Ho et al.'s betas for 1000 steps, ten times as large; cosine: Nichol & Dhariwal's eq. 17."""
    linear, cosine = (DiffuPoseConfig(width=32, depth=1, schedule=name) for name in ("linear", "cosine"))
    betas = DiffuPose(linear).schedule.betas
    assert float(betas[0]) == pytest.approx(1e-3) and float(betas[-1]) == pytest.approx(0.2)
    for t in (0, 30, 70):
        angle = [math.cos((s / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for s in (t + 1, 0)]
        assert DiffuPose(cosine).schedule.alpha_bar(t) == pytest.approx(angle[0] / angle[1], rel=1e-9)
    assert DiffuPose(linear).schedule.alpha_bar(99) < 1e-4 > DiffuPose(cosine).schedule.alpha_bar(99)


def test_sixteen_joints_are_weighed_by_name() -> None:
    weights = DiffuPose(DiffuPoseConfig(width=32, depth=1, skeleton="h36m16")).joint_weights.tolist()
    assert weights == [1, 1, 2, 4, 1, 2, 4, 1, 1, 1, 1, 2, 4, 1, 2, 4]  # released, without the neck


# DiffPose as released ----------------------------------------------------------------------------------


def test_released_schedule_and_steps_of_diffpose() -> None:
    model = tiny("diffpose-official")
    for t, abar in ((0, 0.9999), (6, 0.998922), (12, 0.997299), (23, 0.992658), (50, 0.972331)):
        assert model.schedule.alpha_bar(t) == pytest.approx(abar, abs=1e-6)  # methods.md, appendix B
    assert schedules.SCHEDULES["diffpose-printed"](50).alpha_bar(49) == pytest.approx(0.948821, abs=1e-6)
    assert model.times(2) == [12, 0, -1]
    assert model.times(1) == [0, -1]
    assert model.times(5) == [16, 12, 8, 4, 0, -1]
    assert model.times(24) == [*range(23, -1, -1), -1]
    with pytest.raises(UsageError, match="at most 24 steps, not 25"):
        model.times(25)


def test_diffpose_for_video_denoises_every_frame_of_mixstes_guess() -> None:
    model = tiny("diffpose-official", frames=5, mixste_width=16, mixste_depth=1, mixste_heads=2, reach=1)
    assert model.window == 5
    x2d, pose = people(2, frames=5)
    start = model.start(x2d)
    assert start.shape == (2, 5, 17, 5) and torch.equal(start[..., :2], x2d)
    lifted = model.lift_windows(x2d, hypotheses=2, steps=1, generator=seeded(0))
    assert lifted.shape == (2, 2, 5, 17, 3)
    # one step at t = 0 can move a joint by no more than its share of noise: sqrt(1 - abar_0) = 1 cm per unit
    eps = model.net(start.flatten(0, 1), torch.zeros(10))[..., 2:]
    moved = start[..., 2:] / math.sqrt(0.9999) - 0.01 / math.sqrt(0.9999) * eps.view(2, 5, 17, 3)
    torch.testing.assert_close(lifted[:, 0, :, 1:], moved[:, :, 1:], rtol=1e-4, atol=1e-5)
    assert model.train().loss(x2d, pose, generator=seeded(0)).objective().isfinite()


def test_steps_are_drawn_in_pairs() -> None:
    model = tiny("diffpose-official")
    assert model.antithetic(torch.tensor([3, 50, 0]), 5).tolist() == [3, 50, 0, 47, 0]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("graformer", {"heads": 3}, "multiple of heads"),
        ("graformer", {"order": 0}, "order must be a whole number"),
        ("mgcn", {"width": 1}, "width must be at least 2"),
        ("mgcn", {"skeleton": "spider"}, "skeleton must be one of"),
        ("diffpose-official", {"reach": 52}, "reach must be at most timesteps"),
        ("diffpose-official", {"beta_end": 1e-5}, "beta_start <= beta_end"),
        ("diffupose", {"schedule": "steep"}, "schedule must be one of"),
        ("diffupose", {"width": 40}, "multiple of 16"),
        ("diffupose", {"loss": "l3"}, 'loss must be "l1" or "l2"'),
        ("diffupose", {"recon_weight": -1.0}, "recon_weight"),
        ("diffupose", {"clamp": math.nan}, "clamp must be positive"),
    ],
)
def test_wrong_settings_are_named(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(name, **changes)


def test_defaults_are_the_released_models() -> None:
    assert METHODS["diffpose-official"].defaults == DiffPoseOfficialConfig().to_dict()
    assert isinstance(tiny("diffpose-official"), DiffPoseOfficial)
