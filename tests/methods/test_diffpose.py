"""DiffPose as the paper tells it: geometry of the start, algebra of the chains, what heatmaps do, training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from posecli.corpus.store import Clip, write_corpus
from posecli.demo import shipped_motion
from posecli.diffusion import gaussian, mixture, schedules
from posecli.methods import METHODS
from posecli.methods.base import HeatmapLifter
from posecli.methods.diffpose import DiffPose
from posecli.methods.diffpose_config import DiffPoseConfig
from posecli.methods.diffpose_start import BINS, REACH, Depths, Quantiles, placed, placement
from posecli.methods.graformer import GraFormerConfig, GraFormerLifter
from posecli.methods.mixste import MixSTE, MixSTEConfig
from posecli.nets.diffpose_paper import step_embedding
from posecli.skeleton import H36M17
from posecli.train import TrainConfig, make_weights
from posecli.train.loop import Progress
from posecli.weights.format import load_weights, save_weights

ENCODER = {"width": 16, "depth": 1, "heads": 2}
TINY = DiffPoseConfig(
    frames=5, context_model=ENCODER, width=8, blocks=1, heads=2, timesteps=10, components=2, samples=300,
    target="previous", em_iterations=6, chains=2, train_frames=2,
)  # fmt: skip
WRIST = H36M17.index("LWrist")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(**changes: object) -> DiffPose:
    torch.manual_seed(0)
    return DiffPose(dataclasses.replace(TINY, **changes)).eval()  # type: ignore[arg-type]


def windows(batch: int = 2, frames: int = 5) -> tuple[Tensor, Tensor]:
    """Poses (B, T, 17, 3) of the demo's motion as a camera 3 m away sees them, and the image (B, T, 17, 2)."""
    points = torch.from_numpy(shipped_motion().points[: batch * frames, :17]) * torch.tensor(
        [1.0, -1.0, -1.0]
    )
    pose = (points - points[:, :1]).reshape(batch, frames, 17, 3)
    return pose, seen(pose, torch.tensor([0.2, -0.1, 3.0]))


def seen(pose: Tensor, root: Tensor, focal: float = 2.5) -> Tensor:
    points = pose + root
    return focal * points[..., :2] / points[..., 2:]


# The start ----------------------------------------------------------------------------------------------


def test_the_true_pose_gets_its_x_and_y_back_from_the_image() -> None:
    """Exact perspective: a root that walks towards the lens, a lens of its own for each window."""
    pose, _ = windows()
    roots = torch.stack([torch.tensor([0.3, 0.1, 4.0 - 0.4 * t]) for t in range(5)])[None, :, None]
    for focal in (1.0, 6.0):
        x2d = seen(pose, roots, focal)
        s, q = placement(x2d, pose, 0)
        torch.testing.assert_close(q, torch.full((2,), 1 / focal), rtol=1e-3, atol=0)
        torch.testing.assert_close(s, (roots[..., 0, 2] / focal).expand(2, -1), rtol=1e-3, atol=0)
        cloud = x2d.flatten(0, 1)[:, :, None]
        z = pose[..., 2].flatten(0, 1)[..., None]
        back = placed(cloud, z, s.flatten(), q.repeat_interleave(5), 0)[:, :, 0]
        torch.testing.assert_close(back, pose.flatten(0, 1), atol=1e-4, rtol=0)


def test_placement_of_nonsense_stays_finite() -> None:
    pose, x2d = windows()
    for p, x in ((pose * 0, x2d), (pose, x2d * 0), (-pose, x2d), (pose * 0, x2d * 0)):
        s, q = placement(x, p, 0)
        assert torch.isfinite(s).all() and torch.isfinite(q).all() and (s > 0).all() and (q >= 0).all()


