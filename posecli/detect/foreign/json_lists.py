"""JSON of AlphaPose, COCO, MMPose and ViTPose: one file for a whole clip.

AlphaPose   `[{"image_id": "0.jpg", "keypoints": [x, y, score, …], "score": s, "box": […], "idx": 1}, …]`
COCO        results `[{"image_id": 7, "category_id": 1, "keypoints": [x, y, score, …], "score": s}, …]`; annotations
            `{"images": […], "annotations": [{"image_id", "keypoints": [x, y, visibility, …]}], "categories": […]}`
MMPose      Inferencer `[{"frame_id": 0, "instances": [{"keypoints": [[x, y], …], "keypoint_scores": […]}]}, …]`;
            demo scripts `{"meta_info": {…}, "instance_info": [{"frame_id": 1, "instances": […]}]}`, counted from 1
ViTPose     easy_ViTPose `{"keypoints": [{"0": [[y, x, score], …]}, …], "skeleton": {"0": "nose", …}}`; Transformers'
            `post_process_pose_estimation` dumped, `[[{"keypoints": [[x, y], …], "scores": […]}], …]`
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posecli.detect.foreign.clip import (
    ForeignClip,
    Sighting,
    add,
    numbers,
    only_known,
    read_bytes,
    sighting,
    triples,
)
from posecli.detect.foreign.names import match
from posecli.errors import InputError
from posecli.skeleton import BLAZEPOSE33, COCO17, HALPE26, OPENPOSE25

_COCO = {17: COCO17, 26: HALPE26, 133: COCO17, 136: HALPE26, 25: OPENPOSE25, 33: BLAZEPOSE33}
"""Joints in a file → its body; whole bodies (133 of COCO, 136 of Halpe) begin with it."""


def read_json(path: Path) -> Any:
    """Raises InputError where it is not JSON."""
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable JSON ({error})") from None


def read_alphapose(path: Path, name: str = "alphapose") -> ForeignClip:
    """Frames are numbered where images are called by number, else by the order of their names."""
    entries = _entries(read_json(path), "image_id", path)
    frames = _frame_numbers([str(e["image_id"]) for e in entries])
    clip = ForeignClip(name, _COCO[17], counts_from=None)
    for count, (entry, frame) in enumerate(zip(entries, frames, strict=True)):
        where = f"{path}: image {entry['image_id']}"
        if count == 0:
            clip.skeleton = only_known(_triples(entry, where), _COCO, where)
        person = entry.get("idx")
        seen = triples(
            entry.get("keypoints"), clip.skeleton.num_joints, where,
            person if isinstance(person, int | float) and not isinstance(person, bool) else None,
        )  # fmt: skip
        add(clip, frame, [seen], path)
    return clip


def read_coco(path: Path, name: str = "coco") -> ForeignClip:
    """Results or annotations; the latter name their joints and tell the size of the pictures."""
    content = read_json(path)
    if not isinstance(content, dict):
        return read_alphapose(path, name)
    images, notes, kinds = (content.get(key) for key in ("images", "annotations", "categories"))
    pictures = _entries(images, "id", path)
    order = _frame_numbers([str(p.get("file_name", p["id"])) for p in pictures])
    frame_of = {str(p["id"]): frame for p, frame in zip(pictures, order, strict=True)}
    named = [
        k for k in (kinds if isinstance(kinds, list) else []) if isinstance(k, dict) and k.get("keypoints")
    ]
    clip = ForeignClip(name, COCO17, counts_from=None, size=_size(pictures[0] if pictures else {}))
    places: list[int | None] | None = None
    if named and isinstance(joint_names := named[0]["keypoints"], list):
        clip.skeleton, places = match([str(n) for n in joint_names], str(path))
    for frame in frame_of.values():
        clip.frames.setdefault(frame, [])
    for entry in _entries(notes, "image_id", path):
        if entry.get("iscrowd") or not entry.get("keypoints"):
            continue
        where = f"{path}: image {entry['image_id']}"
        if str(entry["image_id"]) not in frame_of:
            raise InputError(f"{where} is not in its list of images")
        joints = _triples(entry, where)
        if places is None:
            clip.skeleton = only_known(joints, _COCO, where)
            places = list(range(clip.skeleton.num_joints))
        table = numbers(entry["keypoints"], where).reshape(-1, 3)
        table[:, 2] /= 2  # visibility: 0 not labelled, 1 hidden, 2 seen
        add(
            clip,
            frame_of[str(entry["image_id"])],
            [_picked(table, places, where, entry.get("track_id"))],
            path,
        )
    return clip


def read_mmpose(path: Path) -> ForeignClip:
    """The Inferencer's predictions, or those of MMPose's demo scripts; of a video or of one picture."""
    content = read_json(path)
    names: list[str] | None = None
    counts_from = 0
    if isinstance(content, dict):
        meta, content, counts_from = content.get("meta_info"), content.get("instance_info"), 1
        by_number = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
        if isinstance(by_number, dict):
            names = [str(by_number[key]) for key in sorted(by_number, key=_number)]
    frames = _entries(content, None, path)
    if frames and "instances" not in frames[0]:  # one picture: its people stand there themselves
        frames = [{"frame_id": counts_from, "instances": frames}]
    clip = ForeignClip("mmpose", COCO17, counts_from=counts_from)
    places: list[int | None] | None = None
    for place, frame in enumerate(frames):
        number = frame.get("frame_id", place + counts_from)
        if not isinstance(number, int):
            raise InputError(f"{path}: frame_id must be a whole number, not {str(number)[:40]}")
        people = []
        for entry in _entries(frame.get("instances"), "keypoints", path):
            where = f"{path}: frame {number}"
            xy = numbers(entry["keypoints"], where)
            if xy.ndim != 2 or xy.shape[1] != 2:
                raise InputError(f"{where}: keypoints must be a row of x and y for each joint")
            if places is None and names is not None and len(names) == len(xy):
                clip.skeleton, places = match(names, str(path))
            elif places is None:
                clip.skeleton = only_known(len(xy), _COCO, where)
                places = list(range(clip.skeleton.num_joints))
            scores = entry.get("keypoint_scores")
            sure = np.ones(len(xy)) if scores is None else numbers(scores, where).reshape(-1)
            if len(sure) != len(xy):
                raise InputError(f"{where}: {len(sure)} scores for {len(xy)} joints")
            people.append(_picked(np.column_stack([xy, sure]), places, where, entry.get("track_id")))
        add(clip, number, people, path)
    return clip


def read_vitpose(path: Path) -> ForeignClip:
    """easy_ViTPose's `--save-json`, or results of Hugging Face's ViTPose written as JSON."""
    content = read_json(path)
    if isinstance(content, list):
        return _transformers(content, path)
    frames = content.get("keypoints") if isinstance(content, dict) else None
    by_number = content.get("skeleton") if isinstance(content, dict) else None
    if not isinstance(by_number, dict) or not by_number:
        raise InputError(f'{path}: no "skeleton" with names of joints, which easy_ViTPose writes')
    skeleton, places = match([str(by_number[key]) for key in sorted(by_number, key=_number)], str(path))
    clip = ForeignClip("vitpose", skeleton)
    for frame, people in enumerate(_entries(frames, None, path)):
        where = f"{path}: frame {frame}"
        seen = []
        for person, rows in people.items():
            table = numbers(rows, where)
            if table.shape != (len(by_number), 3):
                raise InputError(f"{where}: {len(by_number)} rows of y, x and score were expected")
            seen.append(_picked(table[:, [1, 0, 2]], places, where, person))
        add(clip, frame, seen, path)
    return clip


def _transformers(content: list[Any], path: Path) -> ForeignClip:
    frames = [_entries(people, "keypoints", path) for people in content]
    first = next((p["keypoints"] for people in frames for p in people), None)
    joints = len(first) if isinstance(first, list) else 17
    clip = ForeignClip("vitpose", only_known(joints, _COCO, path))
    for frame, people in enumerate(frames):
        where = f"{path}: frame {frame}"
        seen = [sighting(p["keypoints"], p.get("scores"), clip.skeleton.num_joints, where) for p in people]
        add(clip, frame, seen, path)
    return clip


def _picked(table: np.ndarray[Any, Any], places: Sequence[int | None], where: str, person: Any) -> Sighting:
    """Rows of x, y, score in the file's order → a Sighting in the skeleton's."""
    rows = [table[p] if p is not None and p < len(table) else np.array([np.nan, np.nan, 0.0]) for p in places]
    chosen = np.stack(rows)
    return sighting(chosen[:, :2], chosen[:, 2], len(places), where, person)


def _triples(entry: dict[str, Any], where: str) -> int:
    flat = numbers(entry.get("keypoints"), where)
    if flat.size == 0 or flat.size % 3:
        raise InputError(f"{where}: keypoints must be x, y and score of every joint")
    return flat.size // 3


def _entries(value: Any, key: str | None, path: Path) -> list[dict[str, Any]]:
    """`value` as a list of JSON objects that all have `key`; InputError otherwise."""
    if not isinstance(value, list) or not all(
        isinstance(e, dict) and (key is None or key in e) for e in value
    ):
        asked = "" if key is None else f' with "{key}"'
        raise InputError(
            f"{path}: not a list of objects{asked} where there should be one; is --format right?"
        )
    return value


def _frame_numbers(names: list[str]) -> list[int]:
    """Images' names or numbers → frame numbers: the number a name ends in, where all names are alike but for it
    ("12.jpg", "shot_0012.png"), else the place in natural order."""
    parts = [re.fullmatch(r"(.*?)(\d{1,9})(\.[A-Za-z0-9]{1,5})?", name) for name in names]
    alike = {(part[1], part[3]) for part in parts if part is not None}
    if None not in parts and len(alike) <= 1:
        return [int(part[2]) for part in parts if part is not None]
    order = {name: place for place, name in enumerate(sorted(set(names), key=_natural))}
    return [order[name] for name in names]


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name[:400])
    return [(0, int(p[:18]), p) if i % 2 else (1, 0, p) for i, p in enumerate(parts)]


def _number(key: Any) -> int:
    return (
        int(key) if isinstance(key, int) or (isinstance(key, str) and key.isdecimal() and len(key) < 9) else 0
    )


def _size(picture: dict[str, Any]) -> tuple[int, int] | None:
    width, height = picture.get("width"), picture.get("height")
    good = all(isinstance(side, int) and 0 < side < 1 << 16 for side in (width, height))
    return (int(width), int(height)) if good and width is not None and height is not None else None
