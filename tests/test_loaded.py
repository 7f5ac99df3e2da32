"""Weights that a video cannot be lifted with are refused, with what they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, UsageError
from posecli.lifting import LiftConfig
from posecli.loaded import Lifting
from posecli.methods.mixste import MixSTE, MixSTEConfig
from posecli.skeleton import H36M17
from posecli.weights.format import save_weights


def keypoints(frames: int = 5) -> Keypoints2D:
    xy = np.random.default_rng(0).uniform(100, 500, (frames, 17, 2)).astype(np.float32)
    return Keypoints2D(
        xy,
        np.ones((frames, 17), np.float32),
        np.ones(frames, bool),
        np.arange(frames) / 30,
        H36M17,
        (640, 640),
    )


@pytest.fixture
def network() -> MixSTE:
    return MixSTE(MixSTEConfig(frames=5, width=16, depth=1, heads=2))


def test_weights_for_a_data_sets_screen_coordinates_lift_no_video(tmp_path: Path, network: MixSTE) -> None:
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    save_weights(ours, "mixste", network)
    save_weights(theirs, "mixste", network, {"input": "X / w * 2 - [1, h / w]"})
    assert Lifting("mixste", ours, "cpu", LiftConfig())(keypoints()).valid.all()
    with pytest.raises(InputError, match=r"screen coordinates .* `posecli bench h36m`"):
        Lifting("mixste", theirs, "cpu", LiftConfig())(keypoints())
    with pytest.raises(InputError, match="screen coordinates"):  # before anything is detected
        Lifting.of_videos("mixste", theirs, "cpu", LiftConfig())


def test_more_steps_than_there_are_and_weights_of_another_method(tmp_path: Path, network: MixSTE) -> None:
    path = tmp_path / "m.safetensors"
    save_weights(path, "mixste", network)
    with pytest.raises(UsageError, match="weights of mixste, not of d3dp; use --method mixste"):
        Lifting("d3dp", path, "cpu", LiftConfig())
