"""Protocols: what is counted, what is taken from the truth; against released numbers and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import Case
from dataset_fixtures import script

from posecli.bench.protocols import (
    nearest_reprojection,
    on_lines_of_sight,
    score_pose,
    score_with_truth,
    windows,
)
from posecli.bench.run import run_bench
from posecli.calibration import CalibratedCamera
from posecli.corpus.h36m import KEPT
from posecli.errors import InputError, UsageError
from posecli.lifting import LiftConfig
from posecli.methods.mixste import MixSTE, MixSTEConfig
from posecli.weights.format import save_weights

PAPERS = {"input": "X / w * 2 - [1, h / w]", "dataset": "h36m"}


def test_a_clip_of_500_frames() -> None:
    official, clean = windows(500, 243, "official"), windows(500, 243, "clean")
    assert official.rows[:, 0].tolist() == [0, 243, 257]
    assert official.frames == 729 and clean.frames == 500
    assert clean.rows[clean.scored].tolist() == list(range(500))
    # a clip shorter than a window: its filling counts as released, never when clean
    assert windows(10, 27, "official").frames == 27 and windows(10, 27, "clean").frames == 10
    for protocol in ("official", "clean"):
        centred = windows(40, 9, protocol, centred=3)
        assert centred.rows[centred.scored].tolist() == list(range(40))


def test_aggregations_agree_with_the_released_ones(shared_data: Path) -> None:
    case = Case(shared_data / "golden" / "metrics_hypotheses")
    a, tolerance = case.arrays, case.about["tolerance_abs"]
    f, c = a["cam"][0].astype(float)[:2], a["cam"][0].astype(float)[2:4]
    camera = CalibratedCamera(
        focal=tuple(f), centre=tuple(c + 1), image_size=(2, 2),
        radial=tuple(a["cam"][0, 4:7]), tangential=tuple(a["cam"][0, 7:9]),
    )  # fmt: skip

    def line(x: np.ndarray) -> np.ndarray:  # clips (b, F, …) one after the other
        return x.reshape(-1, *x.shape[2:])

    truth, root, screen = line(a["gt"]), line(a["root_traj"]), line(a["input_2d"])
    for k in range(a["pred"].shape[1]):
        h = a["pred"][:, k].swapaxes(0, 1)
        h = h.reshape(h.shape[0], -1, 17, 3)
        nearest = nearest_reprojection(h, root, screen, camera)
        assert np.array_equal(nearest, line(a["J_Agg_index"][:, k]))
        scores = score_with_truth(h, truth, nearest, [slice(0, len(truth))])
        scores += score_pose("P-Agg", h.mean(axis=0), truth)
        for name in ("P-Agg", "P-Best", "J-Best", "J-Agg"):
            key = name.replace("-", "_")
            assert scores.mean(name, "p1") / 1000 == pytest.approx(a[key][k], abs=tolerance["default"])
            assert scores.mean(name, "p2") / 1000 == pytest.approx(a[f"{key}_p2"][k], abs=tolerance["P2"])


def test_p_best_depends_on_the_batch() -> None:
    truth = np.zeros((2, 17, 3))
    h = np.zeros((2, 2, 17, 3))
    h[0, 0, :, 0], h[1, 1, :, 0] = (
        0.010,
        0.030,
    )  # each hypothesis is right in one frame, 10 and 30 mm off in the other
    none = np.zeros((2, 17), int)
    together = score_with_truth(h, truth, none, [slice(0, 2)])
    apart = score_with_truth(h, truth, none, [slice(0, 1), slice(1, 2)])
    assert together.mean("P-Best", "p1") == pytest.approx(5)
    assert apart.mean("P-Best", "p1") == pytest.approx(0)
    assert together.mean("J-Agg", "p1") == pytest.approx(5)


def test_diffuposes_last_step_knows_the_truth() -> None:
    """Given the true 2D, any x and y become right; only the depth is the network's."""
    camera = CalibratedCamera(focal=(1100.0, 1100.0), centre=(500.0, 510.0), image_size=(1000, 1000))
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.4, (6, 17, 3))
    truth[:, 0] = 0
    root = np.array([0.3, 0.1, 5.0]) + np.zeros((6, 1, 3))
    screen = camera.project(truth + root)
    guess = rng.normal(0, 1, truth.shape)
    guess[..., 2] = truth[..., 2]
    np.testing.assert_allclose(on_lines_of_sight(guess, root, screen, camera), truth, atol=1e-12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long")
    script().write_h36m(path, 500, subjects=("S9", "S11"), actions=("Posing",))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mixste.safetensors"
    torch.manual_seed(0)
    model = MixSTE(MixSTEConfig(frames=243, width=8, depth=1, heads=2)).eval()
    save_weights(path, "mixste", model, PAPERS)
    return path


def by_hand(folder: Path, weights: Path, protocol: str) -> list[float]:
    """Joint errors in mm, frame by frame, from the script's own cameras and numpy's own reading."""
    from posecli.weights.format import load_weights

    _, model, _ = load_weights(weights)
    found = []
    with np.load(folder / "data_3d_h36m.npz", allow_pickle=True) as file:
        world = file["positions_3d"].item()
    with np.load(folder / "data_2d_h36m_cpn_ft_h36m_dbb.npz", allow_pickle=True) as file:
        pixels = file["positions_2d"].item()
    for subject, takes in world.items():
        for take, recorded in takes.items():
            for view, camera in enumerate(script().cameras()):
                truth = camera.from_world(recorded[:, list(KEPT)])
                truth = truth - truth[:, :1]
                width, height = camera.image_size
                x2d = pixels[subject][take][view][:500] / width * 2 - np.array([1, height / width])
                for start, first in ((0, 0), (243, 0), (257, 229 if protocol == "clean" else 0)):
                    with torch.no_grad():
                        pose = model.predict(torch.from_numpy(x2d[None, start : start + 243]).float())[
                            0
                        ].numpy()
                    if protocol == "clean":
                        pose = pose - pose[:, :1]
                    apart = np.linalg.norm(pose - truth[start : start + 243], axis=-1)
                    found += apart[first:].mean(axis=-1).tolist()
    return [1000 * x for x in found]


@pytest.mark.parametrize(("protocol", "frames"), [("official", 729), ("clean", 500)])
def test_a_run_from_files_to_numbers_against_the_same_by_hand(
    protocol: str, frames: int, folder: Path, weights: Path
) -> None:
    (result,) = run_bench("h36m", folder, weights=weights, method="mixste", protocol=protocol)
    expected = by_hand(folder, weights, protocol)
    assert result.frames == len(expected) == 16 * frames
    assert result.mean("p1") == pytest.approx(np.mean(expected), abs=0.01)
    row = result.row("p1")
    assert row[6] == result.mean("p1") and sum(v == v for v in row) == 1  # "Posing" is all there is
    assert result.errors.sum() == result.frames * 16
    assert result.aggregations == ("P-Agg",)


def test_what_cannot_be_scored_is_said(folder: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="have 16 joints, these weights of mixste want 17"):
        run_bench("h36m", folder, weights=weights, method="mixste", keypoints="hr")
    with pytest.raises(UsageError, match="protocol must be one of official, clean"):
        run_bench("h36m", folder, weights=weights, method="mixste", protocol="mine")
    with pytest.raises(InputError, match=r"no data_2d_h36m_sh\.npz"):
        run_bench("h36m", folder, weights=weights, method="mixste", keypoints="sh")
    other = tmp_path / "other.safetensors"
    save_weights(other, "mixste", MixSTE(MixSTEConfig(frames=9, width=8, depth=1, heads=2)))
    with pytest.raises(UsageError, match="bench h36m scores released weights"):
        run_bench("h36m", folder, weights=other, method="mixste", configs=[LiftConfig()])
