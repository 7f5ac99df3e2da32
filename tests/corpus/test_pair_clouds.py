"""Heatmaps in 24 bytes: what comes back is where the places drawn from the heatmap itself are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from posecli.corpus.pair_clouds import Places, pack, unpack
from posecli.detect.clouds import density, draw_from_grids
from posecli.detect.heatmaps import HeatmapFormat, HeatmapRecord, decode, encode, to_probability

DENSITY = HeatmapFormat(("a",), "probability", "msra")
ODDS = HeatmapFormat(("a",), "logit", "blazepose")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bump(x: float, y: float, sx: float, sy: float, r: float = 0.0) -> np.ndarray:
    """A correlated Gaussian of peak 1 on 64 × 64 cells."""
    rows, columns = np.mgrid[:64, :64]
    u, v = (columns - x) / sx, (rows - y) / sy
    return np.exp(-(u * u - 2 * r * u * v + v * v) / (2 * (1 - r * r)))


def test_a_bump_comes_back_with_its_mean_and_covariance() -> None:
    codes = pack(np.stack([bump(30, 20, 3, 2, 0.6), bump(5, 55, 1, 2)]), DENSITY)
    assert codes.shape == (2, 4, 6) and codes.dtype == np.uint8
    mean, covariance = unpack(codes).moments()
    torch.testing.assert_close(mean, torch.tensor([[30.0, 20.0], [5.0, 55.0]]), atol=0.15, rtol=0)
    first = torch.tensor([[9.0, 3.6], [3.6, 4.0]]) + torch.eye(2) / 12
    torch.testing.assert_close(covariance[0], first, atol=0.4, rtol=0)  # the faintest cells are dropped
    torch.testing.assert_close(covariance[1].diagonal(), torch.tensor([1.08, 4.08]), atol=0, rtol=0.08)


def test_two_places_stay_two_with_their_shares() -> None:
    codes = pack((0.75 * bump(15, 30, 1.5, 1.5) + 0.25 * bump(45, 35, 1.5, 1.5))[None], DENSITY)
    drawn = unpack(codes).draw(
        torch.rand(1, 8000, generator=seeded(0)), torch.randn(1, 8000, 2, generator=seeded(1))
    )[0]
    right = drawn[:, 0] > 30
    assert right.float().mean().item() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(drawn[right].mean(0), torch.tensor([45.0, 35.0]), atol=0.2, rtol=0)
    torch.testing.assert_close(drawn[~right].mean(0), torch.tensor([15.0, 30.0]), atol=0.2, rtol=0)
    assert ((drawn[:, 0] > 22) & (drawn[:, 0] < 38)).float().mean() < 0.01


def test_silence_is_zeros_and_the_same_input_gives_the_same_bytes() -> None:
    p = np.stack([np.zeros((64, 64)), 0.9 * bump(20, 20, 2, 2)])
    codes = pack(p, ODDS)
    assert not codes[0].any() and unpack(codes).known.tolist() == [False, True]
    np.testing.assert_array_equal(codes, pack(p, ODDS))
    assert pack(p[:0], ODDS).shape == (0, 4, 6)
    with pytest.raises(ValueError, match="64 cells"):
        pack(np.zeros((1, 65, 64)), ODDS)


def test_maps_of_the_plane_carry_draws_along() -> None:
    places = Places(
        torch.tensor([0.5, 0.5]), torch.tensor([[1.0, 2.0], [4.0, 0.0]]),
        torch.tensor([[[1.0, 0.0], [0.3, 0.5]], [[0.2, 0.0], [0.0, 0.1]]]),
    )  # fmt: skip
    affine = torch.tensor([[0.0, -2.0, 5.0], [3.0, 1.0, -1.0]])
    uniform, white = torch.rand(50, generator=seeded(0)), torch.randn(50, 2, generator=seeded(1))
    moved = places.draw(uniform, white) @ affine[:, :2].T + affine[:, 2]
    torch.testing.assert_close(places.through(affine).draw(uniform, white), moved)


def test_real_heatmaps_of_a_video(shared_data: Path) -> None:
    """BlazePose on a walk: places from the bytes against places from the heatmaps."""
    from itertools import islice

    from posecli.detect.blazepose import HEATMAPS, BlazePose
    from posecli.errors import NetworkError
    from posecli.media import open_media

    try:
        detector = BlazePose(threads=1)
    except NetworkError as error:
        pytest.skip(f"the BlazePose networks cannot be had: {error}")

    kept: list[HeatmapRecord] = []
    source = open_media(shared_data / "videos/opencap_walk_ts/video.mp4")
    size = (source.info.width, source.info.height)
    detector.detect(islice(iter(source), 12), size, heatmaps=kept)
    p = np.concatenate([to_probability(r.values[0][11:33:2], HEATMAPS.kind) for r in kept])
    quantiles = torch.rand(1, 3000, 2, generator=seeded(0), dtype=torch.float64).expand(len(p), -1, -1)
    stored = torch.from_numpy(decode(encode(p))).double()  # as a detections file has them
    direct = draw_from_grids(density(stored, HEATMAPS), quantiles)
    back = unpack(pack(p, HEATMAPS)).draw(
        torch.rand(len(p), 3000, generator=seeded(1)), torch.randn(len(p), 3000, 2, generator=seeded(2))
    )
    off = (back.mean(1) - direct.mean(1)).norm(dim=-1)
    assert off.median() < 0.2 and off.max() < 2  # cells
    wide, told = direct.std(1).norm(dim=-1), back.std(1).norm(dim=-1).double()
    assert (told / wide).median() == pytest.approx(1, abs=0.1)
    assert torch.stack([wide, told]).corrcoef()[0, 1] > 0.9
