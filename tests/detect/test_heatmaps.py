"""What the sparse store keeps and loses, on every probability and on real heatmaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detect_runs import Run

from posecli.detect import DetectionsWriter, load_detections
from posecli.detect.heatmaps import (
    FLOOR,
    HeatmapFormat,
    HeatmapRecord,
    decode,
    encode,
    moments,
    to_probability,
)  # fmt: skip
from posecli.detect.keypoints import Keypoints2D
from posecli.skeleton import H36M17


def test_every_probability_comes_back_within_the_stated_bounds() -> None:
    p = np.linspace(0, 1, 200_001).astype(np.float32)
    lost = np.abs(decode(encode(p)) - p)
    assert lost[p >= FLOOR].max() < 0.0038
    assert lost[(p >= FLOOR) & (p < 0.003)].max() < 0.00025
    assert lost[p < FLOOR].max() < FLOOR
    assert encode(np.array([-0.1, 1.2])).tolist() == [0, 255]


def test_moments_of_a_known_heatmap() -> None:
    """A uniform block 4 columns × 2 rows: variance (n² - 1) / 12 along each side."""
    p = np.zeros((2, 64, 48), np.float32)
    p[0, 10:12, 20:24] = 0.5
    p[1, 5, 7] = p[1, 15, 17] = 0.25
    np.testing.assert_allclose(
        moments(p), [[4, 21.5, 10.5, 1.25, 0, 0.25], [0.5, 12, 10, 25, 25, 25]], atol=1e-4
    )
    assert np.isfinite(moments(np.zeros((1, 8, 8), np.float32))).all()


def test_real_heatmaps_lose_what_the_text_says(run: Run) -> None:
    stored = run.stored.heatmaps
    assert stored is not None and stored.moments is not None
    (p_back,) = stored.read()
    moved, off_mass, off_mean = [], [], []
    for record in run.raw:
        row = int(np.flatnonzero(stored.frames == record.frame)[0])
        p = to_probability(record.values[0], "logit").astype(np.float64)
        back = p_back[row].astype(np.float64)
        assert np.abs(back - p).max() < 0.0038
        assert (back[p < FLOOR * 0.999] == 0).all()
        assert (
            p.max(axis=(1, 2)) - p.reshape(33, -1)[range(33), back.reshape(33, -1).argmax(1)]
        ).max() < 0.0077
        y, x = np.mgrid[:64, :64]
        mass = p.sum(axis=(1, 2))
        mean = np.stack([(p * x).sum(axis=(1, 2)), (p * y).sum(axis=(1, 2))], axis=1) / mass[:, None]
        variance = (p * (x - mean[:, :1, None]) ** 2).sum(axis=(1, 2)) / mass
        np.testing.assert_allclose(stored.moments[row, :, 0], mass, rtol=1e-4)
        np.testing.assert_allclose(stored.moments[row, :, 1:3], mean, atol=1e-3)
        np.testing.assert_allclose(stored.moments[row, :, 3], variance, rtol=1e-3)
        kept = moments(back)
        a, b = p.reshape(33, -1).argmax(1), back.reshape(33, -1).argmax(1)
        moved.append(np.hypot(a // 64 - b // 64, a % 64 - b % 64))
        off_mass.append(1 - kept[:, 0] / mass)
        off_mean.append(np.hypot(*(kept[:, 1:3] - mean).T))
    assert np.mean(np.array(moved) > 0) < 0.08 and np.max(moved) < 1.5
    assert np.median(off_mass) < 0.02 and np.percentile(off_mass, 95) < 0.12
    assert np.median(off_mean) < 0.4 and np.percentile(off_mean, 95) < 3


def test_logits_read_back(run: Run) -> None:
    assert run.stored.heatmaps is not None
    (logits,) = run.stored.heatmaps.read(0, 6, kind="logit")
    true = run.raw[0].values[0]
    p = to_probability(true, "logit")
    sure = (p > FLOOR) & (p < 0.97)
    assert np.abs(logits[0] - true)[sure].max() < 0.13
    assert logits[0].min() == pytest.approx(np.log(FLOOR / 2 / (1 - FLOOR / 2)), abs=1e-3)


def test_at_most_10_kB_a_frame(run: Run) -> None:
    assert run.path.stat().st_size / run.frames < 10_000


def test_peaks_lie_at_the_joints(run: Run) -> None:
    """The affine takes the brightest cell to where the landmark is; one cell is about 4 crop pixels."""
    heatmaps = run.stored.heatmaps
    assert heatmaps is not None
    rows = [int(np.flatnonzero(heatmaps.frames == r.frame)[0]) for r in run.raw]
    (p,) = heatmaps.read()
    peak = p[rows].reshape(len(rows), 33, -1).argmax(-1)
    cells = np.stack([peak % 64, peak // 64], axis=-1)
    affine = heatmaps.to_image[rows]
    pixels = np.einsum("nab,njb->nja", affine[..., :2], cells) + affine[:, None, :, 2]
    off = pixels - run.keypoints.xy[heatmaps.frames[rows]]
    cell = np.linalg.norm(affine[:, :, 0], axis=1)[:, None]
    assert np.median(np.linalg.norm(off, axis=-1) / cell) < 1
    assert np.abs(np.median(off / cell[..., None], axis=(0, 1))).max() < 0.35  # no half-cell shift


def test_ranges_read_alike(run: Run) -> None:
    heatmaps = run.stored.heatmaps
    assert heatmaps is not None
    (whole,), (part,), (none,) = heatmaps.read(), heatmaps.read(13, 37), heatmaps.read(9, 9)
    assert np.array_equal(whole[13:37], part) and none.shape == (0, 33, 64, 64)


def test_simcc_vectors_and_gaps(tmp_path: Path) -> None:
    """Two vectors per joint, probabilities, in frames 0, 2, 4 … of 40."""
    format = HeatmapFormat(H36M17.joint_names, kind="probability", codec="simcc", layout="simcc")
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 17, 384), np.float32), rng.random((20, 17, 512), np.float32)
    affine = np.array([[0.5, 0, 10], [0, 0.5, 20]])
    blank = Keypoints2D(
        np.zeros((40, 17, 2), np.float32), np.ones((40, 17), np.float32), np.ones(40, bool),
        np.arange(40) / 25, H36M17, (640, 480),
    )  # fmt: skip
    with DetectionsWriter(tmp_path / "a.h5", {}) as file:
        for k in range(20):
            file.append(HeatmapRecord(format, 2 * k, (x[k], y[k]), affine))
        file.finish(blank)
    stored = load_detections(tmp_path / "a.h5").heatmaps
    assert stored is not None and stored.format == format
    assert stored.frames.tolist() == list(range(0, 40, 2)) and (stored.to_image == affine).all()
    x_back, y_back = stored.read()
    assert np.abs(x_back - x).max() < 0.0038 and np.abs(y_back - y).max() < 0.0038
