"""The detector model: what is drawn from it has its numbers, and the fit finds them again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from posecli.corpus import detector_model
from posecli.corpus.body_views import view
from posecli.corpus.detector_fit import fit_detector_model
from posecli.corpus.detector_model import (
    KIND,
    KINDS,
    LOST_LIMBS,
    RATES_HZ,
    DetectorErrors,
    DetectorModel,
    _through,
    correlations,
    load_model,
    shipped_model,
)
from posecli.corpus.landmarks_seen import LANDMARK_NAMES, SEEN_COLUMNS, SEEN_POINTS, TWINS
from posecli.corpus.mannequin_body import Clothes, body_surface
from posecli.corpus.paired_errors import assumed_focal, errors_of, seen_pairs
from posecli.corpus.pairs import Pairs
from posecli.corpus.simulate import Simulator, SimulatorConfig
from posecli.corpus.store import Clip
from posecli.corpus.viewpoints import Seen
from posecli.demo import shipped_motion
from posecli.errors import InputError, UsageError

FRAMES = 40


def scenes(count: int, frames: int = FRAMES, seed: int = 0, viewpoint: str = "mixed") -> Seen:
    clip = Clip(shipped_motion().points, 30.0, 2, 0, "A", 0, "", True, 1.0)
    simulator = Simulator([clip], frames, SimulatorConfig(viewpoint=viewpoint))
    generator = torch.Generator().manual_seed(seed)
    return simulator.see(simulator.motion(count, generator), generator)


def quiet(**changes: object) -> DetectorModel:
    """A detector that makes no errors, but for `changes`."""
    none = (
        "bias",
        "spread",
        "spread_beyond",
        "pull",
        "tilt",
        "scale",
        "swap_rate",
        "miss_rate",
        "uneven",
        "burst_rate",
    )
    zeros = {name: (np.array(getattr(shipped_model(), name)) * 0).tolist() for name in none}
    white = np.eye(9)[8]
    nothing = {"time": [white.tolist()] * len(KINDS), "joints": np.eye(len(KIND)).tolist()}
    return DetectorModel.from_dict(shipped_model().to_dict() | zeros | nothing | changes)


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody has the same anatomy."""
    monkeypatch.setattr(detector_model, "ANATOMY", 0.0)


def drawn(model: DetectorModel, seen: Seen, seed: int = 1, **settings: float) -> torch.Tensor:
    errors = DetectorErrors(model, seen.points.shape[1], **settings)
    return errors(seen, torch.Generator().manual_seed(seed))


def test_json_and_back() -> None:
    model = shipped_model()
    assert DetectorModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model


@pytest.mark.parametrize(
    "change",
    [{"spread": [[1, 2]]}, {"bias": "x"}, {"swap_s": float("nan")}, {"miss_rate": -1.0}, {"unheard": 1.0}],
)
def test_numbers_that_are_no_model_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(change)) if "bias" not in change else "detector model"):
        DetectorModel.from_dict(shipped_model().to_dict() | change)


