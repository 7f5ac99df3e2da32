"""Which refiner, by name, weights and the lifter whose answers it is to refine."""

from __future__ import annotations

from pathlib import Path

from posecli.errors import InputError, UsageError
from posecli.machine import choose_device
from posecli.refine import REFINERS
from posecli.refine.apply import NetworkRefiner, Refiner, TimeFilter
from posecli.refine.filters import FILTERS
from posecli.weights import store

DEFAULT = "d3prefiner"
ANY = "any"


def choose_refiner(
    method: str, weights: str | Path | None = None, *, lifter: str = "unknown", device: str = "auto"
) -> Refiner:
    """method: "d3prefiner", a file of its weights, or one of `FILTERS`. weights: of d3prefiner, a file or the name of
    shipped ones; None: the shipped ones that were fitted to `lifter`, or else to any. Raises UsageError, InputError."""
    if method in FILTERS:
        if weights is not None:
            raise UsageError(f"{method} is a filter and has no weights; leave out --weights")
        return TimeFilter(method)
    if method not in REFINERS:
        if weights is None and Path(method).is_file():
            return NetworkRefiner.load(Path(method), choose_device(device))
        raise UsageError(f"unknown refiner {method!r}; one of: {', '.join([*REFINERS, *FILTERS])}")
    path = _shipped(method, lifter) if weights is None else store.find(method, weights)
    return NetworkRefiner.load(path, choose_device(device))


def doubts(refiner: Refiner, lifter: str) -> list[str]:
    """In words: where weights were fitted to the errors of another lifter than the one that made the motion."""
    base = refiner.record.get("base", ANY)
    if base in (ANY, lifter):
        return []
    if lifter == "unknown":
        return [
            f"these weights were fitted to the errors of {base}; which lifter made this file is not known (--base)"
        ]
    return [
        f"these weights were fitted to the errors of {base}, but {lifter} made this file: it may get worse"
    ]


def _shipped(method: str, lifter: str) -> Path:
    """Shipped weights are called `<method>-<lifter>`."""
    there = {w.name.removeprefix(f"{method}-"): w.path for w in store.shipped() if w.method == method}
    for base in (lifter, ANY):
        if base in there:
            return there[base]
    others = f" (only for {', '.join(there)})" if there else " yet"
    of = f" for {lifter}" if there else ""
    raise InputError(
        f"no weights of {method}{of} ship with posecli{others}: make some (posecli train {method} --base LIFTER) and "
        f"name them with --weights, or use a filter that needs none: {', '.join(FILTERS)}"
    )
