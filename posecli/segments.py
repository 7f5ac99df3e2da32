"""Absences and jumps: which stretches of a clip are lifted as one, and at which times."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posecli import resample
from posecli.motion import stretches

Array = NDArray[np.float64]

_LONGEST_STEP_S = 0.5
"""Frames further apart than this (and than the longest gap to bridge) are lifted apart: what happened between is
unknown."""


@dataclass(frozen=True)
class Segment:
    """A stretch of frames without a long absence, and the uniform times at which it is lifted."""

    rows: slice
    seen: NDArray[np.int64]  # frames of the stretch in which the person was found
    grid: Array


def bridge(
    found: NDArray[np.bool_], times: Array, max_gap_s: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which frames (T,) get a pose, and which of them had nobody: absences between sightings up to `max_gap_s`."""
    valid = found.copy()
    seen = np.flatnonzero(found)
    for before, after in itertools.pairwise(seen):
        if after - before > 1 and times[after] - times[before] <= max_gap_s:
            valid[before:after] = True
    return valid, valid & ~found


def segments(
    valid: NDArray[np.bool_], found: NDArray[np.bool_], times: Array, rate: float, max_gap_s: float
) -> list[Segment]:
    """Stretches of valid frames, cut also where the source itself jumps in time (which bounds the grid, whatever
    times a damaged file claims)."""
    jumps = np.flatnonzero(np.diff(times) > max(max_gap_s, _LONGEST_STEP_S)) + 1
    found_stretches = []
    for run in stretches(valid):
        cuts = [run.start, *(int(j) for j in jumps if run.start < j < run.stop), run.stop]
        for start, stop in itertools.pairwise(cuts):
            seen = np.arange(start, stop)[found[start:stop]]
            grid = resample.uniform_times(times[start], times[stop - 1], rate)
            found_stretches.append(Segment(slice(start, stop), seen, grid))
    return found_stretches
