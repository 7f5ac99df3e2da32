"""pipeline.json, which mmdeploy writes beside end2end.onnx (its SDK's description of the model).

A list of tasks: transforms of the picture by name, the network, and what becomes of its output.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posecli.errors import InputError

_CODECS = {"SimCCLabel": "simcc", "MSRAHeatmap": "msra", "UDPHeatmap": "udp"}


def read_pipeline(text: str, path: Path) -> dict[str, Any]:
    """The entries for `posecli.detect.preprocessing` that it tells. Raises InputError for another kind of file."""
    try:
        tasks = json.loads(text)["pipeline"]["tasks"]
        found: dict[str, Any] = {}
        for task in tasks:
            if task.get("module") == "Transform":
                found |= _transforms(task["transforms"])
            elif task.get("name") == "postprocess":
                found |= _answer(task.get("params") or {})
        return dict(_tuples(found))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path} is not what mmdeploy writes; move it away, or mend it") from error


def _transforms(transforms: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"mean": [0, 0, 0], "std": [1, 1, 1], "channels": "bgr"}
    for transform in transforms:
        match transform["type"]:
            case "Normalize":
                found |= {"mean": transform["mean"], "std": transform["std"]}
                found["channels"] = "rgb" if transform["to_rgb"] else "bgr"
            case "TopDownGetBboxCenterScale":
                found["padding"] = transform.get("padding", 1.25)
            case "TopDownAffine":
                found["input_size"] = transform["image_size"]
            case "Pad" if "pad_val" in transform:
                value = transform["pad_val"]
                found["fill"] = int(_first(value["img"] if isinstance(value, dict) else value))
    return found


def _answer(params: dict[str, Any]) -> dict[str, Any]:
    codec = _CODECS.get(params.get("type", ""))
    if codec is None:  # a person detector's, or a codec that the answer's shape must tell
        return {}
    found: dict[str, Any] = {"codec": codec}
    if codec == "simcc":
        found["simcc_split_ratio"] = params.get("simcc_split_ratio", 2.0)
        # Labels that sum to one are what a softmax was trained on (SimCC); RTMPose's peak at one.
        found["values"] = "softmax" if params.get("normalize", True) else "probability"
    return found


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _tuples(entries: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in entries.items():
        yield key, tuple(value) if isinstance(value, list) else value
