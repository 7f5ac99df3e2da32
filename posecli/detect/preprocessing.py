"""What a network of somebody else wants to be shown and what its answer means, and where that is written.

Later ones count more:
1. the network itself, where its shapes tell (`posecli.detect.onnx`), and what its kind is usually trained with;
2. mmdeploy's pipeline.json in the model's folder, if no other model lies there;
3. the entry "posecli" in the model's metadata, TOML as below;
4. a TOML file given, or named as the model and beside it, rtmpose.toml for rtmpose.onnx:

    input_size = [192, 256]         # width, height
    mean = [123.675, 116.28, 103.53]
    std = [58.395, 57.12, 57.375]   # both of values from 0 to 255, in the order of channels
    channels = "rgb"                # or "bgr"
    padding = 1.25                  # the crop over the person's box
    codec = "simcc"                 # or "msra", "udp": what heatmaps were trained with
    values = "probability"          # or "logit" (of each cell alone), "softmax" (logits of a whole vector or heatmap)
    simcc_split_ratio = 2.0         # cells of a vector over pixels of the input
    skeleton = "coco17"
    joints = [0, 1, 2]              # which of the network's joints make the skeleton, in its order; all if not given
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from posecli.detect.mmdeploy import read_pipeline
from posecli.errors import InputError, UsageError
from posecli.skeleton import H36M_RULES, SKELETONS, Skeleton

Channels = Literal["rgb", "bgr"]
Codec = Literal["simcc", "msra", "udp"]
Values = Literal["probability", "logit", "softmax"]

IMAGENET = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375), "channels": "rgb"}
"""What mmpose's networks and most others are trained with."""

METADATA_KEY = "posecli"
_MOST_TEXT = 1 << 20
_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Pixels:
    """How a picture becomes a network's input.

    input_size: (width, height). mean, std: of values from 0 to 255, in the order of `channels`.
    Raises ValueError, as do the classes made from it, for values that cannot be.
    """

    input_size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: Channels = "bgr"

    def __post_init__(self) -> None:
        _check(self, "input_size", _numbers(self.input_size, 2, int), "two whole numbers, width and height")
        if not all(8 <= side <= _LARGEST_SIDE for side in self.input_size):
            raise ValueError(f"input_size must lie between 8 and {_LARGEST_SIDE}. Got {self.input_size}")
        _check(self, "mean", _numbers(self.mean, 3), "three numbers")
        _check(self, "std", _numbers(self.std, 3) and all(s > 0 for s in self.std), "three positive numbers")
        _choice(self, "channels", get_args(Channels))

    def tensor(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A picture (height, width, 3) BGR of `input_size` → (1, 3, height, width)."""
        if self.channels == "rgb":
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        scaled = (picture - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


@dataclass(frozen=True)
class PosePreprocessing(Pixels):
    """Of a top-down pose network; see the module's text. joints: empty means all."""

    padding: float = 1.25
    codec: Codec = "simcc"
    values: Values = "probability"
    simcc_split_ratio: float = 2.0
    skeleton: str = "coco17"
    joints: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "padding", _number(self.padding) and 0.5 <= self.padding <= 4, "between 0.5 and 4")
        ratio = self.simcc_split_ratio
        _check(self, "simcc_split_ratio", _number(ratio) and 0.1 <= ratio <= 16, "between 0.1 and 16")
        _choice(self, "codec", get_args(Codec))
        _choice(self, "values", get_args(Values))
        _choice(self, "skeleton", tuple(H36M_RULES))
        whole = _numbers(self.joints, len(self.joints), int) and all(j >= 0 for j in self.joints)
        wanted = self.joint_set.num_joints
        enough = not self.joints or len(self.joints) == len(set(self.joints)) == wanted
        _check(self, "joints", whole and enough, f"{wanted} different whole numbers for {self.skeleton}")

    @property
    def joint_set(self) -> Skeleton:
        return SKELETONS[self.skeleton]


