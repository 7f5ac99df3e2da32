"""Regions of interest and their filter, against what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.detect.roi import OneEuro, Roi, apply_affine


@pytest.mark.parametrize(
    ("rim", "rotation"),
    [((100, 150), 0.0), ((150, 200), np.pi / 2), ((50, 200), -np.pi / 2), ((100, 250), -np.pi)],
)
def test_the_vector_to_the_rim_points_up_in_the_crop(rim: tuple[float, float], rotation: float) -> None:
    centre = np.array([100.0, 200.0])
    roi = Roi.around(centre, np.array(rim, float))
    assert roi.side == pytest.approx(125)
    assert np.cos(roi.rotation) == pytest.approx(np.cos(rotation), abs=1e-9)
    assert np.sin(roi.rotation) == pytest.approx(np.sin(rotation), abs=1e-9)
    affine = roi.to_image(256)
    up = apply_affine(affine, np.array([[128.0, 128.0], [128.0, 128.0 - 256 / 2.5]]))
    np.testing.assert_allclose(up, [centre, rim], atol=1e-6)


def test_letterbox_holds_the_whole_picture_centred() -> None:
    corners = apply_affine(Roi.letterbox(1280, 720).to_image(1), np.array([[0, 0], [1, 1], [0.5, 0.5]]))
    np.testing.assert_allclose(corners, [[0, -280], [1280, 1000], [640, 360]])


@pytest.mark.parametrize("roi", [Roi(np.nan, 0, 100), Roi(0, 0, 0), Roi(0, 0, np.inf)])
def test_squares_that_cannot_be_cut_out(roi: Roi) -> None:
    assert not roi.usable()


def test_filter_holds_still_points_and_follows_fast_ones() -> None:
    """At rest the cutoff is 0.01 Hz: weight 1 / (1 + 30 / (2π 0.01)); a jump of a body a frame passes at once."""
    still = OneEuro()
    still(np.array([100.0]), 500.0)
    first = still(np.array([100.0]), 500.0)
    assert first == pytest.approx(100)
    weight = 1 / (1 + 30 / (2 * np.pi))  # of the speed's own filter, 1 Hz
    speed = weight * (0.5 / 500 * 30)
    expected = 100 + 0.5 / (1 + 30 / (2 * np.pi * (0.01 + 10 * speed)))
    assert still(np.array([100.5]), 500.0) == pytest.approx(expected)
    fast = OneEuro()
    fast(np.array([0.0]), 500.0)
    assert fast(np.array([500.0]), 500.0)[0] > 450
