"""MPI-INF-3DHP and HumanEva-I: protocols against released numbers and against the same by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import Case
from dataset_fixtures import script
from tiny_networks import WINDOW, tiny_weights

from posecli.bench.metrics import p_mpjpe
from posecli.bench.protocols import best_of_batches, nearest_reprojection, score_3dhp, taken, windows
from posecli.bench.released import as_released
from posecli.bench.run import run_bench
from posecli.bench.tables import remarks
from posecli.calibration import from_screen
from posecli.datasets import mpi3dhp
from posecli.methods import METHODS
from posecli.weights.format import load_weights


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> Case:
    return Case(shared_data / "golden" / "metrics_3dhp")


def test_measures_agree_with_the_released_ones(golden: Case) -> None:
    a = golden.arrays
    truth = a["gt"] - a["gt"][:, :, [14]]
    for k, valid in enumerate(a["valid"].astype(bool)):
        found = score_3dhp("P-Agg", a["pred"][k][valid] / 1000, truth[k][valid] / 1000)
        assert found.frames == a["valid_frames"][k]
        for measure, name in (("pck", "pck"), ("auc", "auc"), ("p1", "mpjpe")):
            assert found.mean("P-Agg", measure) == pytest.approx(a[f"{name}_per_sequence"][k], abs=1e-9)


@pytest.mark.parametrize(("sequence", "camera"), [("TS1", mpi3dhp.INDOORS), ("TS5", mpi3dhp.OUTDOORS)])
def test_aggregations_agree_with_the_released_ones(golden: Case, sequence: str, camera) -> None:
    """Clips (b, F, …) stand for windows; the release scores them in batches of two, and there are two."""
    a = golden.arrays
    assert np.allclose(a[f"agg__{sequence}_camera"][:4], [*camera.focal, *camera.centre])
    truth, root, screen = (a[f"agg__{name}"] for name in ("gt", "root_traj", f"{sequence}_input_2d"))

    def line(x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, *x.shape[2:])

    for k in range(a["agg__hypotheses"].shape[1]):
        h = a["agg__hypotheses"][:, k].swapaxes(0, 1) / 1000  # (H, W, T, J, 3)
        flat = h.reshape(h.shape[0], -1, 17, 3)
        seen = from_screen(camera.project(flat + line(root) / 1000), camera.image_size)
        expected = a[f"agg__{sequence}_reproject_pixels"][:, k].swapaxes(0, 1).reshape(seen.shape)
        assert np.abs(seen - expected).max() < 0.01
        nearest = nearest_reprojection(flat, line(root) / 1000, line(screen), camera)
        agreed = 1000 * taken(flat, nearest)
        assert np.abs(agreed - line(a[f"agg__{sequence}_J_Agg_pose"][:, k])).max() < 0.001
        if sequence == "TS1":
            best = best_of_batches(h, truth / 1000, 2)
            chosen = 1000 * h[best, np.arange(h.shape[1])]
            assert np.abs(chosen - a["agg__TS1_P_Best_pose"][:, k]).max() < 0.001
            closest = np.linalg.norm(flat - line(truth) / 1000, axis=-1).argmin(axis=0)
            assert np.abs(1000 * taken(flat, closest) - line(a["agg__TS1_J_Best_pose"][:, k])).max() < 0.001
            assert np.abs(1000 * h.mean(axis=0) - a["agg__TS1_P_Agg_pose"][:, k]).max() < 0.001


def test_which_window_a_frame_is_taken_from() -> None:
    last, first = (windows(20, 9, p, overlap="last") for p in ("official", "clean"))
    assert last.rows[:, 0].tolist() == [0, 9, 11]
    assert last.rows[last.scored].tolist() == [*range(11), *range(11, 20)] and last.frames == 20
    assert last.scored.sum(axis=1).tolist() == [9, 2, 9] and first.scored.sum(axis=1).tolist() == [9, 9, 2]
    assert windows(5, 9, "official", overlap="last").frames == 5


def by_hand(folder: Path, weights: Path, protocol: str) -> np.ndarray:
    """PCK, AUC and MPJPE per sequence, (6, 3), from numpy's own reading, frame by frame."""
    _, model, _ = load_weights(weights)
    with np.load(folder / "data_test_3dhp_ori.npz", allow_pickle=True) as file:
        data = file["data"].item()
    rows = []
    for name, content in data.items():
        width, height = (1920, 1080) if name in ("TS5", "TS6") else (2048, 2048)
        x2d = content["data_2d"] / width * 2 - np.array([1, height / width])
        count = len(x2d)
        poses = np.zeros((count, 17, 3))
        starts = [*range(0, count - WINDOW + 1, WINDOW), count - WINDOW]
        for start in starts if protocol == "official" else reversed(starts):
            with torch.no_grad():
                pose = model.predict(torch.from_numpy(x2d[None, start : start + WINDOW]).float())[0].numpy()
            if protocol == "clean":
                pose = pose - pose[:, [14]]
            poses[start : start + WINDOW] = 1000 * pose
        truth = content["data_3d"] - content["data_3d"][:, [14]]
        errors = np.linalg.norm(poses - truth, axis=-1)[content["valid"] == 1]
        shares = [100 * (errors[:, :14] < t).mean() for t in range(0, 151, 5)]
        rows.append((shares[-1], np.mean(shares), errors.mean()))
    return np.array(rows)


