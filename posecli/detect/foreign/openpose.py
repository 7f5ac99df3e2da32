"""OpenPose's `--write_json` folder: a file for every frame, `<name>_000000000012_keypoints.json`.

Each holds `{"people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, score, …], …}]}`: BODY_25 by default, 18
joints of the COCO model else. See OpenPose's doc/02_output.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from posecli.detect.foreign.clip import (
    MOST_BYTES,
    MOST_FRAMES,
    ForeignClip,
    Sighting,
    add,
    only_known,
    read_bytes,
    triples,
)
from posecli.errors import InputError
from posecli.skeleton import OPENPOSE18, OPENPOSE25

_SKELETONS = {25: OPENPOSE25, 18: OPENPOSE18}


def read_openpose(path: Path) -> ForeignClip:
    """The folder, or one of its files as a clip of one frame."""
    files = _numbered(path) if path.is_dir() else {0: path}
    clip: ForeignClip | None = None
    total = 0
    for number, file in files.items():
        total += file.stat().st_size
        if total > MOST_BYTES:
            raise InputError(f"{path} holds more than {MOST_BYTES >> 20} MiB of JSON; cut it into pieces")
        for person in (people := _people(file)):
            flat = person.get("pose_keypoints_2d")
            if clip is None and isinstance(flat, list) and flat:
                clip = ForeignClip("openpose", only_known(len(flat) // 3, _SKELETONS, file), {})
        if clip is None and not people:
            continue
        if clip is None:
            raise InputError(f"{file}: its people have no pose_keypoints_2d")
        add(clip, number, [_sighting(p, clip, file) for p in people if p.get("pose_keypoints_2d")], file)
    if clip is None:
        return ForeignClip("openpose", OPENPOSE25, {number: [] for number in files})
    for number in files:
        clip.frames.setdefault(number, [])
    return clip


def _numbered(folder: Path) -> dict[int, Path]:
    found: dict[int, Path] = {}
    try:
        names = sorted(p for p in folder.iterdir() if p.suffix == ".json" and not p.name.startswith("."))
    except OSError as error:
        raise InputError(f"cannot read {folder} ({error.strerror or error})") from None
    if len(names) > MOST_FRAMES:
        raise InputError(f"{folder}: more than {MOST_FRAMES} frames; cut it into pieces")
    for file in names:
        number = re.search(r"(\d{1,15})(_keypoints)?\.json$", file.name)
        if number is None:
            continue
        if int(number[1]) in found:
            raise InputError(
                f"{folder} holds two files of frame {int(number[1])}, {found[int(number[1])].name} and "
                f"{file.name}; a folder of one clip is needed"
            )
        found[int(number[1])] = file
    if not found:
        raise InputError(f"{folder}: no file is called like OpenPose's …_000000000000_keypoints.json")
    return dict(sorted(found.items()))


def _people(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not readable JSON ({error})") from None
    people = content.get("people") if isinstance(content, dict) else None
    if not isinstance(people, list) or not all(isinstance(p, dict) for p in people):
        raise InputError(f'{file}: no list of "people", which OpenPose writes for every frame')
    return people


def _sighting(person: dict[str, Any], clip: ForeignClip, file: Path) -> Sighting:
    followed = person.get("person_id")  # [-1] unless OpenPose was told to track
    identity = (
        followed[0] if isinstance(followed, list) and followed and followed[0] not in (-1, None) else None
    )
    return triples(person["pose_keypoints_2d"], clip.skeleton.num_joints, str(file), identity)
