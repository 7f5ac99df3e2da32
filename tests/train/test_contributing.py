"""CONTRIBUTING's example of a method, exactly as it stands there, from training to motion."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from posecli import methods
from posecli.demo import shipped_motion
from posecli.detect.keypoints import Keypoints2D
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.loaded import Lifting
from posecli.skeleton import H36M17
from posecli.train import TrainConfig, make_weights
from posecli.weights import format
from posecli.weights.format import load_weights

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def linear(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file as a module, and the line in the registry, as if they were in the package."""
    file, line = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    module = ModuleType("posecli.methods.linear")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(file, "linear.py", "exec"), module.__dict__)
    entry = eval("{" + line + "}", {**vars(methods), **vars(module)})["linear"]
    monkeypatch.setitem(methods.METHODS, "linear", entry)
    monkeypatch.setitem(format._NETWORKS, "linear", entry)  # a copy of the registry, made when imported
    return module


def test_the_example_trains_is_saved_loaded_and_lifts(
    linear: ModuleType, corpus: Path, tmp_path: Path
) -> None:
    config = TrainConfig(
        steps=2, batch=32, warmup=0, validate_every=2, validation_windows=64, calibration_windows=64,
        learning_rate=1e-2, precision="32-true",
    )  # fmt: skip
    path, card = make_weights("linear", corpus, config, tmp_path, device="cpu")
    assert "Linear: a weighted sum" in card.read_text()
    name, model, metadata = load_weights(path)
    assert name == "linear" and isinstance(model, linear.Linear) and metadata["training"]["steps"] == 2

    points = shipped_motion().points[:40, :17] * np.array([1.0, -1.0, -1.0])
    placed = points - points[0, 0] + np.array([0.0, 0.0, 4.0])
    xy = (placed[..., :2] / placed[..., 2:] * 900 + np.array([640, 360])).astype(np.float32)
    body = Keypoints2D(
        xy=xy, scores=np.full((40, 17), 0.9, np.float32), found=np.ones(40, bool),
        timestamps_s=np.arange(40) / 30, skeleton=H36M17, image_size=(1280, 720),
    )  # fmt: skip
    motion = Lifting("linear", path, "cpu", LiftConfig())(body)  # its stated uncertainty included
    assert (motion.joints_3d_std[:, 1:] > 0).all()
    assert np.isfinite(motion.joints_3d).all() and (motion.joints_3d[:, 0] == 0).all()
    # Doubling its one layer doubles the people.
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    twice = lift_keypoints(body, model, size_exponent=metadata["size_exponent"])
    np.testing.assert_allclose(twice.joints_3d, 2 * motion.joints_3d, atol=1e-4)