@pytest.mark.parametrize("protocol", ["official", "clean"])
def test_3dhp_from_files_to_numbers_against_the_same_by_hand(protocol: str, tmp_path: Path) -> None:
    script().write_3dhp(tmp_path, 20)
    weights = tiny_weights(tmp_path, "mixste", "3dhp")
    (result,) = run_bench("3dhp", tmp_path, weights=weights, method="mixste", protocol=protocol)
    expected = by_hand(tmp_path, weights, protocol)
    for k, (measure, tolerance) in enumerate((("pck", 0.01), ("auc", 0.01), ("p1", 0.01))):
        assert result.row(measure) == pytest.approx(list(expected[:, k]), abs=tolerance)
        assert result.mean(measure) == pytest.approx(expected[:, k].mean(), abs=tolerance)
    assert result.settings["truth"] == result.settings["truth_looks_like"] == "annot3"


def test_the_truth_of_one_size_is_another_benchmark(tmp_path: Path) -> None:
    script().write_3dhp(tmp_path, 20)
    weights = tiny_weights(tmp_path, "mixste", "3dhp")
    recorded, universal = (
        run_bench("3dhp", tmp_path, weights=weights, method="mixste", truth=truth)[0]
        for truth in mpi3dhp.ANNOTATIONS
    )
    assert abs(recorded.mean("p1") - universal.mean("p1")) > 1
    assert any(line.startswith("truth univ_annot3; rows of the other") for line in remarks(universal))
    (tmp_path / "data_test_3dhp.npz").write_bytes((tmp_path / "data_test_3dhp_ori.npz").read_bytes())
    (swapped,) = run_bench("3dhp", tmp_path, weights=weights, method="mixste", truth="univ_annot3")
    assert "BEWARE: the file says univ_annot3, the bodies in it say annot3" in remarks(swapped)


def test_the_released_slip_is_made_only_where_it_was(tmp_path: Path) -> None:
    entry = METHODS["ddhpose"]
    config = {
        **entry.defaults,
        "skeleton": "mpi_inf_3dhp17",
        "frames": 3,
        "width": 16,
        "depth": 2,
        "heads": 2,
    }
    lifter = entry.build(config)
    released = as_released(lifter, "3dhp", "official")  # type: ignore[arg-type]
    assert released.config.official_slots and as_released(lifter, "3dhp", "clean") is lifter  # type: ignore[arg-type]
    assert as_released(lifter, "h36m", "official") is lifter  # type: ignore[arg-type]
    x2d = torch.randn(1, 3, 17, 2, generator=torch.Generator().manual_seed(0))

    def lifted(model, steps: int) -> torch.Tensor:
        return model.lift_windows(x2d, hypotheses=1, steps=steps, generator=torch.Generator().manual_seed(1))

    assert torch.equal(lifted(lifter, 1), lifted(released, 1))  # one step has no use for the noise
    assert not torch.allclose(lifted(lifter, 3), lifted(released, 3), atol=1e-3)


def test_humaneva_with_and_without_cameras(tmp_path: Path) -> None:
    """P-MPJPE needs no camera and stays the same; what needs the camera's axes is left out without it."""
    script().write_humaneva(tmp_path, 12)
    weights = tiny_weights(tmp_path, "graformer", "humaneva")
    (result,) = run_bench("humaneva", tmp_path, weights=weights, method="graformer")
    _, model, _ = load_weights(weights)
    found: dict[str, list[float]] = {}
    with np.load(tmp_path / "data_3d_humaneva15.npz", allow_pickle=True) as file:
        world = file["positions_3d"].item()
    with np.load(tmp_path / "data_2d_humaneva15_gt.npz", allow_pickle=True) as file:
        pixels = file["positions_2d"].item()
    for subject, takes in world.items():
        for take, truth in takes.items():
            for view in pixels[subject][take]:
                if subject.startswith("Validate/") and take.startswith(("Walk", "Jog", "Box")):
                    x2d = torch.from_numpy(view / 640 * 2 - np.array([1, 480 / 640]))[:, None].float()
                    pose = model.lift_windows(x2d, hypotheses=1, steps=1, generator=torch.Generator())[
                        :, 0, 0
                    ]
                    group = f"{take[:4].replace('ing', '').strip()} {subject[-2:]}"
                    found.setdefault(group.replace("Box  ", "Box "), []).extend(
                        1000 * p_mpjpe(pose.numpy(), truth)
                    )
    columns = result.layout.columns
    assert result.row("p2") == pytest.approx([np.mean(found[c]) for c in columns], abs=1e-3)
    assert result.mean("p1") > result.mean("p2")
    assert not any("cameras do not follow" in line for line in remarks(result))
    (tmp_path / "data_2d_humaneva15_hr.npz").write_bytes(
        (tmp_path / "data_2d_humaneva15_gt.npz").read_bytes()
    )
    (tmp_path / "data_2d_humaneva15_gt.npz").unlink()
    (blind,) = run_bench("humaneva", tmp_path, weights=weights, method="graformer", keypoints="hr")
    assert blind.row("p2") == pytest.approx(result.row("p2"), abs=1e-3)
    assert np.isnan(blind.mean("p1")) and not blind.errors.any()
    assert "the cameras do not follow from these files: only P-MPJPE is scored" in remarks(blind)
    assert set(blind.to_dict()["measured"]["P-Agg"]) == {"p2"}
