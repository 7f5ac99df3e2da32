"""Predictions for every person by a lifter that was not trained on that person.

A lifter errs less on people it knows: errors of its own training subjects would teach a refiner to do next to
nothing (paper, Table III without the conditional distribution: worse than no refiner at all).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]


def subject_folds(subjects: Sequence[int], folds: int) -> list[Rows]:
    """Samples (their row numbers) held out in each fold. No subject lies in two folds; the folds are as even as
    subjects allow (largest first, each to the smallest fold so far). Raises ValueError with fewer subjects than folds.
    """
    who = np.asarray(subjects)
    names, counts = np.unique(who, return_counts=True)
    if folds < 2 or len(names) < folds:
        raise ValueError(
            f"{len(names)} subjects cannot make {folds} folds (at least 2, and one subject in each)"
        )
    filled = np.zeros(folds, dtype=np.int64)
    fold_of = {}
    for k in np.lexsort((names, -counts)):
        fold = int(filled.argmin())
        fold_of[names[k]] = fold
        filled[fold] += counts[k]
    placed = np.array([fold_of[name] for name in who])
    return [np.flatnonzero(placed == fold) for fold in range(folds)]


def cross_fitted(subjects: Sequence[int], folds: int, predict: Callable[[Rows, Rows], Tensor]) -> Tensor:
    """One prediction per sample (N, ...), in order.

    predict: (rows to train on, rows held out) → predictions for the rows held out. Called once per fold.
    """
    held = subject_folds(subjects, folds)
    everything = np.arange(len(subjects))
    answers = [predict(np.setdiff1d(everything, rows), rows) for rows in held]
    for rows, answer in zip(held, answers, strict=True):
        if len(answer) != len(rows):
            raise ValueError(f"{len(rows)} samples were held out, but {len(answer)} predictions came back")
    order = np.argsort(np.concatenate(held))
    return torch.cat(answers)[torch.from_numpy(order)]
