"""Every method through the same windows, gaps, root path and outputs: tiny networks, lifted as `posecli lift` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import posecli
from posecli.bench.speed_parts import demo_video
from posecli.camera import Pinhole
from posecli.demo import shipped_motion
from posecli.detect.keypoints import Keypoints2D
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.media import open_media
from posecli.methods import METHODS
from posecli.methods.base import usual_steps
from posecli.motion import Motion
from posecli.skeleton import H36M17
from posecli.weights.format import save_weights

WINDOWS = {"frames": 9, "width": 16, "depth": 1, "heads": 2}
TINY: dict[str, dict[str, Any]] = {
    "ddhpose": WINDOWS,
    "d3dp": WINDOWS,
    "mixste": WINDOWS,
    "stcformer": WINDOWS,
    "graformer": {"width": 16, "depth": 1},
    "mgcn": {"width": 16, "depth": 1},
    "diffpose": {
        "frames": 9, "context_model": {"width": 16, "depth": 1, "heads": 2}, "width": 8, "blocks": 1, "heads": 2,
        "timesteps": 10, "components": 2, "samples": 64, "covariance": "diagonal", "em_iterations": 3,
    },
    "diffpose-official": {"width": 16, "depth": 1, "step_width": 16},
    "diffupose": {"width": 32, "depth": 1, "timesteps": 20},
}  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, settings) for name, settings in TINY.items()},
    "stcformer, centre frames": ("stcformer", {**WINDOWS, "frames": 5, "protocol": "centre"}),
    "diffupose, 16 joints": ("diffupose", {**TINY["diffupose"], "skeleton": "h36m16"}),
    "diffpose-official, video": (
        "diffpose-official",
        {**TINY["diffpose-official"], "frames": 9, "mixste_width": 16, "mixste_depth": 1, "mixste_heads": 2},
    ),
    "diffpose, frames": (
        "diffpose",
        {**TINY["diffpose"], "frames": 1, "context": "graformer", "context_model": {"width": 16, "depth": 1}},
    ),
}  # fmt: skip
SAMPLERS = {"ddhpose", "d3dp", "diffpose", "diffupose"}
SIZE = (1280, 720)


def build(name: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return METHODS[name].build({**METHODS[name].defaults, **settings})


def person(frames: int, *absent: slice) -> Keypoints2D:
    """The demo's motion four metres away, seen at 30 Hz, with nobody in some frames."""
    points = shipped_motion().points[:frames, :17] * np.array([1.0, -1.0, -1.0])
    xy = Pinhole.from_fov(SIZE).project(points - points[0, 0] + np.array([0.3, 0.0, 4.0])).astype(np.float32)
    found = np.ones(frames, bool)
    for gap in absent:
        found[gap] = False
    xy[~found] = np.nan
    scores = np.where(found[:, None], np.float32(0.9), np.float32(0)) * np.ones((1, 17), np.float32)
    return Keypoints2D(
        xy=xy, scores=scores, found=found, timestamps_s=np.arange(frames) / 30, skeleton=H36M17, image_size=SIZE
    )  # fmt: skip


def lift(model: Any, body: Keypoints2D, **settings: Any) -> Motion:
    settings = {"hypotheses": 2, "steps": max(2, usual_steps(model)), "keep_hypotheses": True, **settings}
    return lift_keypoints(body, model, LiftConfig(**settings))


def test_every_method_is_here() -> None:
    assert set(TINY) == set(METHODS)


@pytest.mark.parametrize("case", VARIANTS)
def test_gaps_bones_root_path_and_hypotheses_are_alike(case: str) -> None:
    name, settings = VARIANTS[case]
    model = build(name, settings)
    motion = lift(model, person(70, slice(10, 14), slice(30, 55)))
    assert motion.segments() == [slice(0, 30), slice(55, 70)]
    assert np.flatnonzero(motion.bridged).tolist() == [10, 11, 12, 13]
    assert motion.hypotheses is not None and motion.hypotheses.shape == (2, 70, 17, 3)
    for array in (motion.joints_3d, motion.joints_3d_std, motion.root_path, *motion.hypotheses):
        assert array is not None and np.isfinite(array[motion.valid]).all()
        assert np.isnan(array[~motion.valid]).all()
    there = motion.joints_3d[motion.valid]
    assert (there[:, 0] == 0).all()
    child, parent = zip(*((c, p) for c, p in enumerate(H36M17.parents) if p >= 0), strict=True)
    lengths = np.linalg.norm(there[:, child] - there[:, parent], axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:1], lengths.shape), atol=1e-4)
    spread = np.abs(motion.hypotheses[0] - motion.hypotheses[1])[motion.valid].max()
    assert (spread > 1e-4) == (name in SAMPLERS)


@pytest.mark.parametrize("case", VARIANTS)
def test_a_seed_gives_one_result_whatever_the_batch(case: str) -> None:
    name, settings = VARIANTS[case]
    model, body = build(name, settings), person(24)
    alone, together, other = (
        lift(model, body, batch=batch, seed=seed, smooth_hz=None)
        for batch, seed in ((1, 3), (4096, 3), (4096, 4))
    )
    np.testing.assert_allclose(alone.joints_3d, together.joints_3d, atol=2e-3)
    assert (np.abs(other.joints_3d - together.joints_3d).max() > 1e-4) == (name in SAMPLERS)


@pytest.mark.parametrize("case", VARIANTS)
def test_one_frame_is_a_clip(case: str) -> None:
    name, settings = VARIANTS[case]
    motion = lift(build(name, settings), person(1), hypotheses=1, keep_hypotheses=False)
    assert motion.valid.all() and np.isfinite(motion.joints_3d).all() and motion.root_path is not None
    assert np.linalg.norm(motion.joints_3d[0, 1:], axis=-1).max() > 0


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photo")
    (frame,) = open_media(demo_video(folder / "one.mp4", 1))
    cv2.imwrite(str(folder / "photo.jpg"), frame.image)
    return folder / "photo.jpg"


@pytest.mark.parametrize("name", ["diffupose", "mixste"])
def test_a_photograph_is_lifted_by_methods_of_frames_and_of_windows(
    name: str, photograph: Path, tmp_path: Path
) -> None:
    weights = tmp_path / f"{name}.safetensors"
    save_weights(weights, name, build(name, TINY[name]), {"rate_hz": 30.0, "size_exponent": 0.5})
    motion = posecli.lift(photograph, method=name, weights=weights, device="cpu")
    assert len(motion) == 1 and motion.valid.all() and np.isfinite(motion.joints_3d).all()
    assert motion.settings["method"] == name and motion.settings["aggregate"] == "mean"
    assert motion.settings["steps"] == (5 if name == "diffupose" else 1)
