"""Which refiner, by name, weights and the lifter whose answers it is to refine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posecli.errors import InputError, UsageError
from posecli.machine import choose_device
from posecli.refine import REFINERS
from posecli.refine.apply import NetworkRefiner, Refiner, TimeFilter
from posecli.refine.filters import FILTERS
from posecli.weights import store
from posecli.weights.format import read_header

DEFAULT = "d3prefiner"
ANY = "any"


@dataclass(frozen=True)
class MadeBy:
    """What made a motion: its lifter and the SHA-256 of that lifter's weights, None where not known."""

    method: str = "unknown"
    weights_hash: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> MadeBy:
        """From a motion's settings, which may come from a foreign file."""
        digest = settings.get("weights_hash")
        return cls(str(settings.get("method", "unknown")), digest if isinstance(digest, str) else None)

    def same_weights(self, bases: Any) -> bool:
        """Whether `bases`, method → SHA-256 as a refiner's weights tell it, holds these; yes where either is silent."""
        told = bases.get(self.method) if isinstance(bases, Mapping) else None
        return told is None or self.weights_hash in (None, told)


def choose_refiner(
    method: str, weights: str | Path | None = None, *, made_by: MadeBy | None = None, device: str = "auto"
) -> Refiner:
    """method: "d3prefiner", a file of its weights, or one of `FILTERS`. weights: of d3prefiner, a file or the name of
    shipped ones; None: the shipped ones that were fitted to what made the motion, method and weights, or else to any.
    Raises UsageError, InputError."""
    if method in FILTERS:
        if weights is not None:
            raise UsageError(f"{method} is a filter and has no weights; leave out --weights")
        return TimeFilter(method)
    if method not in REFINERS:
        if weights is None and Path(method).is_file():
            return NetworkRefiner.load(Path(method), choose_device(device))
        raise UsageError(f"unknown refiner {method!r}; one of: {', '.join([*REFINERS, *FILTERS])}")
    path = _shipped(method, made_by or MadeBy()) if weights is None else store.find(method, weights)
    return NetworkRefiner.load(path, choose_device(device))


def doubts(refiner: Refiner, made_by: MadeBy) -> list[str]:
    """In words: where weights were fitted to the errors of another lifter than the one that made the motion, or of the
    same with other weights."""
    if "base" not in refiner.record:  # a filter, which was fitted to nothing
        return []
    fitted = f"these weights were fitted to the errors of {fitted_to(refiner.record)}"
    if made_by.method == "unknown":
        return [f"{fitted}; which lifter made this file is not known (--base)"]
    base, bases = refiner.record["base"], refiner.record.get("bases", {})
    if made_by.method not in (base, *bases):
        return [f"{fitted}, but {made_by.method} made this file: it may get worse"]
    if not made_by.same_weights(bases):
        return [f"{fitted}, with other weights than those that made this file: it may get worse"]
    return []


def fitted_to(record: Mapping[str, Any]) -> str:
    """In words: the lifters whose errors a refiner's weights know. record: as in `Refiner.record`."""
    base, bases = record.get("base", ANY), record.get("bases", {})
    return ", ".join(sorted(bases)) if base == ANY and bases else str(base)


def in_words(record: Mapping[str, Any]) -> str:
    """What refined, for a summary. record: as in `Refiner.record`, or in a motion's `settings["refinements"]`."""
    if "weights" not in record:
        return str(record["method"])
    return f"{record['weights']}, fitted to {fitted_to(record)}"


def _shipped(method: str, made_by: MadeBy) -> Path:
    """Shipped ones are called `<method>-<lifter>`. Those for any come before those for other weights of the lifter."""
    there = {w.name.removeprefix(f"{method}-"): w.path for w in store.shipped() if w.method == method}
    own = there.get(made_by.method)
    if own is not None and (
        ANY not in there or made_by.same_weights(read_header(own)["metadata"].get("bases"))
    ):
        return own
    if ANY in there:
        return there[ANY]
    others = f" (only for {', '.join(there)})" if there else " yet"
    of = f" for {made_by.method}" if there else ""
    raise InputError(
        f"no weights of {method}{of} ship with posecli{others}: make some (posecli train {method} --base LIFTER) and "
        f"name them with --weights, or use a filter that needs none: {', '.join(FILTERS)}"
    )
