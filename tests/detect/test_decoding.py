"""Peaks between cells, and crops about boxes."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.detect.box_crop import BoxCrop
from posecli.detect.decoding import concentration, grid_joints, simcc_joints, softmax
from posecli.detect.network import Box
from posecli.detect.roi import apply_affine

PLACES = np.array([(20.0, 30.0), (20.25, 30.5), (20.49, 30.51), (3.9, 60.1), (44.7, 2.3)])  # column, row


def gaussians(n: int, middles: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-((np.arange(n) - middles[:, None]) ** 2) / (2 * sigma**2)).astype(np.float32)


def test_simcc() -> None:
    x, y = 0.8 * gaussians(48, PLACES[:, 0], 4.9), 0.6 * gaussians(64, PLACES[:, 1], 5.66)
    cells, scores = simcc_joints(x, y, "probability")
    np.testing.assert_allclose(cells, PLACES, atol=1e-3)
    peaks = 0.6 * np.exp(-((PLACES[:, 1] - np.rint(PLACES[:, 1])) ** 2) / (2 * 5.66**2))
    np.testing.assert_allclose(scores, peaks, atol=1e-5)  # the less sure of the two


@pytest.mark.parametrize("kind", ["probability", "logit"])
def test_heatmaps(kind: str) -> None:
    p = 0.95 * gaussians(64, PLACES[:, 1], 2.0)[:, :, None] * gaussians(48, PLACES[:, 0], 2.0)[:, None]
    values = p if kind == "probability" else np.log(p.clip(1e-9) / (1 - p))
    cells, scores = grid_joints(values, kind)  # type: ignore[arg-type]
    np.testing.assert_allclose(cells, PLACES, atol=2e-3)
    np.testing.assert_allclose(scores, p.max(axis=(1, 2)), atol=1e-5)


def test_peaks_without_neighbours() -> None:
    """At the rim, of a plain, of nothing: the cell itself."""
    x = np.zeros((4, 6), np.float32)
    x[0, 0], x[1, 5], x[2], x[3] = 0.7, 0.7, 0.5, -1
    cells, scores = simcc_joints(x, x, "probability")
    np.testing.assert_array_equal(cells[:, 0], [0, 5, 0, 0])
    np.testing.assert_allclose(scores, [0.7, 0.7, 0.5, 0])


def test_softmax() -> None:
    """A Gaussian of 6 cells in 384: what lies within 12 cells is erf(12.5 / 6 / √2)."""
    logits = -((np.arange(384) - 100.0) ** 2)[None] / (2 * 36) + 1000
    vectors = softmax(logits, 1)
    assert vectors.sum() == pytest.approx(1, abs=1e-5)
    assert concentration(vectors)[0] == pytest.approx(0.9628, abs=1e-3)
    assert softmax(np.zeros((2, 3, 4), np.float32), 2) == pytest.approx(1 / 12)


def test_crop_cuts_what_it_says() -> None:
    """A picture of slopes tells where each of its pixels came from."""
    row, column = np.mgrid[:200, :250]
    image = np.stack([column, row, 0 * row], axis=-1).astype(np.uint8)
    for edges in (False, True):
        crop = BoxCrop.around(Box(100, 80, 140, 120), 0.75, 1.25)
        assert (crop.left, crop.top, crop.width, crop.height) == pytest.approx((95, 66 + 2 / 3, 50, 200 / 3))
        shown = crop.cut(image, (96, 128), edges=edges)
        assert shown.shape == (128, 96, 3)
        places = apply_affine(crop.to_image((96, 128), edges=edges), np.array([(0.0, 0.0), (90.0, 33.0)]))
        for (x, y), (u, v) in zip(places, ((0, 0), (90, 33)), strict=True):
            assert shown[v, u, 0] == pytest.approx(x, abs=1) and shown[v, u, 1] == pytest.approx(y, abs=1)
    corner = apply_affine(crop.to_image((96, 128), edges=True), np.array([(95.0, 127.0)]))[0]
    assert corner == pytest.approx((145, 66 + 2 / 3 + 200 / 3))