def test_depths_learn_histogram_error_and_scale() -> None:
    depths, (pose, x2d) = Depths(17), windows()
    off = torch.zeros_like(pose)
    off[..., WRIST, 2] = 0.25
    depths.learn(pose, pose + off, x2d, 0)
    expected = torch.zeros(17)
    expected[WRIST] = 0.25
    torch.testing.assert_close(depths.error, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(depths.scale, torch.tensor(3.0 / 2.5), rtol=1e-3, atol=0)
    white = torch.randn(17, 20_000, generator=seeded(0))
    drawn, true = depths.anywhere(white), pose[..., WRIST, 2].flatten()
    assert drawn[WRIST].mean().item() == pytest.approx(true.mean().item(), abs=2 * REACH / BINS)
    assert drawn[WRIST].std().item() == pytest.approx(true.std(correction=0).item(), abs=2 * REACH / BINS)
    assert drawn.abs().max() <= REACH
    before = depths.histogram.clone()
    depths.learn(pose * 0.5, None, x2d, 0)  # later batches count a little
    torch.testing.assert_close(depths.histogram.sum(dim=1), torch.ones(17))
    assert 0 < (depths.histogram - before).abs().max() < 0.05


# Heatmaps matter -----------------------------------------------------------------------------------------


class Knowing(nn.Module):
    """An encoder whose pose is the truth."""

    def __init__(self, pose: Tensor) -> None:
        super().__init__()
        self.pose = pose

    def forward(self, x2d: Tensor) -> tuple[Tensor, Tensor]:
        return self.pose, self.pose.new_zeros(*self.pose.shape[:3], ENCODER["width"])


def cloud_about(x2d: Tensor, std: Tensor, shift: Tensor) -> Tensor:
    white = torch.randn(17, TINY.samples, 2, generator=seeded(9))
    return x2d[..., None, :] + std[:, None, None] * white + shift[:, None, :]


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_blurring_and_shifting_one_heatmap_moves_that_joint_of_h_k_and_of_its_mixture(
    covariance: str,
) -> None:
    model, (pose, x2d) = tiny(covariance=covariance, components=1), windows()
    model.context = Knowing(pose)  # type: ignore[assignment]
    std, still = torch.full((17,), 0.03), torch.zeros(17, 2)
    wide, moved = std.clone(), still.clone()
    wide[WRIST], moved[WRIST] = 0.12, torch.tensor([0.3, 0.0])
    quantiles = Quantiles.draw(17, TINY.samples, 1, seeded(0), torch.device("cpu"))
    found = []
    for s, m in ((std, still), (wide, moved)):
        context = model.look(x2d, cloud_about(x2d, s, m))
        samples = model.start(context, quantiles)
        fitted = model.fit(samples, seeded(0))
        variance = (
            fitted.covariances if covariance == "diagonal" else fitted.covariances.diagonal(dim1=2, dim2=3)
        )
        mean, spread = (v[:, 0].reshape(-1, 16, 3) for v in (fitted.means, variance.sqrt()))
        torch.testing.assert_close(mean, samples.mean(dim=1).reshape(-1, 16, 3), atol=1e-4, rtol=0)
        found.append((mean, spread, context.scale))
    (mean, spread, scale), (mean_after, spread_after, _) = found
    others = [j for j in range(16) if j != WRIST - 1]
    torch.testing.assert_close(mean[:, others], mean_after[:, others], atol=1e-5, rtol=0)
    torch.testing.assert_close(spread[:, others], spread_after[:, others], atol=1e-5, rtol=1e-4)
    wrist = mean_after[:, WRIST - 1] - mean[:, WRIST - 1]
    assert (wrist[:, 0] > 0.2 * scale).all() and (wrist[:, 2].abs() < 1e-5).all()
    assert (spread_after[:, WRIST - 1, :2] > 2 * spread[:, WRIST - 1, :2]).all()


def test_a_cloud_on_two_places_becomes_two_components() -> None:
    model, (pose, x2d) = tiny(components=2, em_iterations=30), windows()
    model.context = Knowing(pose)  # type: ignore[assignment]
    side = (torch.arange(TINY.samples) % 2 * 2 - 1).float()
    cloud = cloud_about(x2d, torch.full((17,), 0.02), torch.zeros(17, 2))
    cloud[:, :, WRIST, :, 0] += 0.4 * side
    model.depths.error.fill_(0.02)
    context = model.look(x2d, cloud)
    fitted = model.fit(
        model.start(context, Quantiles.draw(17, 300, 1, seeded(0), torch.device("cpu"))), seeded(1)
    )
    x = fitted.means.reshape(-1, 2, 16, 3)[:, :, WRIST - 1, 0]
    torch.testing.assert_close((x[:, 0] - x[:, 1]).abs(), 0.8 * context.scale, rtol=0.1, atol=0)
    torch.testing.assert_close(fitted.weights, torch.full((10, 2), 0.5), atol=0.02, rtol=0)


def test_g_is_told_where_the_start_lies_and_how_wide_it_is() -> None:
    """Widths and shifts of clouds, in metres at the joint's depth, ten times over; nothing of other joints changes."""
    model, (pose, x2d) = tiny(spread=True, target="clean"), windows()
    model.context = Knowing(pose)  # type: ignore[assignment]
    model.depths.error.fill_(0.07)
    model.depths.error[0] = 0.0
    quantiles = Quantiles.draw(17, TINY.samples, 1, seeded(0), torch.device("cpu"))
    told = []
    for wide, shift in ((0.05, 0.0), (0.15, 0.3)):
        std, moved = torch.full((17,), 0.05), torch.zeros(17, 2)
        std[0], std[WRIST], moved[WRIST, 0] = 1e-4, wide, shift  # nearly sure of the root
        context = model.look(x2d, cloud_about(x2d, std, moved))
        feature = model.told(context, model.start(context, quantiles)).feature
        assert feature is not None and feature.shape == (10, 17, ENCODER["width"] + 6)
        told.append((feature[..., -6:-3] / 10, feature[..., -3:] / 10))
    scale = context.scale
    (mean, spread), (mean_after, spread_after) = told
    torch.testing.assert_close(spread[:, WRIST, 2], torch.full((10,), 0.07), rtol=0.15, atol=0)
    torch.testing.assert_close(spread[:, WRIST, 1], 0.05 * scale, rtol=0.15, atol=0)
    torch.testing.assert_close(spread_after[:, WRIST, 1], 0.15 * scale, rtol=0.15, atol=0)
    moved_by = (mean_after - mean)[:, WRIST, 0]
    torch.testing.assert_close(moved_by, 0.3 * scale, rtol=0.1, atol=0)
    others = [j for j in range(17) if j != WRIST]
    for before, after in ((mean, mean_after), (spread, spread_after)):
        torch.testing.assert_close(before[:, others], after[:, others], atol=1e-5, rtol=1e-4)
    assert model.lift_windows(x2d, hypotheses=2, steps=1, generator=seeded(0)).isfinite().all()


# Chains ----------------------------------------------------------------------------------------------------


class Oracle(nn.Module):
    """Answers as a g would that knows the truth; for the standard diffusion, whose μ is zero."""

    def __init__(self, model: DiffPose, truth: Tensor) -> None:
        super().__init__()
        object.__setattr__(self, "model", model)
        self.truth = truth

    def forward(self, h: Tensor, k: Tensor, context: Tensor | None = None) -> Tensor:
        model: DiffPose = self.model  # type: ignore[assignment]
        states, clean = model._states(h), model._states(self.truth)[:, None]
        before = model.carried(states, clean.expand_as(states), k - 1, torch.zeros_like(states))
        return model._poses(clean.expand_as(states) if model.config.target == "clean" else before - states)


@pytest.mark.parametrize("target", ["previous", "clean"])
@pytest.mark.parametrize("schedule", ["cosine", "diffpose-printed"])
def test_one_noise_makes_the_chain(target: str, schedule: str) -> None:
    model = tiny(target=target, schedule=schedule, timesteps=50)
    draw = [torch.randn(3, 2, 48, generator=seeded(i), dtype=torch.float64) for i in range(3)]
    clean, mean, eps = draw[0] * 0.3, draw[1] * 0.3, draw[2] * 0.1
    for k in (1, 2, 30, 50):
        t = torch.full((3,), k - 1)
        h = mixture.diffuse(clean, t, mean, eps, model.schedule)
        before = mixture.diffuse(clean, t - 1, mean, eps, model.schedule) if k > 1 else clean
        torch.testing.assert_close(model.carried(h, clean, t, mean), before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("target", ["previous", "clean"])
@pytest.mark.parametrize("steps", [1, 5, 10])
def test_a_denoiser_that_knows_the_truth_leads_to_it(target: str, steps: int) -> None:
    model, (pose, x2d) = tiny(target=target, components=0, flip=False), windows()
    model.denoiser = Oracle(model, pose.flatten(0, 1))  # type: ignore[assignment]
    lifted = model.lift_windows(x2d, hypotheses=2, steps=steps, generator=seeded(0))
    torch.testing.assert_close(lifted, pose[:, None].expand(-1, 2, -1, -1, -1), atol=2e-4, rtol=0)


def test_the_schedules_and_where_they_end() -> None:
    ends = {
        name: schedules.SCHEDULES[name](50).alpha_bar(49) for name in ("cosine", "linear", "diffpose-printed")
    }
    assert ends["cosine"] < 1e-5 and ends["linear"] < 1e-4
    assert ends["diffpose-printed"] == pytest.approx(0.948821, abs=1e-6)
    assert tiny().schedule.alpha_bar(9) < 1e-4
    assert DiffPoseConfig().schedule == "cosine" and DiffPoseConfig().timesteps == 50


def test_step_embedding_by_hand() -> None:
    e = step_embedding(torch.tensor([3, 50]), 256)
    for k, row in zip((3, 50), e, strict=True):
        for j in (0, 1, 100):
            angle = torch.tensor(k / 10000 ** (2 * j / 256))
            torch.testing.assert_close(row[2 * j], angle.sin(), atol=1e-4, rtol=0)
            torch.testing.assert_close(row[2 * j + 1], angle.cos(), atol=1e-4, rtol=0)


# The method --------------------------------------------------------------------------------------------------


def test_lifting_is_root_relative_and_a_seed_repeats_it() -> None:
    model, (_, x2d) = tiny(target="clean"), windows()
    assert isinstance(model, HeatmapLifter) and model.cloud_size == 300 and model.window == 5
    poses = [model.lift_windows(x2d, hypotheses=3, steps=2, generator=seeded(s)) for s in (4, 4, 5)]
    assert poses[0].shape == (2, 3, 5, 17, 3) and torch.isfinite(poses[0]).all()
    assert torch.equal(poses[0][..., 0, :], torch.zeros(2, 3, 5, 3))
    assert torch.equal(poses[0], poses[1]) and not torch.equal(poses[0], poses[2])
    assert (poses[0].std(dim=1)[..., 1:, :] > 0).all()  # hypotheses differ
    again = model.lift_windows(x2d[1:], hypotheses=3, steps=2, generator=seeded(4))
    torch.testing.assert_close(again, poses[0][1:], atol=1e-4, rtol=1e-4)  # windows do not see one another


def test_mirrored_clouds_and_quantiles_make_the_mirrored_start() -> None:
    model, (pose, x2d) = tiny(), windows()
    turn = torch.tensor([-1.0, 1.0, 1.0])
    mirror = list(H36M17.mirror)
    quantiles = Quantiles.draw(17, 300, 1, seeded(0), torch.device("cpu"))
    model.context = None  # an encoder is not symmetric before it is trained
    context = model.look(x2d)
    other = model.look(x2d[..., mirror, :] * turn[:2])
    context = dataclasses.replace(context, pose=pose.flatten(0, 1))
    other = dataclasses.replace(other, pose=(pose[..., mirror, :] * turn).flatten(0, 1))
    start = model._poses(model.start(context, quantiles))
    twin = model._poses(model.start(other, quantiles.mirrored(H36M17.mirror)))
    torch.testing.assert_close(twin, start[..., mirror, :] * turn, atol=1e-5, rtol=0)


def test_the_standard_diffusion_knows_no_heatmaps() -> None:
    model, (_, x2d) = tiny(components=0), windows()
    assert model.cloud_size == 0
    cloud = cloud_about(x2d, torch.full((17,), 0.1), torch.ones(17, 2))
    poses = [
        model.lift_windows(x2d, hypotheses=2, steps=3, generator=seeded(0), cloud=c) for c in (None, cloud)
    ]
    assert torch.equal(*poses)
    with_clouds = [
        tiny().lift_windows(x2d, hypotheses=2, steps=3, generator=seeded(0), cloud=c) for c in (None, cloud)
    ]
    assert not torch.allclose(*with_clouds)


def test_the_context_is_the_pretrained_lifter_and_stays_frozen() -> None:
    torch.manual_seed(1)
    pose, x2d = windows()
    encoder = MixSTE(MixSTEConfig(frames=5, **ENCODER)).eval()
    frame_encoder = GraFormerLifter(GraFormerConfig(**ENCODER)).eval()
    for model, lifter in ((tiny(), encoder), (tiny(context="graformer"), frame_encoder)):
        model.load_context(lifter.state_dict())
        expected = lifter.net(x2d)[:, 0] if lifter is encoder else lifter.net(x2d)
        expected = expected - expected[..., :1, :]
        torch.testing.assert_close(model.look(x2d).pose, expected.flatten(0, 1), atol=1e-5, rtol=0)
        model.train()
        assert model.denoiser.training and model.context is not None and not model.context.training
        model.loss(x2d, pose, generator=seeded(0)).objective().backward()
        assert all(p.grad is None for p in model.context.parameters())
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.denoiser.parameters())
    settings = {**TINY.to_dict(), "context_model": {}, "frames": 7, **DiffPose.settings_for(encoder)}
    assert DiffPoseConfig.from_dict(settings).context_config() == encoder.config
    with pytest.raises(RuntimeError):
        tiny().load_context(MixSTE(MixSTEConfig(frames=5, width=32, depth=1, heads=2)).state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton": "spider"}, "skeleton must be one of"),
        ({"context": "vit"}, "context must be one of mixste, graformer, none"),
        ({"schedule": "square"}, "schedule must be one of"),
        ({"target": "noise"}, "target must be one of previous, clean"),
        ({"loss": "hinge"}, "loss must be one of squared, distance"),
        ({"components": -1}, "components must be a whole number"),
        ({"context_model": {"wings": 2}}, r"unknown settings \['wings'\]"),
        ({"context": "none", "context_model": {}}, "without a context encoder"),
        ({"floor": 0.0}, "floor must be positive"),
        ({"feature": 1}, "feature must be true or false"),
        ({"skip": True, "target": "previous"}, "skip needs target"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)  # type: ignore[arg-type]


def test_weights_from_before_a_setting_existed_mean_what_was_done_then() -> None:
    older = {key: value for key, value in TINY.to_dict().items() if key != "loss"}
    assert DiffPoseConfig.from_dict(older) == TINY and TINY.loss == "squared"
    del older["width"]
    with pytest.raises(ValueError, match=r"unknown settings \[\], missing settings \['width'\]"):
        DiffPoseConfig.from_dict(older)


def test_training_asks_for_the_clouds_of_the_frames_it_diffuses() -> None:
    class Asked:
        """Clouds about the joints, or one hand's elsewhere."""

        def __init__(self, x2d: Tensor, shift: float) -> None:
            self.x2d, self.shift, self.frames = x2d, shift, torch.empty(0)

        def draw(self, frames: Tensor, count: int, generator: torch.Generator) -> Tensor:
            self.frames = frames
            x2d = self.x2d[torch.arange(len(frames))[:, None], frames].clone()
            x2d[:, :, WRIST] += self.shift
            return x2d[..., None, :] + 0.02 * torch.randn(*x2d.shape[:3], count, 2, generator=generator)

        def of(self, windows: slice) -> Asked:
            raise AssertionError("nobody asks for a part")

    model, (pose, x2d) = tiny(components=1), windows()
    losses = []
    for shift in (0.0, 0.0, 2.0):
        asked = Asked(x2d, shift)
        losses.append(model.loss(x2d, pose, generator=seeded(0), clouds=asked).total.item())
        assert asked.frames.shape == (2, 2) and int(asked.frames.min()) >= 0 and int(asked.frames.max()) < 5
    assert losses[0] == losses[1] != losses[2]
    standard = tiny(components=0)
    nobody = Asked(x2d, 0.0)
    standard.loss(x2d, pose, generator=seeded(0), clouds=nobody)
    assert not len(nobody.frames)  # the standard diffusion knows no heatmaps


ABLATIONS = {
    "as it is": {},
    "clean": {"target": "clean"},
    "from the encoder's answer": {"target": "clean", "skip": True},
    "standard diffusion": {"components": 0},
    "distance": {"target": "clean", "loss": "distance"},
    "one component, full": {"components": 1, "covariance": "full", "samples": 80, "em_iterations": 2},
    "frames": {"context": "graformer"},
    "no feature": {"feature": False},
    "histogram": {"z_from": "histogram"},
    "no context": {"context": "none", "context_model": {}, "feature": False, "z_from": "histogram"},
    "printed": {"schedule": "diffpose-printed"},
}


def test_with_skip_the_untrained_answer_is_the_encoder_s() -> None:
    model, (_, x2d) = tiny(target="clean", skip=True, flip=False), windows()
    pose = model.context(x2d)[0]  # type: ignore[misc]
    lifted = model.lift_windows(x2d, hypotheses=3, steps=4, generator=seeded(0))
    torch.testing.assert_close(
        lifted, (pose - pose[..., :1, :])[:, None].expand(-1, 3, -1, -1, -1), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("loss", ["squared", "distance"])
def test_the_loss_by_hand(loss: str) -> None:
    """An untrained network with `skip` answers the encoder's pose, whatever the noise."""
    model, (pose, x2d) = tiny(target="clean", skip=True, loss=loss, frames=1), windows(batch=4, frames=1)
    guess = model.context(x2d)[0]  # type: ignore[misc]
    wrong = (guess - guess[..., :1, :] - pose)[..., 1:, :]
    expected = wrong.square().mean() if loss == "squared" else wrong.norm(dim=-1).mean()
    torch.testing.assert_close(model.loss(x2d, pose, generator=seeded(0)).total, expected)


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_switch_trains_and_lifts(name: str) -> None:
    model, (pose, x2d) = tiny(**ABLATIONS[name]).train(), windows(batch=4)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    generator, history = seeded(0), []
    for _ in range(25):
        loss = model.loss(x2d, pose, generator=generator)
        optimizer.zero_grad()
        loss.objective().backward()
        optimizer.step()
        history.append(loss.total.item())
    assert np.mean(history[-6:]) < 0.8 * np.mean(history[:6])
    lifted = model.eval().lift_windows(x2d, hypotheses=2, steps=5, generator=seeded(0))
    assert lifted.shape == (4, 2, 5, 17, 3) and torch.isfinite(lifted).all()
    settings = METHODS["diffpose"].defaults | model.config.to_dict()
    rebuilt = METHODS["diffpose"].build(settings)
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(rebuilt.lift_windows(x2d, hypotheses=2, steps=5, generator=seeded(0)), lifted)


def test_it_trains_through_the_loop(tmp_path: Path) -> None:
    points = shipped_motion().points
    clips = [Clip(points, 30.0, subject, 1, "A", 0, "made for a test", True, 1.0) for subject in (16, 5)]
    write_corpus(tmp_path / "corpus.h5", clips)
    settings = TrainConfig(
        steps=20, batch=8, warmup=2, validate_every=20, validation_windows=64, learning_rate=5e-3,
        model={k: v for k, v in TINY.to_dict().items() if k != "context_model"}, simulator={"noise": "guessed"},
    )  # fmt: skip
    encoder = MixSTE(MixSTEConfig(frames=5, **ENCODER))
    save_weights(tmp_path / "encoder.safetensors", "mixste", encoder)
    settings = dataclasses.replace(settings, init=str(tmp_path / "encoder.safetensors"))
    seen: list[Progress] = []
    weights, card = make_weights("diffpose", tmp_path / "corpus.h5", settings, tmp_path, progress=seen.append)
    losses = [p.loss for p in seen]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert "DiffPose as the paper tells it" in card.read_text()
    method, model, _ = load_weights(weights)
    assert method == "diffpose" and model.config == DiffPoseConfig.from_dict(
        {**TINY.to_dict(), **DiffPose.settings_for(encoder)}
    )
    half = {k: v.half().float() for k, v in encoder.net.state_dict().items()}
    torch.testing.assert_close(dict(model.context.net.state_dict()), half)  # frozen
    assert 0 < model.depths.error[WRIST] < 1 and 0 < model.depths.learned <= 1
    q = gaussian.q_sample(torch.ones(1, 1), torch.tensor([9]), torch.zeros(1, 1), model.schedule)
    assert q.item() < 0.01
