"""How much of a refiner's correction to make: found on people whom neither lifter nor refiner was fitted to.

What is learned from the errors of some people is too much or wrong in part on others, above all where the lifter knew
the first. A share of it may still help: the error of a mix of two poses is at most that mix of their errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from posecli.bench.metrics import mpjpe
from posecli.refine.d3prefiner import D3PRefiner
from posecli.refine.pairs import Pairs
from posecli.refine.train import refined

STRENGTHS = tuple(k / 20 for k in range(1, 21))


def find_strength(model: D3PRefiner, held: Sequence[Pairs]) -> float:
    """The one of `STRENGTHS` with which the lifter that gains least, in per cent of its MPJPE, gains most.

    model: of strength 1. held: pairs of one lifter after the other, of people not fitted to.
    """
    changes = []
    for pairs in held:
        noisy, truth = pairs.noisy.numpy(), pairs.pose.numpy()
        step = refined(model, pairs).numpy() - noisy
        before = mpjpe(noisy, truth).mean()
        changes.append([mpjpe(noisy + s * step, truth).mean() / before - 1 for s in STRENGTHS])
    return STRENGTHS[int(np.max(changes, axis=0).argmin())]
