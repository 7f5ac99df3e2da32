"""Simulated detections: geometry without noise is a pinhole's, noise is as large as the settings say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from posecli.bench.metrics import p_mpjpe
from posecli.corpus.simulate import Simulator, SimulatorConfig
from posecli.corpus.store import POINT_NAMES
from posecli.demo import shipped_motion
from posecli.errors import UsageError
from posecli.skeleton import H36M17, LIMBS

NO_NOISE = {
    "constant": 0.0, "smooth": 0.0, "white": 0.0, "burst_share": 0.0, "burst": 0.0, "swap_share": 0.0,
    "focal_std": 0.0, "noise": "guessed",
}  # fmt: skip
AS_CAPTURED = {
    "still": 0.0, "mixed": 0.0, "sitting": 0.0, "reaching": 0.0, "size_std": 0.0, "bone_std": 0.0,
    "speed": (1.0, 1.0), "viewpoint": "free",
}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    points: np.ndarray
    fps: float = 30.0
    subject: int = 2
    weight: float = 1.0


def simulator(window: int = 27, clip: Clip | None = None, **changes: Any) -> Simulator:
    clip = clip or Clip(shipped_motion().points)
    return Simulator([clip], window, SimulatorConfig(**{**NO_NOISE, **AS_CAPTURED, **changes}))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def root_residual(pose: Tensor, flat: Tensor) -> float:
    """How far (tangent) the best root position per frame leaves projected limbs (B, T, 17, ·) from `flat`."""
    limbs = list(LIMBS)
    p, f = pose[:, :, limbs].double(), flat[:, :, limbs].double()
    rows = torch.zeros(*f.shape, 3, dtype=torch.float64)
    rows[..., 0, 0] = rows[..., 1, 1] = 1
    rows[..., 2] = -f
    right = f * p[..., 2:] - p[..., :2]
    root = torch.linalg.lstsq(rows.flatten(2, 3), right.flatten(2)[..., None]).solution
    points = p + root.transpose(-1, -2)
    assert points[..., 2].min() > 0.4  # half a metre before the lens at least
    return (points[..., :2] / points[..., 2:] - f).abs().max().item()


@pytest.mark.parametrize("changes", [{}, {"sitting": 1.0, "reaching": 1.0, "mixed": 1.0, "bone_std": 0.1}])
def test_without_noise_the_2d_is_the_projection_of_the_pose(changes: dict[str, float]) -> None:
    """In the turned camera, after undoing the box's scale; and in the camera itself, after turning back."""
    batch = simulator(size_exponent=0.0, **changes).draw(32, seeded())
    assert batch.x2d.shape == (32, 27, 17, 2) and batch.pose.shape == (32, 27, 17, 3)
    assert (batch.pose[:, :, 0] == 0).all()
    assert root_residual(batch.pose, batch.x2d * batch.faced.scale[:, None, None, None]) < 1e-5
    assert root_residual(batch.faced.to_camera(batch.pose), batch.flat) < 1e-5


def test_people_are_turned_never_turned_inside_out() -> None:
    """Every pose is the clip's after a proper rotation; a mirrored one has changed left and right as well."""
    frame = shipped_motion().points[0, :17]
    mirrored = frame[list(H36M17.mirror)] * [-1, 1, 1]
    clip = Clip(np.repeat(shipped_motion().points[:1], 2, axis=0))
    batch = simulator(3, clip, high_share=0.0, roll_std_deg=0.0).draw(64, seeded())
    pose = batch.faced.to_camera(batch.pose)[:, 0].numpy()
    as_it_is, in_a_mirror = p_mpjpe(pose, frame[None]) < 1e-5, p_mpjpe(pose, mirrored[None]) < 1e-5
    assert (as_it_is ^ in_a_mirror).all() and 0.3 < as_it_is.mean() < 0.7
    assert (pose[:, 10, 1] < -0.4).all()  # y down: heads above hips


def test_bones_are_the_clips_own() -> None:
    points = shipped_motion().points[:, :17]
    bones = [list(side) for side in zip(*H36M17.bones, strict=True)]
    true = np.linalg.norm(points[:, bones[0]] - points[:, bones[1]], axis=-1).mean(axis=0)
    batch = simulator().draw(16, seeded())
    seen = torch.linalg.vector_norm(batch.pose[:, :, bones[0]] - batch.pose[:, :, bones[1]], dim=-1)
    mirrored = true[[j - 1 for j in H36M17.mirror[1:]]]
    rigid = [k for k in range(16) if k not in (6, 8)]  # spine and neck bend
    for window in seen.mean(dim=1).numpy()[:, rigid]:
        assert min(np.abs(window - true[rigid]).max(), np.abs(window - mirrored[rigid]).max()) < 0.001


def test_mirroring_twice_is_nothing() -> None:
    order = simulator()._mirror
    assert (order[order] == torch.arange(28)).all()
    for a, b in enumerate(order.tolist()):
        pair = {POINT_NAMES[a], POINT_NAMES[b]}
        names = {n.replace("left", "*").replace("right", "*") for n in pair}
        assert len(names) == 1 or {n[1:] for n in pair} == {POINT_NAMES[a][1:]}


def test_a_seed_repeats_a_batch() -> None:
    full = Simulator([Clip(shipped_motion().points)], 9)
    first, second = (full.draw(8, seeded(5)) for _ in range(2))
    assert torch.equal(first.x2d, second.x2d) and torch.equal(first.pose, second.pose)
    assert not torch.equal(first.x2d, full.draw(8, seeded(6)).x2d)
    assert torch.isfinite(first.x2d).all() and torch.isfinite(first.pose).all()