def test_the_shipped_numbers_are_plausible() -> None:
    """Half a standing person is one: errors are a few percent of that, more where joints are hidden."""
    model = shipped_model()
    spread = np.array(model.spread)
    assert (spread[:, 0] > 0.005).all() and (spread[:, 0] < 0.05).all()
    assert (spread[[KINDS.index(k) for k in ("elbow", "wrist")], 1] > 0.04).all()
    np.testing.assert_allclose(np.sum(model.time, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(np.diag(model.joints), 1, atol=1e-3)
    np.testing.assert_allclose(model.joints, np.array(model.joints)[np.ix_(TWINS, TWINS)], atol=0.02)


@pytest.mark.usefixtures("alike")
def test_the_simulator_draws_from_the_model_it_is_told(tmp_path: Path) -> None:
    """`posecli data fit --out` names one; a detector that makes no errors leaves the projection as it is."""
    path = tmp_path / "fitted.json"
    path.write_text(json.dumps(quiet().to_dict()), encoding="utf-8")
    clip = Clip(shipped_motion().points, 30.0, 2, 0, "A", 0, "", True, 1.0)
    simulator = Simulator([clip], FRAMES, SimulatorConfig(detector_model=str(path), other_rates=0.0))
    seen = scenes(3)
    simulator.see = lambda points, generator: seen  # type: ignore[method-assign]
    flat = simulator.look(seen.points, torch.Generator().manual_seed(0)).flat
    perfect = seen.flat(seen.points[:, :, SEEN_POINTS])
    torch.testing.assert_close(flat[:, :, 3], perfect[:, :, LANDMARK_NAMES.index("right_ankle")])


def test_files_that_are_no_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for content in (b"", b"[]", b"[" * 10**6, b'{"bias": 1}', b"\xff", b" " * 5_000_000):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no detector model of `posecli data fit`"):
            load_model(path)
    with pytest.raises(InputError, match="cannot read the detector model"):
        load_model(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="detector_model must be the name of a file"):
        SimulatorConfig(detector_model=3)  # type: ignore[arg-type]


@pytest.mark.usefixtures("alike")
def test_a_detector_without_errors_sees_the_projection() -> None:
    seen = scenes(8)
    torch.testing.assert_close(
        drawn(quiet(), seen), seen.flat(seen.points[:, :, SEEN_POINTS]), atol=1e-6, rtol=0
    )


@pytest.mark.usefixtures("alike")
def test_bias_is_a_step_of_the_body() -> None:
    """A hip placed 0.1 units upwards along the trunk is seen where that point of the body projects."""
    bias = np.zeros((len(KINDS), 4, 3))
    bias[KINDS.index("hip"), 0, 1] = 0.1
    seen = scenes(64, frames=3)
    views = view(seen)
    offset = (drawn(quiet(bias=bias.tolist()), seen) - views.flat) / views.unit
    hips = [LANDMARK_NAMES.index(f"{side}_hip") for side in ("left", "right")]
    assert offset[:, :, [d for d in range(19) if d not in hips]].abs().max() < 1e-5
    # The point itself, moved in space: 0.1 units of half the standing height.
    points = seen.points[:, :, SEEN_POINTS][:, :, hips]
    trunk = torch.nn.functional.normalize(seen.points[:, :, 8] - seen.points[:, :, 0], dim=-1)[:, :, None]
    metres = (views.unit * seen.points[:, :, :1, 2:] / seen.zoom[:, None, None, None]) * 0.1
    moved = (seen.flat(points + metres * trunk) - seen.flat(points)) / views.unit
    factor = (offset[:, :, hips] * moved).sum((1, 2, 3)) / (moved**2).sum((1, 2, 3))
    torch.testing.assert_close(offset[:, :, hips], factor[:, None, None, None] * moved, atol=2e-3, rtol=0.05)
    assert factor.min() >= 0 and factor.max() < 1.35 and 0.5 < factor.mean() < 0.8  # of [0, 1.3]


@pytest.mark.usefixtures("alike")
def test_joints_outside_the_picture_are_drawn_back() -> None:
    seen = replace(scenes(16), half=torch.full((16, 2), 0.02))
    views = view(seen)
    assert (views.beyond.norm(dim=-1) > 0.05).float().mean() > 0.3
    offset = (drawn(quiet(pull=0.5), seen) - views.flat) / views.unit
    torch.testing.assert_close(offset, -0.5 * views.beyond, atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("alike")
def test_events_come_as_often_and_last_as_long_as_asked() -> None:
    seen, seconds = scenes(400), FRAMES / 30
    swapped = drawn(quiet(swap_rate=(0.3, 0.0, 0.0), swap_s=0.2), seen)
    true = seen.flat(seen.points[:, :, SEEN_POINTS])
    knee = LANDMARK_NAMES.index("left_knee")
    changed = (swapped[:, :, knee] - true[:, :, knee]).abs().amax(-1) > 1e-5
    torch.testing.assert_close(swapped[changed][:, knee], true[changed][:, TWINS[knee]], atol=1e-5, rtol=0)
    starts = (changed[:, 1:] & ~changed[:, :-1]).sum() / (400 * seconds)
    assert float(starts) == pytest.approx(0.3, rel=0.25)
    assert float(changed.float().mean()) == pytest.approx(0.3 * 0.2, rel=0.3)

    lost = drawn(quiet(burst_rate=0.4, burst_s=0.1, burst_size=(0.3, 0.0), burst_middle=0.5), seen)
    offset = ((lost - true) / view(seen).unit).norm(dim=-1)
    ends = offset[:, :, [end for _, end in LOST_LIMBS]]
    once = ends[(ends > 0.29) & (ends < 0.31)]
    assert len(once) / float((ends > 1e-4).sum()) > 0.9  # seldom two at once
    assert float((ends > 1e-4).float().mean()) == pytest.approx(0.4 * 0.1, rel=0.3)
    middles = offset[:, :, [middle for middle, _ in LOST_LIMBS]]
    torch.testing.assert_close(middles, ends / 2, atol=1e-4, rtol=1e-3)

    missed = drawn(quiet(miss_rate=0.5, miss_s=0.2), seen)
    gone = (missed - true).abs().amax(dim=(2, 3)) > 1e-5
    assert not gone[:, [0, -1]].any() and 0.02 < gone.float().mean() < 0.12
    window, frame = (int(k) for k in gone.nonzero()[0])
    after = frame + int((~gone[window, frame:]).nonzero()[0])
    part = 1 / (after - frame + 1)
    line = torch.lerp(true[window, frame - 1], true[window, after], part)
    torch.testing.assert_close(missed[window, frame], line, atol=1e-5, rtol=0)


@pytest.mark.parametrize("source", RATES_HZ)
@pytest.mark.parametrize("phase", [0.0, 1 / 3])
def test_other_frame_rates_leave_straight_motion_alone(source: float, phase: float) -> None:
    carried, _ = _through(source, phase, 27, 30.0, shipped_model())
    line = np.arange(27.0)
    np.testing.assert_allclose(carried @ line, line, atol=1e-8)
    np.testing.assert_allclose(carried.sum(axis=1), 1, atol=1e-9)


def test_noise_of_other_frame_rates() -> None:
    """White noise: 60 Hz come to 30 Hz through weights ¼, ½, ¼; of 15 Hz every other frame is a mean of two."""
    variance = {hz: np.diag(_through(hz, 0.0, 27, 30.0, quiet())[1][0] @ _through(hz, 0.0, 27, 30.0, quiet())[1][0].T)
                for hz in (15.0, 60.0)}  # fmt: skip
    np.testing.assert_allclose(variance[60.0], 3 / 8, atol=1e-6)
    np.testing.assert_allclose(variance[15.0][::2], 1, atol=1e-6)
    np.testing.assert_allclose(variance[15.0][1::2], 1 / 2, atol=1e-6)


def test_a_seed_repeats_a_draw() -> None:
    seen = scenes(8)
    first, second = (drawn(shipped_model(), seen, seed=3, other_rates=0.5) for _ in "ab")
    assert torch.equal(first, second) and torch.isfinite(first).all()
    assert not torch.equal(first, drawn(shipped_model(), seen, seed=4, other_rates=0.5))


def test_hiding_agrees_with_the_painted_surface() -> None:
    """Against the mannequin itself: the nearest face painted over a joint, well before the joint or not."""
    seen = scenes(48, frames=2, viewpoint="studio")
    guess = view(seen).hidden[:, 0].numpy()
    clothes = Clothes((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1))
    deep = {"hip": 0.2, "shoulder": 0.16, "knee": 0.14, "elbow": 0.12, "ankle": 0.12, "wrist": 0.1}
    limbs = [d for d, name in enumerate(LANDMARK_NAMES) if name.split("_")[-1] in deep]
    true = np.zeros((len(guess), len(limbs)), dtype=bool)
    for row, points in enumerate(seen.points[:, 0].numpy()):
        quads = body_surface(points, clothes)[0]
        corners = quads[..., :2] / quads[..., 2:]
        for column, d in enumerate(limbs):
            joint = points[SEEN_POINTS[d]]
            away = corners - joint[:2] / joint[2]
            after = np.roll(away, -1, axis=1)
            turn = away[..., 0] * after[..., 1] - away[..., 1] * after[..., 0]
            over = (turn > 0).all(axis=1) | (turn < 0).all(axis=1)
            gap = joint[2] - quads[over].mean(axis=1)[:, 2].min(initial=np.inf)
            true[row, column] = gap > deep[LANDMARK_NAMES[d].split("_")[-1]]
    sure = (guess[:, limbs] < 0.25) | (guess[:, limbs] > 0.75)
    agree = (guess[:, limbs] > 0.5) == true
    assert 0.05 < true.mean() < 0.6
    assert agree[sure].mean() > 0.9


def test_the_fit_finds_the_numbers_that_were_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_model, "ANATOMY", 0.0)
    monkeypatch.setattr(detector_model, "FACTOR", (1.0, 1.0))
    model = shipped_model()
    time = np.zeros(9)
    time[[0, 3, 8]] = 0.3, 0.6, 0.1
    model = DetectorModel.from_dict(
        model.to_dict() | {"time": [time.tolist()] * len(KINDS), "scale": (0.3, 0.2, 0.25), "burst_rate": 0.0}
    )
    pairs = pretended(model, 120)
    found = fit_detector_model(pairs, "a test")
    assert found.source == "a test"
    inside = np.array(model.spread)[:, 0]
    np.testing.assert_allclose(np.array(found.spread)[:, 0], inside, rtol=0.25)
    assert np.linalg.norm(np.array(found.bias) - model.bias) < 0.6 * np.linalg.norm(model.bias)
    lags = np.arange(30) / 30
    for kind in range(len(KINDS)):
        np.testing.assert_allclose(
            np.array(found.time)[kind] @ correlations(lags), time @ correlations(lags), atol=0.2
        )
    np.testing.assert_allclose(found.scale, model.scale, atol=0.12)
    assert sum(found.swap_rate) == pytest.approx(sum(model.swap_rate), abs=0.12)
    with pytest.raises(InputError, match="too few frames"):
        fit_detector_model(pairs.of("test"))


def pretended(model: DetectorModel, count: int) -> Pairs:
    """A paired set whose detections were drawn from `model`."""
    seen = scenes(count)
    size = np.round(seen.half.numpy() / seen.half.numpy().max() * 640).astype(np.int32) * 2
    empty = np.zeros(count)
    pairs = Pairs(
        xy=np.zeros((count, FRAMES, 33, 2), np.float32), scores=np.ones((count, FRAMES, 33), np.float32),
        points=seen.points.numpy(), size=size, focal=empty.astype(np.float32), up=seen.up.numpy(),
        heatmaps=np.ones((count, FRAMES, 19, 7), np.float32), to_image=np.zeros((count, FRAMES, 2, 3), np.float32),
        subject=empty.astype(np.int32), split=empty.astype(np.uint8), viewpoint=seen.viewpoint.numpy().astype(np.uint8),
    )  # fmt: skip
    focal = assumed_focal(pairs)
    pairs = replace(pairs, focal=(focal * seen.zoom.numpy()).astype(np.float32))
    detected = drawn(model, seen_pairs(pairs)).numpy()
    xy = np.zeros_like(pairs.xy)
    xy[:, :, SEEN_COLUMNS] = detected * focal[:, None, None, None] + size[:, None, None] / 2
    pairs = replace(pairs, xy=xy)
    direct = errors_of(pairs, detected).error
    np.testing.assert_allclose(errors_of(pairs).error, direct, atol=1e-4)
    return pairs
