"""The low-pass filter against its own formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, freqz

from posecli.smooth import low_pass, response

RATE, CUTOFF = 30.0, 5.0


@pytest.mark.parametrize(("frequency", "kept"), [(0.5, 0.9998), (1.0, 0.998), (5.0, 0.5), (10.0, 0.1)])
def test_sines_come_out_as_the_formula_says(frequency: float, kept: float) -> None:
    """sin(π/6) = 0.5 and sin(π/3)² = 0.75: of 10 Hz 1 / (1 + 9) is left."""
    times = np.arange(600) / RATE
    wave = np.sin(2 * np.pi * frequency * times + 0.3)
    out = low_pass(wave, RATE, CUTOFF)
    np.testing.assert_allclose(out[60:-60], response(frequency, RATE, CUTOFF) * wave[60:-60], atol=1e-9)
    assert response(frequency, RATE, CUTOFF) == pytest.approx(kept, rel=1e-3)


def test_the_response_is_that_of_the_usual_butterworth_filter() -> None:
    """Second order, run forth and back, is what biomechanics calls fourth order without delay."""
    frequencies = np.linspace(0.1, 6, 50)
    _, gain = freqz(*butter(2, CUTOFF / (RATE / 2)), worN=frequencies, fs=RATE)
    ours = [response(f, RATE, CUTOFF) for f in frequencies]
    np.testing.assert_allclose(ours, np.abs(gain) ** 2, atol=0.06)  # sines where that has tangents


def test_white_noise_is_cut_by_the_integral_of_the_response() -> None:
    noise = np.random.default_rng(0).normal(size=(6000, 4))
    out = low_pass(noise, RATE, CUTOFF)
    frequencies = np.linspace(0, RATE / 2, 2001)
    gain = np.array([response(f, RATE, CUTOFF) for f in frequencies])
    assert out.std() == pytest.approx(np.sqrt(np.mean(gain**2)), rel=0.03)
    # Acceleration of what was not there: the second difference multiplies a sine by 4 sin²(πf / rate).
    weight = np.sin(np.pi * frequencies / RATE) ** 4
    expected = np.sqrt(np.mean(gain**2 * weight) / np.mean(weight))  # 0.135
    jerky, smooth = (np.diff(x, 2, axis=0).std() for x in (noise, out))
    assert smooth / jerky == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 50, 18_000])
def test_rest_and_straight_motion_are_kept_to_the_ends(count: int) -> None:
    line = np.arange(count)[:, None, None] * np.array([[0.0, 0.01], [-0.02, 1.0]]) + 3.0
    np.testing.assert_allclose(low_pass(line, RATE, CUTOFF), line, atol=1e-6)


def test_nothing_is_filtered_where_nothing_is_asked_for() -> None:
    noise = np.random.default_rng(0).normal(size=(40, 2))
    for cutoff in (None, 15.0, 80.0):
        np.testing.assert_array_equal(low_pass(noise, RATE, cutoff), noise)


def test_a_clip_runs_the_same_backwards() -> None:
    noise = np.random.default_rng(1).normal(size=(25, 3))
    np.testing.assert_allclose(low_pass(noise, RATE, 3.0)[::-1], low_pass(noise[::-1], RATE, 3.0), atol=1e-12)


def test_the_command_line_and_the_library_smooth_alike() -> None:
    import inspect

    from posecli.cli.lift import lift
    from posecli.cli.options import smoothing
    from posecli.errors import UsageError
    from posecli.lifting import LiftConfig

    assert smoothing(inspect.signature(lift).parameters["smooth"].default) == LiftConfig().smooth_hz == 8.0
    assert smoothing(" Off ") is None and smoothing("7.5") == 7.5
    with pytest.raises(UsageError, match="a number of Hz, such as 8, or off, not 'fast'"):
        smoothing("fast")