def test_speed_and_still() -> None:
    """A point that moves 1 m/s upwards: frames at 30 Hz and twice the speed lie 2/30 m apart."""
    points = np.tile(shipped_motion().points[:1], (300, 1, 1))
    points[:, [13, 16], 1] += np.arange(300, dtype=np.float32)[:, None] / 120  # the window may be mirrored
    clip = Clip(points, fps=120.0)
    steps = simulator(9, clip, speed=(2.0, 2.0)).draw(8, seeded()).pose[:, :, 13].diff(dim=1)
    torch.testing.assert_close(
        torch.linalg.vector_norm(steps, dim=-1), torch.full((8, 8), 2 / 30), atol=1e-5, rtol=0
    )
    assert simulator(9, clip, still=1.0).draw(8, seeded()).pose.diff(dim=1).abs().max() < 1e-6


def test_clips_shorter_than_a_window_are_slowed_down() -> None:
    batch = simulator(27, Clip(shipped_motion().points[:5])).draw(4, seeded())
    assert torch.isfinite(batch.x2d).all()
    batch = simulator(27, Clip(shipped_motion().points[:1])).draw(4, seeded())
    assert batch.pose.diff(dim=1).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("name", "factor"),
    [("constant", 1.0), ("white", 1.0), ("smooth", None)],
)
def test_noise_is_as_large_as_asked(name: str, factor: float | None) -> None:
    """Same seed with and without: shoulders (looseness 1) err by the setting times the window's badness, whose
    mean square is 1.5, in units of half the person's box."""
    clean = simulator(distance=(6.0, 6.0)).draw(256, seeded())
    noisy = simulator(distance=(6.0, 6.0), **{name: 0.01}).draw(256, seeded())
    torch.testing.assert_close(
        noisy.faced.to_camera(noisy.pose), clean.faced.to_camera(clean.pose), atol=1e-5, rtol=0
    )
    error = (noisy.flat - clean.flat)[:, :, [11, 14]] / clean.faced.scale[:, None, None, None]
    size = error.square().mean().sqrt().item() / np.sqrt(1.5)
    assert size == pytest.approx(0.01, rel=0.1 if factor else 0.2)
    change = error.diff(dim=1).square().mean().sqrt().item() / np.sqrt(1.5)
    if name == "constant":
        assert change < 1e-6
    elif name == "white":
        assert change == pytest.approx(0.01 * np.sqrt(2), rel=0.1)
    else:
        assert change < 0.5 * size


def test_short_windows_are_filled_as_lifting_fills_them() -> None:
    """Detections and truth alike begin with some frames and go on as numpy's symmetric padding of these."""
    batch = simulator(short=0.5, constant=0.02, white=0.02).draw(200, seeded(3))
    for windows in (batch.flat, batch.pose):
        lengths = []
        for window in windows.double().numpy():
            for n in range(1, 28):  # the least that explains all of it
                if np.array_equal(
                    window, np.pad(window[:n], ((0, 27 - n), (0, 0), (0, 0)), mode="symmetric")
                ):
                    lengths.append(n)
                    break
        full = np.array(lengths) == 27
        assert len(lengths) == 200 and 0.4 < full.mean() < 0.65
        short = np.array(lengths)[~full]
        assert short.min() <= 2 and short.max() == 26 and abs(short.mean() - 13.5) < 2.5
    plain = simulator(constant=0.02, white=0.02).draw(200, seeded(3))
    assert torch.equal(plain.pose[full], batch.pose[full])  # nothing else is drawn otherwise


def test_swapped_sides() -> None:
    clean = simulator().draw(64, seeded())
    swapped = simulator(swap_share=1.0).draw(64, seeded())
    legs, twins = [1, 2, 3, 4, 5, 6], [4, 5, 6, 1, 2, 3]
    same = (swapped.flat == clean.flat).all(dim=-1)
    twin = (swapped.flat[:, :, legs] == clean.flat[:, :, twins]).all(dim=-1).all(dim=-1)
    assert 0.1 < twin.float().mean() < 0.6 and (twin | same[:, :, legs].all(dim=-1)).all()


def test_much_recorded_people_do_not_drown_the_rest() -> None:
    """A subject's share goes with the square root of its minutes: four times the motion, twice the share."""
    points = shipped_motion().points
    sim = Simulator([Clip(points, subject=1), *(Clip(points, subject=2),) * 4], 9)
    assert (sim._weights[1:].sum() / sim._weights[0]).item() == pytest.approx(2.0, rel=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0}, {"rate": "30"}, {"rate": float("nan")}, {"speed": 1.0}, {"speed": (2.0, 1.0)}, {"speed": (0, 1)},
        {"distance": (1, 2, 3)}, {"still": 1.5}, {"swap_share": -0.1}, {"white": -1.0}, {"mixed": True},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(change))) as caught:
        SimulatorConfig(**change)
    assert "\n" not in str(caught.value)


def test_lists_from_toml_are_pairs() -> None:
    assert (
        simulator(speed=[1.0, 1.0], off_axis=[0.0, 0.0], high_deg=[-10, 20]).draw(2, seeded()).x2d.shape[0]
        == 2
    )


def test_no_clips() -> None:
    with pytest.raises(ValueError, match="no clips"):
        Simulator([], 9)
