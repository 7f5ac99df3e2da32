"""Who is held out, so that every person is predicted by a lifter that was not trained on that person.

A lifter errs less on people it knows: errors of its own training subjects would teach a refiner to do next to
nothing (paper, Table III without the conditional distribution: worse than no refiner at all).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
