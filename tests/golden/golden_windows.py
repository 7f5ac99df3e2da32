"""Checks of the papers' windows; exact."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from cases import Case

from posecli.paper_windows import centre_windows, evaluation_windows, training_chunks, training_starts


def checks(case: Case) -> dict[str, Callable[[Case], None]]:
    return {"indices": _indices, "counts": _counts}


def _indices(case: Case) -> None:
    for name, expected in case.arrays.items():
        kind, *numbers = re.fullmatch(r"([a-z_]+?)_[FT](\d+)(?:_tds(\d+))?_n(\d+)", name).groups()
        window, stride, frames = (int(n or 1) for n in numbers)
        actual = {
            "eval": lambda f, w, s: evaluation_windows(f, w),
            "train": lambda f, w, s: training_chunks(f, w),
            "train_start": lambda f, w, s: np.array(training_starts(f, w)),
            "center": centre_windows,
        }[kind](frames, window, stride)
        assert np.array_equal(actual, expected), name


def _counts(case: Case) -> None:
    for row in case.settings["summary"]:
        windows = evaluation_windows(row["clip"], row["F"])
        assert windows[:, 0].tolist() == row["starts"]
        times_seen = np.bincount(windows.ravel(), minlength=row["clip"])
        assert windows.size == row["evaluated_frames"]
        assert (times_seen == 1).sum() == row["frames_counted_once"]
        assert (times_seen > 1).sum() == row["frames_counted_more"]
        assert training_starts(row["clip"], row["F"]) == row["train_starts"]
