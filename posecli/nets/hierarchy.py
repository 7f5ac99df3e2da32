"""What the kinematic tree gives a network: depth levels, child averages, and the HRST map of DDHPose.

A tree is a tuple of parents, -1 for the root (`Skeleton.parents`). Everything here is derived from it.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

Entry = tuple[int, int]
"""(query joint, key joint): one entry of an attention matrix."""


def levels(parents: tuple[int, ...]) -> tuple[int, ...]:
    """Distance of every joint from the root: the hierarchies of DDHPose (fig. 1)."""

    def depth(joint: int) -> int:
        return 0 if parents[joint] < 0 else 1 + depth(parents[joint])

    return tuple(depth(joint) for joint in range(len(parents)))


def children(parents: tuple[int, ...], joint: int) -> list[int]:
    return [child for child, parent in enumerate(parents) if parent == joint]


def chains(parents: tuple[int, ...]) -> list[list[int]]:
    """Paths from the root to every leaf, depth first, children in the order of their index."""

    def walk(path: list[int]) -> list[list[int]]:
        below = children(parents, path[-1])
        return [chain for child in below for chain in walk([*path, child])] if below else [path]

    return walk([parents.index(-1)])


def child_average(parents: tuple[int, ...]) -> Tensor:
    """(J, J) matrix that replaces each joint by the mean of itself and its children (DDHPose, HRTT: f_c)."""
    matrix = torch.eye(len(parents))
    for child, parent in enumerate(parents):
        if parent >= 0:
            matrix[parent, child] = 1.0
    return matrix / matrix.sum(dim=1, keepdim=True)


def hrst_rules(parents: tuple[int, ...]) -> dict[Entry, dict[Entry, Fraction]]:
    """The attention entries that HRST changes, each as an exact combination of original entries.

    DDHPose's algorithm 1 as released: along every chain from root to leaf, in order and in place, for
    grandparent g, parent p, child c:  A[p,c] and A[c,p] become their means with A[g,p]. Chains share
    their beginnings, so a bone that k chains have in common is averaged k times. The whole is linear;
    carrying exact fractions through the loop gives its coefficients. Those of an entry sum to one.
    """
    rules: dict[Entry, dict[Entry, Fraction]] = {}

    def current(entry: Entry) -> dict[Entry, Fraction]:
        return rules.get(entry, {entry: Fraction(1)})

    for chain in chains(parents):
        for g, p, c in zip(chain, chain[1:], chain[2:], strict=False):
            above = current((g, p))
            for entry in ((p, c), (c, p)):
                own = current(entry)
                rules[entry] = {
                    source: (own.get(source, Fraction(0)) + above.get(source, Fraction(0))) / 2
                    for source in (*own, *above)
                }
    return rules


def hrst_map(parents: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """HRST over flattened (J²) attention matrices: at (K,) are the entries that take part, and
    matrix (K, K) float32 makes their new values from their old ones.
    """
    rules = hrst_rules(parents)
    entries = sorted({*rules, *(source for sources in rules.values() for source in sources)})
    at = torch.tensor([row * len(parents) + column for row, column in entries], dtype=torch.long)
    matrix = torch.eye(len(entries))
    for target, sources in rules.items():
        row = torch.zeros(len(entries))
        for source, weight in sources.items():
            row[entries.index(source)] = float(weight)
        matrix[entries.index(target)] = row
    return at, matrix
