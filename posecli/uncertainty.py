"""How far off a lifted pose may be: the standard deviation of its error, from what can be seen without the truth.

Errors of a lifter are heavy-tailed because some windows are hard and most are not. What shows which are: 2D joints
that tremble, bones that change their length along the window, a body far from upright, and hypotheses that
disagree. The figures are fitted on held-out people at the end of training (`posecli.train.calibrate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.errors import InputError
from posecli.skeleton import H36M17

Array = NDArray[np.float64]

FEATURES = ("image_jerk", "bone_unsteadiness", "uprightness")
_LEAST = 1e-3  # of box and metres: below it, trembling and unsteadiness tell nothing
_CHILDREN = list(range(1, H36M17.num_joints))
_PARENTS = [H36M17.parents[j] for j in _CHILDREN]
_CHEST, _FEET = (8, 11, 14), (3, 6)


def features(x2d: NDArray[np.floating], mean: NDArray[np.floating]) -> Array:
    """What is seen of windows x2d (B, T, 17, 2) and their mean poses (B, T, 17, 3) metres → (B, T, F):

    image_jerk: log of the mean second difference of the 2D joints, relative to half the person's box.
    bone_unsteadiness: log of the bone lengths' standard deviation along the window, metres, mean of the bones.
    uprightness: how far the ankles are below shoulders and thorax, metres, in each frame.
    """
    frames = mean.shape[1]
    jerk = np.diff(x2d, 2, axis=1) if frames > 2 else np.zeros((len(x2d), 1, 1, 2))
    tremble = np.linalg.norm(jerk, axis=-1).mean(axis=(1, 2))
    lengths = np.linalg.norm(mean[:, :, _CHILDREN] - mean[:, :, _PARENTS], axis=-1)
    unsteady = lengths.std(axis=1).mean(axis=1)
    upright = mean[:, :, _FEET, 1].mean(axis=2) - mean[:, :, _CHEST, 1].mean(axis=2)
    windows = np.stack([np.log(tremble + _LEAST), np.log(unsteady + _LEAST)], axis=-1)
    along = np.broadcast_to(windows[:, None], (*upright.shape, 2))
    return np.concatenate([along, upright[..., None]], axis=-1, dtype=np.float64)


@dataclass(frozen=True)
class ErrorModel:
    """std² = (base · exp(Σ weight · feature))² + (spread · hypotheses' standard deviation)², axis by axis.

    base: (17, 3) metres, axes of the turned camera; zero at the root. weights: (F, 3), of features that are
    first cut to `low`…`high` (F,), which is as far as they were seen, then centred and divided by `width` (F,).
    spread: (3,).
    """

    base: Array
    weights: Array
    centre: Array
    width: Array
    low: Array
    high: Array
    spread: Array

    def __post_init__(self) -> None:
        count = len(FEATURES)
        shapes = {"base": (H36M17.num_joints, 3), "weights": (count, 3), "spread": (3,)}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value.shape != shapes.get(name, (count,)) or not np.isfinite(value).all():
                raise ValueError(f"{name} of the error model makes no sense")
        if (self.base < 0).any() or (self.spread < 0).any() or (self.width <= 0).any():
            raise ValueError("the error model has negative sizes")

    @classmethod
    def constant(cls, base: NDArray[np.floating]) -> ErrorModel:
        """The same error (17, 3) everywhere, and the hypotheses' spread as it is."""
        none, one = np.zeros(len(FEATURES)), np.ones(len(FEATURES))
        weights = np.zeros((len(FEATURES), 3))
        return cls(np.asarray(base, dtype=np.float64), weights, none, one, none, none, np.ones(3))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ErrorModel:
        """The inverse of `to_dict`. Raises ValueError, TypeError or KeyError where that cannot be."""
        return cls(**{name: np.asarray(values[name], dtype=np.float64) for name in cls.__dataclass_fields__})

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, to five places."""
        return {name: np.round(getattr(self, name), 5).tolist() for name in self.__dataclass_fields__}

    def std(self, seen: Array, spread: NDArray[np.floating]) -> Array:
        """features (..., T, F) and the hypotheses' standard deviation (..., T, 17, 3) → metres (..., T, 17, 3)."""
        scaled = (np.clip(seen, self.low, self.high) - self.centre) / self.width
        growth = np.exp(scaled @ self.weights)[..., None, :]
        return np.sqrt((self.base * growth) ** 2 + (self.spread * spread) ** 2)


@dataclass(frozen=True)
class Uncertainty:
    """Error models of a lifter's result with one hypothesis and with several (of their mean)."""

    one: ErrorModel
    several: ErrorModel

    @classmethod
    def constant(cls, base: NDArray[np.floating] | None = None) -> Uncertainty:
        """(17, 3) metres everywhere; None: nothing is known of the lifter's error, only its hypotheses' spread."""
        model = ErrorModel.constant(np.zeros((H36M17.num_joints, 3)) if base is None else base)
        return cls(model, model)

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> Uncertainty:
        """What a weights file says of its own error: `calibration`; in older files the constant `error_std_m`.

        Raises InputError where neither makes sense. Features that this version does not know are no calibration.
        """
        try:
            calibration = metadata.get("calibration")
            if calibration is not None and tuple(calibration["features"]) == FEATURES:
                return cls(*(ErrorModel.from_dict(calibration[key]) for key in ("one", "several")))
            return cls.constant(metadata.get("error_std_m"))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(
                "the weights' figures of their own error make no sense; their header is damaged"
            ) from None

    def std(self, x2d: NDArray[np.floating], answer: NDArray[np.floating]) -> Array:
        """Standard deviation of the error of the hypotheses' mean, along the turned camera's axes.

        x2d (B, T, 17, 2) as the lifter was given it, its answer (B, H, T, 17, 3) metres → (B, T, 17, 3) metres.
        """
        several = answer.shape[1] > 1
        seen = features(x2d, answer.mean(axis=1))
        spread = answer.std(axis=1, ddof=1) if several else np.zeros_like(answer[:, 0])
        return (self.several if several else self.one).std(seen, spread)
