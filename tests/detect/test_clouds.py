"""Clouds against densities whose moments are known, and against real heatmaps."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from detect_runs import Run

from posecli.detect.clouds import NO_HEATMAPS, JointClouds, density, draw_from_grids, draw_from_vectors
from posecli.detect.heatmaps import HeatmapFormat, HeatmapRecord, Heatmaps, HeatmapWriter
from posecli.detect.keypoints import Keypoints2D
from posecli.skeleton import H36M17, LIMBS

PIXELS_PER_CELL, CORNER = 8.0, np.array([100.0, 50.0])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bump(x: float, y: float, std: float, size: int = 64) -> np.ndarray:
    """A Gaussian of peak 1 on a grid of cells."""
    rows, columns = np.mgrid[:size, :size]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * std**2))


def clip(
    tmp_path: Path, values: np.ndarray, *, kind: str = "probability", layout: str = "grid", frames: int = 3
) -> tuple[Keypoints2D, Heatmaps]:
    """Three frames of Human3.6M-17 with the same heatmaps; keypoints at cell (30, 20), box of 160 pixels."""
    format = HeatmapFormat(H36M17.joint_names, kind, "msra", layout)  # type: ignore[arg-type]
    affine = np.array([[PIXELS_PER_CELL, 0, CORNER[0]], [0, PIXELS_PER_CELL, CORNER[1]]])
    path = tmp_path / "maps.h5"
    with h5py.File(path, "w") as file:
        writer = HeatmapWriter(file.create_group("heatmaps"))
        arrays = (values,) if layout == "grid" else (values.sum(1), values.sum(2))
        for frame in range(frames):
            writer.append(HeatmapRecord(format, frame, arrays, affine))
        writer.flush()
    xy = np.tile(CORNER + PIXELS_PER_CELL * np.array([30.0, 20.0]), (frames, 17, 1)).astype(np.float32)
    xy[:, 0, 0] += 80
    xy[:, 1, 0] -= 80
    keypoints = Keypoints2D(
        xy=xy,
        scores=np.full((frames, 17), 0.5, np.float32),
        found=np.ones(frames, bool),
        timestamps_s=np.arange(frames) / 30,
        skeleton=H36M17,
        image_size=(1000, 1000),
    )
    with h5py.File(path) as file:
        return keypoints, Heatmaps(path, file["heatmaps"], frames)


def test_draws_from_a_grid_have_its_shares_and_fill_its_cells() -> None:
    weight = torch.tensor([[[0.0, 1.0, 0.0], [2.0, 0.0, 1.0]]], dtype=torch.float64)
    drawn = draw_from_grids(weight, torch.rand(1, 40_000, 2, generator=seeded(0), dtype=torch.float64))[0]
    cell = drawn.round()
    for column, row, share in ((1, 0, 0.25), (0, 1, 0.5), (2, 1, 0.25)):
        inside = (cell == torch.tensor([column, row])).all(dim=-1)
        assert inside.double().mean().item() == pytest.approx(share, abs=0.01)
        within = drawn[inside] - cell[inside]
        torch.testing.assert_close(within.mean(0), torch.zeros(2).double(), atol=0.02, rtol=0)
        torch.testing.assert_close(within.var(0), torch.full((2,), 1 / 12).double(), atol=0.005, rtol=0)


def test_draws_from_vectors_are_independent_along_both_axes() -> None:
    x, y = torch.tensor([[1.0, 0.0, 3.0]]).double(), torch.tensor([[1.0, 1.0]]).double()
    drawn = draw_from_vectors(x, y, torch.rand(1, 40_000, 2, generator=seeded(0), dtype=torch.float64))[0]
    assert (drawn[:, 0] > 1.5).double().mean().item() == pytest.approx(0.75, abs=0.01)
    assert drawn[:, 1].mean().item() == pytest.approx(0.5, abs=0.01)
    assert drawn.T.corrcoef()[0, 1].item() == pytest.approx(0, abs=0.02)
    assert drawn.min() >= -0.5 and drawn[:, 0].max() <= 2.5


def test_empty_images_say_so() -> None:
    quantiles = torch.rand(2, 5, 2, generator=seeded(0), dtype=torch.float64)
    weight = torch.stack([torch.zeros(3, 4), torch.ones(3, 4)]).double()
    drawn = draw_from_grids(weight, quantiles)
    assert drawn[0].isnan().all() and drawn[1].isfinite().all()
    assert draw_from_vectors(weight[:, 0], weight[:, 0], quantiles)[0].isnan().all()


def test_odds_are_the_chances_when_one_cell_holds_the_joint() -> None:
    """Three independent yes/no cells, counted over all eight outcomes with exactly one yes."""
    p = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
    alone = torch.stack([p[i] * torch.prod(1 - p[torch.arange(3) != i]) for i in range(3)])
    odds = density(p, HeatmapFormat(("a",), "logit", "blazepose"))
    torch.testing.assert_close(odds / odds.sum(), alone / alone.sum())
    assert density(p, HeatmapFormat(("a",), "probability", "msra")) is p


@pytest.mark.parametrize("layout", ["grid", "simcc"])
def test_clouds_lie_where_the_heatmaps_do(tmp_path: Path, layout: str) -> None:
    wide, elsewhere = 13, 16
    values = np.stack([bump(30, 20, 2.0)] * 17)
    values[wide], values[elsewhere] = bump(30, 20, 5.0), bump(42, 33, 2.0)
    if layout == "simcc":
        values = values / values.sum(axis=(1, 2), keepdims=True)
    clouds = JointClouds(*clip(tmp_path, values, layout=layout))
    assert clouds.warning is None
    drawn = clouds.draw([0, 2], 4000, seeded(0)).double()
    assert drawn.shape == (2, 17, 4000, 2)
    torch.testing.assert_close(drawn[0], drawn[1])  # equal heatmaps, shared quantiles
    cells = (drawn[0] - torch.from_numpy(CORNER)) / PIXELS_PER_CELL
    mean, std = cells.mean(dim=1), cells.std(dim=1)
    torch.testing.assert_close(mean[5], torch.tensor([30.0, 20.0]).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(mean[elsewhere], torch.tensor([42.0, 33.0]).double(), atol=0.1, rtol=0)
    for joint, sigma in ((5, 2.0), (wide, 5.0), (elsewhere, 2.0)):  # dropped cells cut the tails a little
        expected = (sigma**2 + 1 / 12) ** 0.5
        torch.testing.assert_close(std[joint], torch.full((2,), expected).double(), atol=0, rtol=0.05)


def test_blurring_widens_and_shifting_moves_that_joint_alone(tmp_path: Path) -> None:
    values = np.stack([bump(30, 20, 2.0)] * 17)
    changed = values.copy()
    changed[13] = bump(38, 20, 4.0)
    before, after = (JointClouds(*clip(tmp_path, v)).draw([0], 2000, seeded(0))[0] for v in (values, changed))
    others = [j for j in range(17) if j != 13]
    torch.testing.assert_close(before[others], after[others])
    moved = after[13].mean(dim=0) - before[13].mean(dim=0)
    torch.testing.assert_close(moved, torch.tensor([8 * PIXELS_PER_CELL, 0.0]), atol=1.0, rtol=0)
    assert (after[13].std(dim=0) / before[13].std(dim=0)).tolist() == pytest.approx([2.0, 2.0], abs=0.1)


def test_without_heatmaps_scores_decide_and_it_is_said(tmp_path: Path) -> None:
    keypoints, heatmaps = clip(tmp_path, np.stack([bump(30, 20, 2.0)] * 16 + [np.zeros((64, 64))]))
    clouds = JointClouds(keypoints, None)
    assert clouds.warning == NO_HEATMAPS
    drawn = clouds.draw([1], 4000, seeded(0))[0]
    middle = torch.from_numpy(keypoints.xy[1])
    torch.testing.assert_close(drawn.mean(dim=1), middle, atol=1.0, rtol=0)
    expected = (0.035 + 0.25 * 0.5 ** (1 / 3)) * 80
    torch.testing.assert_close(drawn.std(dim=1), torch.full((17, 2), expected), atol=0, rtol=0.05)
    mixed = JointClouds(keypoints, heatmaps)  # joint 16 has an empty heatmap
    assert mixed.warning is None
    torch.testing.assert_close(mixed.draw([1], 4000, seeded(0))[0, 16], drawn[16])


def test_real_clouds_lie_about_the_landmarks_and_move_smoothly(run: Run) -> None:
    """The network regresses its landmarks beside its heatmaps: both should mean the same joints."""
    clouds = JointClouds(run.keypoints, run.stored.heatmaps)
    rows = np.flatnonzero(run.keypoints.found)[:32]
    drawn = clouds.draw(rows, 200, seeded(0))
    body = run.keypoints.to_h36m17().xy[rows]
    half = torch.from_numpy((body.max(axis=1) - body.min(axis=1)).max(axis=-1) / 2)[:, None]
    off = (drawn.median(dim=2).values - torch.from_numpy(body)).norm(dim=-1) / half
    assert off.median() < 0.03 and off[:, list(LIMBS)].quantile(0.9) < 0.15
    step = drawn.diff(dim=0).norm(dim=-1) / half[1:, :, None]
    shuffled = (drawn[1:] - drawn[:-1, :, torch.randperm(200, generator=seeded(1))]).norm(dim=-1)
    assert step.median() < 0.3 * (shuffled / half[1:, :, None]).median()
