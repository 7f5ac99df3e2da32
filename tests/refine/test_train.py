"""Training in miniature: the loss falls, errors that can be known go away, the ablations are what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posecli.corpus import pairs as paired_set
from posecli.corpus.simulate import SimulatorConfig
from posecli.corpus.store import Clip, write_corpus
from posecli.demo import shipped_motion
from posecli.detect.blazepose import BlazePose
from posecli.diffusion.schedules import cosine_schedule
from posecli.errors import InputError, NetworkError, UsageError
from posecli.methods import METHODS
from posecli.refine.d3prefiner import D3PRefiner, D3PRefinerConfig
from posecli.refine.diffusion import noisy_state
from posecli.refine.make import make_refiner
from posecli.refine.noise import NoiseModel
from posecli.refine.pairs import Pairs, cross_fitted_pairs, detected_pairs, lifted_pairs
from posecli.refine.settings import RefinerTraining
from posecli.refine.train import CHECKPOINT, Progress, train_refiner
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


def test_training_begins_with_other_weights(tmp_path: Path) -> None:
    """One step from them at next to no learning rate leaves them as good as they were; another network is refused."""
    config = RefinerTraining(steps=20, batch=16, learning_rate=5e-3, model=MODEL)
    made = train_refiner(pairs(), pairs(16, seed=1), config)
    path = tmp_path / "d3prefiner-first.safetensors"
    save_weights(path, "d3prefiner", made.model, {})
    more = replace(config, steps=1, learning_rate=1e-9, init=str(path))
    again = train_refiner(pairs(32, seed=2), pairs(16, seed=1), more)  # of other errors: the unit is kept
    assert again.scores.mpjpe == pytest.approx(made.scores.mpjpe, rel=1e-3)
    with pytest.raises(UsageError, match="holds another network"):
        train_refiner(pairs(), pairs(16, seed=1), replace(more, model={**MODEL, "reach": 2}))


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


def test_what_was_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    config = RefinerTraining(steps=6, batch=8, validate_every=3, ema=0.9, model=MODEL)
    whole = train_refiner(pairs(), pairs(16, seed=1), config)

    def killed(now: Progress) -> None:
        if now.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_refiner(pairs(), pairs(16, seed=1), config, folder=tmp_path, progress=killed)
    steps: list[int] = []
    resumed = train_refiner(
        pairs(), pairs(16, seed=1), config, folder=tmp_path, progress=lambda p: steps.append(p.step)
    )
    assert steps == [4, 5, 6] and resumed.losses == whole.losses[3:] and resumed.scores == whole.scores
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    other = RefinerTraining(steps=6, batch=8, validate_every=3, ema=0.9, seed=1, model=MODEL)
    with pytest.raises(UsageError, match="is of a run with other settings"):
        train_refiner(pairs(), pairs(16, seed=1), other, folder=tmp_path)
    with pytest.raises(UsageError, match="is of a run with other motion"):
        train_refiner(pairs(seed=5), pairs(16, seed=1), config, folder=tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"x")
    with pytest.raises(InputError, match="is damaged; delete it"):
        train_refiner(pairs(), pairs(16, seed=1), config, folder=tmp_path)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    lifter = METHODS["mixste"].build({**METHODS["mixste"].defaults, **TINY})
    path = tmp_path / "mixste-tiny.safetensors"
    save_weights(path, "mixste", lifter, {"rate_hz": 30.0, "size_exponent": 0.5})
    return path


@pytest.mark.parametrize("fit", ["training", "held-out", "folds"])
def test_from_a_corpus_to_weights(fit: str, base: Path, tmp_path: Path) -> None:
    data = tmp_path / "corpus.h5"
    write_corpus(data, clips(16, 35, 5, 9))  # two people to train on, two to validate on
    config = RefinerTraining(
        steps=3, batch=4, fit=fit, folds=2, windows=8, validation_windows=4, model=MODEL,
        lifter={"steps": 2, "batch": 4, "validation_windows": 64, "precision": "32-true"},
    )  # fmt: skip
    path, card = make_refiner([str(base)], data, config, tmp_path / "run", device="cpu")
    method, model, metadata = load_weights(path)
    assert method == "d3prefiner" and model.window == 9 and metadata["base"] == "mixste"
    assert (metadata["rate_hz"], metadata["size_exponent"]) == (30.0, 0.5)
    assert metadata["windows"] == {"fit": 8, "validation": 4}
    lifters = {"fold-mixste-0", "fold-mixste-1"} if fit == "folds" else set()
    kept = {"pairs-mixste-fit.safetensors", "pairs-mixste-validation.safetensors", CHECKPOINT, "log.csv"}
    assert {p.name for p in (tmp_path / "run").iterdir()} == lifters | kept | {path.name, card.name}
    change = metadata["validation"]["mpjpe"] / metadata["validation"]["mpjpe_before"] - 1
    assert f"{100 * change:+.1f} %" in card.read_text()
    if fit == "training":  # all is there: nothing is lifted again, and the same file comes out
        content = path.read_bytes()
        again, _ = make_refiner([str(base)], data, config, tmp_path / "run", device="cpu")
        assert again.read_bytes() == content
        with pytest.raises(UsageError, match="was lifted from other data"):
            make_refiner([str(base)], data, replace(config, windows=9), tmp_path / "run")


def test_several_lifters_give_a_refiner_of_any(base: Path, tmp_path: Path) -> None:
    data, other = tmp_path / "corpus.h5", tmp_path / "stcformer-tiny.safetensors"
    write_corpus(data, clips(16, 5))
    lifter = METHODS["stcformer"].build({**METHODS["stcformer"].defaults, **TINY})
    save_weights(other, "stcformer", lifter, {"rate_hz": 30.0, "size_exponent": 0.5})
    config = RefinerTraining(steps=1, batch=4, windows=4, validation_windows=4, model=MODEL)
    path, _ = make_refiner([str(base), str(other)], data, config, tmp_path / "run", device="cpu")
    metadata = load_weights(path)[2]
    assert path.name == "d3prefiner-any.safetensors" and metadata["base"] == "any"
    assert set(metadata["bases"]) == {"mixste", "stcformer"} and metadata["windows"]["fit"] == 8
    save_weights(other, "stcformer", lifter, {"rate_hz": 60.0, "size_exponent": 0.5})
    with pytest.raises(UsageError, match="see windows at different rates"):
        make_refiner([str(base), str(other)], data, config, tmp_path / "run")


def test_lifters_that_cannot_be_refined(base: Path, weights: Path, tmp_path: Path) -> None:
    data = tmp_path / "corpus.h5"
    write_corpus(data, clips(16, 5))
    config = RefinerTraining(model=MODEL)
    with pytest.raises(InputError, match="no weights for mgcn ship with posecli; name a weights file"):
        make_refiner(["mgcn"], data, config, tmp_path / "run")
    with pytest.raises(UsageError, match="which is no lifter"):
        make_refiner([str(weights)], data, config, tmp_path / "run")
    with pytest.raises(UsageError, match="no lifter and no weights file 'x' for --base"):
        make_refiner(["x"], data, config, tmp_path / "run")
    with pytest.raises(InputError, match="too few validation subjects to fit on"):
        make_refiner([str(base)], data, replace(config, fit="held-out"), tmp_path / "run")


def test_the_paired_set_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        detector = BlazePose(threads=1)
    except NetworkError as error:
        pytest.skip(f"the BlazePose networks cannot be had: {error}")
    monkeypatch.setattr(paired_set, "ROUND", (1, 1, 1))
    easy = SimulatorConfig(viewpoint="studio", mixed=0, sitting=0, reaching=0, still=0)
    path = tmp_path / "pairs.h5"
    paired_set.make_pairs(clips(1, 5, 2), path, windows=3, frames=4, detector=detector, config=easy)
    lifter = METHODS["mixste"].build({**METHODS["mixste"].defaults, **TINY})
    made = detected_pairs(lifter, path, "val", frames=9, simulator=SimulatorConfig(size_exponent=0.5))
    assert made.pose.shape == (1, 9, 17, 3)
    for name in ("x2d", "noisy", "pose"):  # four frames, played back and forth again
        assert torch.equal(getattr(made, name), getattr(made, name)[:, [0, 1, 2, 3, 3, 2, 1, 0, 0]])
    truth = paired_set.load_pairs(path, "val").points[0, :, :17]
    length = np.linalg.norm(truth[:, 3] - truth[:, 2], axis=-1)
    np.testing.assert_allclose((made.pose[0, :4, 3] - made.pose[0, :4, 2]).norm(dim=-1), length, atol=1e-4)


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
        {"fit": "everybody"},
        {"ema": 1.0},
        {"model": {"motion": -1}},
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
