"""From uneven times to a grid and back."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.resample import linear, spline, to_grid, uniform_times

RNG = np.random.default_rng(3)


def test_the_grid_goes_from_the_first_frame_to_the_last() -> None:
    np.testing.assert_allclose(uniform_times(2.0, 2.0, 30), [2.0])
    np.testing.assert_allclose(uniform_times(0.0, 0.1, 30), [0, 1 / 30, 2 / 30, 0.1])
    np.testing.assert_allclose(uniform_times(0.0, 0.108, 30), [0, 0.036, 0.072, 0.108])
    np.testing.assert_allclose(uniform_times(5.0, 5.001, 30), [5.0, 5.001])


@pytest.mark.parametrize("fps", [12, 24, 29.97, 30, 31, 50, 59.94, 60, 120, 240])
def test_straight_motion_is_kept_at_any_rate(fps: float) -> None:
    times = np.arange(int(2 * fps)) / fps
    points = np.stack([3 * times - 1, -times], axis=-1)[:, None]
    grid = uniform_times(times[0], times[-1], 30)[
        :-1
    ]  # the last may lie beyond the end, where the value is held
    expected = np.stack([3 * grid - 1, -grid], axis=-1)[:, None]
    np.testing.assert_allclose(to_grid(times, points, grid), expected, atol=1e-9)


def test_straight_motion_is_kept_at_uneven_times() -> None:
    times = np.cumsum(RNG.uniform(0.002, 0.06, 200))
    grid = uniform_times(times[0], times[-1], 30)
    np.testing.assert_allclose(to_grid(times, times[:, None], grid)[:, 0], grid, atol=1e-9)


def test_a_faster_source_is_averaged() -> None:
    times = np.arange(1201) / 120
    noise = RNG.normal(size=(1201, 1))
    alternating = (-1.0) ** np.arange(1201)[:, None]
    grid = uniform_times(0, times[-1], 30)
    inside = to_grid(times, noise, grid)[2:-2]
    # The tent at 120 Hz: (1, 2, 3, 4, 3, 2, 1) / 16, whose squares sum to 44 / 256.
    assert inside.std() == pytest.approx(np.sqrt(44 / 256), rel=0.1)
    assert np.abs(to_grid(times, alternating, grid)[2:-2]).max() < 1e-9  # 60 Hz would alias to 0 Hz


def test_gaps_are_bridged_by_straight_lines() -> None:
    times = np.concatenate([np.arange(120), np.arange(180, 300)]) / 240
    points = np.where(times < 0.6, 0.0, 1.0)[:, None]
    grid = uniform_times(0, times[-1], 30)
    out = to_grid(times, points, grid)[:, 0]
    between = (grid > 119 / 240) & (grid < 0.75)
    np.testing.assert_allclose(out[between], (grid[between] - 119 / 240) / (0.75 - 119 / 240), atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 20])
def test_splines_pass_through_their_points(count: int) -> None:
    grid, points = np.arange(count) / 30, RNG.normal(size=(count, 2, 3))
    np.testing.assert_allclose(spline(grid, points, grid), points, atol=1e-9)
    beyond = spline(grid, points, np.array([-1.0, 9.0]))
    np.testing.assert_allclose(beyond, points[[0, -1]], atol=1e-9)  # held, never extrapolated


def test_a_cubic_is_reproduced_by_splines_and_a_line_by_lines() -> None:
    grid, at = np.arange(20) / 30, np.linspace(0, 19 / 30, 57)
    np.testing.assert_allclose(spline(grid, grid[:, None] ** 3, at)[:, 0], at**3, atol=1e-12)
    np.testing.assert_allclose(linear(grid, 2 * grid[:, None], at)[:, 0], 2 * at, atol=1e-12)
    np.testing.assert_allclose(linear(grid[:1], np.ones((1, 4)), at), np.ones((57, 4)))
