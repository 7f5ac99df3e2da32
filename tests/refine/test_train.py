"""Training in miniature: the loss falls, errors that can be known go away, the ablations are what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posecli.corpus.simulate import SimulatorConfig
from posecli.corpus.store import Clip, write_corpus
from posecli.demo import shipped_motion
from posecli.diffusion.schedules import cosine_schedule
from posecli.errors import InputError, UsageError
from posecli.methods import METHODS
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig
from posecli.refine.diffusion import noisy_state
from posecli.refine.noise import NoiseModel
from posecli.refine.pairs import Pairs, cross_fitted_pairs, lifted_pairs
from posecli.refine.train import RefinerTraining, make_refiner, train_refiner
from posecli.weights.format import load_weights, save_weights

MODEL: dict[str, Any] = {"frames": 9, "width": 16, "depth": 1, "heads": 2}
TINY: dict[str, Any] = {"frames": 9, "width": 16, "depth": 2, "heads": 2}


def pairs(count: int = 64, seed: int = 0) -> Pairs:
    """A lifter that shows everybody a tenth too tall and 3 cm too far away, and trembles by 1 cm."""
    g = torch.Generator().manual_seed(seed)
    points = torch.from_numpy(shipped_motion().points[:, :17]) * torch.tensor([1.0, -1.0, -1.0])
    points = points - points[:, :1]
    at = torch.randint(len(points) - 9, (count,), generator=g)
    pose = torch.stack([points[k : k + 9] for k in at])
    noisy = 1.1 * pose + torch.tensor([0.0, 0.0, 0.03]) + 0.01 * torch.randn(pose.shape, generator=g)
    noisy[:, :, 0] = 0
    return Pairs(pose[..., :2], noisy, pose)


def test_twenty_steps() -> None:
    config = RefinerTraining(steps=20, batch=16, learning_rate=5e-3, validate_every=10, model=MODEL)
    seen: list[int] = []
    made = train_refiner(
        pairs(), pairs(16, seed=1), config, progress=lambda p: seen.append(p.step) if p.scores else None
    )
    assert made.losses[0] < 2.0  # about √3 units of each error's own size, in the mirror too
    assert np.mean(made.losses[-5:]) < 0.7 * np.mean(made.losses[:3])
    assert made.scores.mpjpe < 0.9 * made.scores.mpjpe_before and seen == [10, 20]
    again = train_refiner(pairs(), pairs(16, seed=1), config)
    assert again.losses == made.losses  # a seed is a result


@pytest.mark.parametrize("changes", [{"diffusion": False}, {"conditional": False}, {"normalise": "mean"}])
def test_the_ablations_learn_too(changes: dict[str, Any]) -> None:
    config = RefinerTraining(steps=20, batch=16, learning_rate=5e-3, model={**MODEL, **changes})
    made = train_refiner(pairs(), pairs(16, seed=1), config)
    assert made.scores.mpjpe < 0.9 * made.scores.mpjpe_before


def test_the_loss_is_the_length_of_what_is_wrong() -> None:
    """Without the noise model the error is the lifter's own; the fresh network finds none. So the loss is the mean
    length of the errors in units of their root mean square by joint and axis, and a network that knew would have 0."""
    data = pairs(8)
    model = D3PRefiner(D3PRefinerConfig(**MODEL, conditional=False))
    error = data.noisy - data.pose
    model.set_scale(error)
    torch.testing.assert_close(model.scale[1:], error[:, :, 1:].square().mean(dim=(0, 1)).sqrt())
    noise = NoiseModel.fit(data.x2d, data.noisy, data.pose)
    g = torch.Generator().manual_seed(0)
    loss = model.loss(data.x2d, data.noisy, data.pose, noise=noise, generator=g).objective()
    torch.testing.assert_close(loss, (error / model.scale)[:, :, 1:].norm(dim=-1).mean())


def test_a_network_that_knows_the_error_returns_the_pose(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pairs(4)
    model = D3PRefiner(D3PRefinerConfig(**MODEL)).eval()
    error = data.noisy - data.pose
    both = torch.cat([error, model_mirror(error, model)])
    monkeypatch.setattr(model, "error", lambda x2d, state, t: both)
    first = noisy_state(data.pose, error, torch.full((4,), 49), cosine_schedule(50))
    torch.testing.assert_close(model.refine(data.x2d, first), data.pose, atol=1e-6, rtol=0)


def model_mirror(x: torch.Tensor, model: D3PRefiner) -> torch.Tensor:
    x = x[..., list(model.skeleton.mirror), :]
    return x * torch.tensor([-1.0, 1.0, 1.0])


def clips(*subjects: int) -> list[Clip]:
    return [Clip(shipped_motion().points, 30.0, s, 1, "A", 0, "made for a test", True, 1.0) for s in subjects]


def test_pairs_are_what_lifting_gives_and_nobody_is_known() -> None:
    lifter = METHODS["mixste"].build({**METHODS["mixste"].defaults, **TINY})
    simulator = SimulatorConfig(size_exponent=0.5)
    one = lifted_pairs(lifter, clips(1), 3, frames=20, simulator=simulator, seed=3)
    two = lifted_pairs(lifter, clips(1), 3, frames=20, simulator=simulator, seed=3)
    assert one.pose.shape == (3, 20, 17, 3) and torch.equal(one.noisy, two.noisy)
    child = [j for j in range(17) if j]
    lengths = (one.noisy[:, :, child] - one.noisy[:, :, [lifter.skeleton.parents[j] for j in child]]).norm(
        dim=-1
    )
    assert float(lengths.std(dim=1).max()) < 1e-5  # bones of one length, as `posecli lift` has them
    known: list[set[int]] = []

    def fit(fold: int, others: Any) -> Any:
        known.append({c.subject for c in others})
        return lifter

    made = cross_fitted_pairs(fit, clips(1, 2, 2, 3), 8, folds=3, frames=9)
    assert known == [{1, 3}, {2, 3}, {1, 2}] and made.pose.shape == (8, 9, 17, 3)
    with pytest.raises(InputError, match="1 subjects cannot make 3 folds"):
        cross_fitted_pairs(fit, clips(1), 8, folds=3, frames=9)


def test_from_a_corpus_to_weights(tmp_path: Path) -> None:
    data, base = tmp_path / "corpus.h5", tmp_path / "mixste-tiny.safetensors"
    write_corpus(data, clips(16, 35, 5))  # two people to train on, one to validate on
    torch.manual_seed(0)
    lifter = METHODS["mixste"].build({**METHODS["mixste"].defaults, **TINY})
    save_weights(base, "mixste", lifter, {"rate_hz": 30.0, "size_exponent": 0.5})
    config = RefinerTraining(
        steps=3, batch=4, folds=2, windows=8, validation_windows=4, model=MODEL,
        lifter={"steps": 2, "batch": 4, "validation_windows": 64, "precision": "32-true"},
    )  # fmt: skip
    path = make_refiner(str(base), data, config, tmp_path / "run", device="cpu")
    method, model, metadata = load_weights(path)
    assert method == "d3prefiner" and model.window == 9 and metadata["base"] == "mixste"
    assert (metadata["rate_hz"], metadata["size_exponent"]) == (30.0, 0.5)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"fold-0", "fold-1", "log.csv", path.name}
    with pytest.raises(InputError, match="no weights for graformer ship with posecli; name a weights file"):
        make_refiner("graformer", data, config, tmp_path / "run")
    with pytest.raises(UsageError, match="which is no lifter"):
        make_refiner(str(path), data, config, tmp_path / "run")
    with pytest.raises(UsageError, match="no lifter and no weights file 'x' for --base"):
        make_refiner("x", data, config, tmp_path / "run")


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("steps = 10\n[model]\nwidth = 15\n")
    with pytest.raises(UsageError, match="settings of d3prefiner: width must be"):
        RefinerTraining.from_toml(path)
    path.write_text("stepps = 10\n")
    with pytest.raises(UsageError, match="unknown setting 'stepps'; one of: batch"):
        RefinerTraining.from_toml(path)
    path.write_text("steps = ")
    with pytest.raises(InputError, match="is not TOML"):
        RefinerTraining.from_toml(path)
    for wrong in (
        {"steps": 0},
        {"folds": 1},
        {"decay": 1.5},
        {"seed": -1},
        {"batch": 2.5},
        {"model": {"stepz": 1}},
    ):
        with pytest.raises(UsageError):
            RefinerTraining(**wrong)
    with pytest.raises(InputError, match="the pairs have 9 frames, the network 81"):
        train_refiner(pairs(), pairs(), RefinerTraining())
    with pytest.raises(InputError, match="finite"):
        Pairs(torch.zeros(1, 2, 17, 2), torch.full((1, 2, 17, 3), torch.nan), torch.zeros(1, 2, 17, 3))
