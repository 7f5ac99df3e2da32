"""Joint names, however a tool spells them, and the joint set they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from posecli.detect.foreign.clip import listed
from posecli.errors import InputError
from posecli.skeleton import (
    BLAZEPOSE33,
    COCO17,
    H36M17,
    HALPE26,
    OPENPOSE25,
    Skeleton,
    h36m_weights,
)

_KNOWN = (COCO17, OPENPOSE25, HALPE26, H36M17, BLAZEPOSE33)
_SIDES = {"l": "left", "r": "right"}
_OTHER_WORDS = {"midhip": "hip", "pelvis": "hip", "top": "", "mid": "", "middle": ""}


def match(names: Sequence[str], where: str) -> tuple[Skeleton, list[int | None]]:
    """The joint set that `names` are, and for each of its joints the place of its name (None where it lacks).

    "LShoulder", "left shoulder", "l_shoulder" and "shoulder.L" are one name. Of the sets that have all joints which
    lifting needs, the one with most names in common is taken.
    Raises InputError that begins with `where` and names what is missing.
    """
    given: dict[tuple[str, ...], int] = {}
    for place, name in enumerate(names):
        given.setdefault(_key(name), place)
    found = [(s, [given.get(_key(name)) for name in s.joint_names]) for s in _KNOWN]
    lacking = [[s.joint_names[j] for j in needed(s) if places[j] is None] for s, places in found]
    complete = [k for k, missing in enumerate(lacking) if not missing]
    if not complete:
        nearest = min(range(len(found)), key=lambda k: len(lacking[k]))
        raise InputError(
            f"{where}: lifting needs {listed(lacking[nearest], 20)} too, which are not among its joints "
            f"({listed(list(names), 12)})"
        )
    return found[max(complete, key=lambda k: sum(p is not None for p in found[k][1]))]


def needed(skeleton: Skeleton) -> list[int]:
    """The joints that Human3.6M-17 is made from."""
    return [int(j) for j in np.flatnonzero((h36m_weights(skeleton) != 0).any(axis=0))]


def _key(name: str) -> tuple[str, ...]:
    """A name as its words, in an order that does not depend on the spelling."""
    apart = re.sub(r"([a-z])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3 \2\4", name[:80])
    words = re.findall(r"[a-z]+|[0-9]+", apart.lower())
    words = [_OTHER_WORDS.get(word, _SIDES.get(word, word)) for word in words]
    return tuple(sorted(word for word in words if word))