@dataclass(frozen=True)
class BoxPreprocessing(Pixels):
    """Of a network that finds people: the picture lies at the top left of its input, as large as fits.

    fill: grey value of what is left of the input. person: number of the class. min_score: of a person. overlap: boxes
    that share more (intersection over union) are one person, where the network itself does not sort them.
    """

    fill: int = 114
    person: int = 0
    min_score: float = 0.3
    overlap: float = 0.45

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, "fill", _whole(self.fill) and 0 <= self.fill <= 255, "a whole number from 0 to 255")
        _check(self, "person", _whole(self.person) and self.person >= 0, "a whole number")
        for name in ("min_score", "overlap"):
            value = getattr(self, name)
            _check(self, name, _number(value) and 0 < value < 1, "between 0 and 1")


Kind = TypeVar("Kind", bound=Pixels)


@dataclass(frozen=True)
class Described:
    """What is written about a model: entries of its preprocessing, and the places they were read from, in words."""

    entries: dict[str, Any]
    places: tuple[str, ...]

    def input_size(self, model: Path, fixed: tuple[int, int] | None) -> tuple[int, int]:
        """(width, height) that the network takes; `fixed` by its file, or None. Raises UsageError."""
        wanted = self.entries.get("input_size", fixed)
        if wanted is None:
            raise UsageError(
                f"{model} takes pictures of any size: write input_size = [width, height], as it was trained with, into "
                f"{model.with_suffix('.toml').name} beside it"
            )
        size = Described({"input_size": wanted}, self.places).build(Pixels, {}).input_size
        if fixed is not None and size != fixed:
            raise UsageError(
                f"{' and '.join(self.places)}: input_size is {list(size)}, but {model} takes {list(fixed)}"
            )
        return size

    def build(self, kind: type[Kind], usual: Mapping[str, Any]) -> Kind:
        """`kind` from the entries, and from `usual` where there are none. Raises UsageError for what cannot be."""
        known = {field.name for field in fields(kind)}
        written = " and ".join(self.places) or "the model"
        if unknown := sorted(set(self.entries) - known):
            raise UsageError(f"{written}: unknown entry {unknown[0]!r}; one of: {', '.join(sorted(known))}")
        try:
            return kind(**{**usual, **self.entries})
        except ValueError as error:
            raise UsageError(f"{written}: {error}") from error


def describe(model: Path, metadata: Mapping[str, str], given: Path | None = None) -> Described:
    """What is written about a model, by whoever. given: a TOML file, in place of the one beside it.

    Raises InputError or UsageError where a place is unreadable.
    """
    entries: dict[str, Any] = {}
    places = []
    pipeline = model.with_name("pipeline.json")
    if pipeline.is_file() and len(list(model.parent.glob("*.onnx"))) == 1:
        entries |= read_pipeline(_text(pipeline), pipeline)
        places.append(pipeline.name)
    if METADATA_KEY in metadata:
        entries |= _toml(metadata[METADATA_KEY], f"the metadata of {model}")
        places.append("the model's metadata")
    beside = given or model.with_suffix(".toml")
    if given is not None or beside.is_file():
        entries |= _toml(_text(beside), str(beside))
        places.append(beside.name)
    return Described(entries, tuple(places))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_TEXT:
            raise InputError(f"{path} is too large for a few settings")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text") from error


def _toml(text: str, place: str) -> dict[str, Any]:
    try:
        entries = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not TOML: {error}") from error
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entries.items()}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e9


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _numbers(value: Any, count: int, kind: type = float) -> bool:
    test = _whole if kind is int else _number
    return isinstance(value, tuple) and len(value) == count and all(test(entry) for entry in value)


def _check(settings: Pixels, name: str, holds: bool, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {wanted}. Got {json.dumps(getattr(settings, name), default=str)}")


def _choice(settings: Pixels, name: str, allowed: tuple[str, ...]) -> None:
    _check(settings, name, getattr(settings, name) in allowed, f"one of {', '.join(allowed)}")
