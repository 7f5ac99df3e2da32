"""Tables: CSV with a column for every coordinate, DeepLabCut's CSV, and TRC with pixels as Sports2D writes it.

CSV         `frame,time,person,nose_x,nose_y,nose_score,…`: frame, time (s), person and scores may lack; names may be
            spelled as one likes ("LShoulder_x", "left shoulder x"), scores end in score, confidence, likelihood …
DeepLabCut  header rows `scorer`, (`individuals`,) `bodyparts`, `coords` with x, y, likelihood
TRC         five header rows, then `Frame# Time X1 Y1 Z1 …` between tabs; x to the right and y down, in pixels
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posecli.detect.foreign.clip import MOST_FRAMES, ForeignClip, add, read_bytes, sighting
from posecli.detect.foreign.names import match
from posecli.errors import InputError

_COORDINATE = re.compile(
    r"^(.+?)[ _.:\-]*(?<![a-z])(x|y|score|scores|conf|confidence|likelihood|visibility|prob|probability|c|s|p|v)$",
    re.IGNORECASE,
)
_MOST_COLUMNS = 4000


@dataclass
class _Columns:
    """Where in a row what stands: of one person, a column (or None) for x, y and score of every joint."""

    joints: dict[str, list[int | None]] = field(default_factory=dict)

    def put(self, joint: str, coordinate: str, column: int) -> None:
        place = {"x": 0, "y": 1}.get(coordinate.lower(), 2)
        self.joints.setdefault(joint, [None, None, None])[place] = column


def read_csv(path: Path) -> ForeignClip:
    """A table with one row per frame, or per frame and person."""
    rows = _rows(path)
    if rows[0] and rows[0][0].strip().lower() == "scorer":
        return _deeplabcut(rows, path)
    columns = _Columns()
    special: dict[str, int] = {}
    for place, heading in enumerate(rows[0]):
        name = heading.strip()
        kind = _SPECIAL.get(name.lower().replace(" ", "_"))
        if kind is not None:
            special.setdefault(kind, place)
        elif (parts := _COORDINATE.match(name)) is not None:
            columns.put(parts[1], parts[2], place)
    return _clip("csv", {None: columns}, special, rows[1:], 2, path)


_SPECIAL = {
    **dict.fromkeys(("frame", "frame_id", "frame_number", "frame#", "frames", "image_id", "index"), "frame"),
    **dict.fromkeys(("time", "time_s", "timestamp", "timestamp_s", "timestamps_s", "seconds", "t"), "time"),
    **dict.fromkeys(("person", "person_id", "id", "track", "track_id", "idx", "individual"), "person"),
}


def _deeplabcut(rows: list[list[str]], path: Path) -> ForeignClip:
    known = {"scorer", "individuals", "bodyparts", "coords"}
    heads = {row[0].strip().lower(): row for row in rows[:4] if row and row[0].strip().lower() in known}
    if not {"bodyparts", "coords"} <= set(heads):
        raise InputError(f"{path}: DeepLabCut's header rows bodyparts and coords are missing")
    parts, kinds, owners = heads["bodyparts"], heads["coords"], heads.get("individuals")
    people: dict[str | None, _Columns] = {}
    for place in range(1, min(len(parts), len(kinds))):
        owner = owners[place] if owners is not None and place < len(owners) else None
        people.setdefault(owner, _Columns()).put(parts[place], kinds[place], place)
    return _clip("csv", people, {"frame": 0}, rows[len(heads) :], len(heads) + 1, path)


def read_trc(path: Path) -> ForeignClip:
    """Sports2D's `…_px_person00.trc`: markers whose x and y are pixels."""
    rows = _rows(path, delimiter="\t")
    start = next((k for k, row in enumerate(rows[:8]) if row and row[0].strip().lower() == "frame#"), None)
    if start is None:
        raise InputError(f"{path}: no row that begins with Frame#; is it a TRC file?")
    columns = _Columns()
    for place, name in enumerate(rows[start][2:], start=2):
        if name.strip():
            columns.put(name.strip(), "x", place)
            columns.put(name.strip(), "y", place + 1)
    body = [row for row in rows[start + 1 :] if row and _number(row[0]) == _number(row[0])]
    clip = _clip("trc", {None: columns}, {"frame": 0, "time": 1}, body, start + 3, path)
    points = [s.xy for people in clip.frames.values() for s in people if np.isfinite(s.xy).any()]
    tall = [float(np.nanmax(xy[:, 1]) - np.nanmin(xy[:, 1])) for xy in points]
    if tall and float(np.median(tall)) < 10:
        raise InputError(
            f"{path}: its markers lie within {float(np.median(tall)):.2g} units: metres, not pixels; give the "
            "file with pixels (Sports2D's …_px_….trc)"
        )
    return clip


def _clip(
    format: str, people: dict[str | None, _Columns], special: dict[str, int], rows: Sequence[list[str]],
    first_line: int, path: Path,
) -> ForeignClip:  # fmt: skip
    """Rows with their meaning → people in frames."""
    names = list(dict.fromkeys(name for columns in people.values() for name in columns.joints))
    whole = [n for n in names if all(None not in c.joints.get(n, [None])[:2] for c in people.values())]
    if not whole:
        raise InputError(f"{path}: no columns like nose_x and nose_y; the first row must name them")
    skeleton, places = match(whole, str(path))
    clip = ForeignClip(format, skeleton, counts_from=None if "frame" in special else 0)
    times: dict[int, float] = {}
    for line, row in enumerate(rows):
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}: line {first_line + line}"
        frame = line
        if "frame" in special:
            value = _number(_cell(row, special["frame"]))
            if not (abs(value) < 1e9 and value == int(value)):  # neither holds for NaN
                raise InputError(
                    f"{where}: frame {_cell(row, special['frame'])[:40]!r} is not a whole number"
                )
            frame = int(value)
        seen = []
        for owner, columns in people.items():
            which = [columns.joints[whole[p]] if p is not None else [None, None, None] for p in places]
            table = np.array([[_number(_cell(row, c)) for c in joint] for joint in which], dtype=np.float64)
            scored = np.array([joint[2] is not None for joint in which])
            scores = np.where(scored, table[:, 2], 1.0)
            if "person" in special:
                owner = _cell(row, special["person"])
            seen.append(sighting(table[:, :2], scores, skeleton.num_joints, where, owner))
        add(clip, frame, seen, path)
        if "time" in special and np.isfinite(time := _number(_cell(row, special["time"]))):
            times[frame] = time
    if times and len(times) == len(clip.frames):
        clip.times_s = times
    return clip


def _cell(row: list[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _number(text: str) -> float:
    """NaN for an empty cell or anything that is no number."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _rows(path: Path, delimiter: str | None = None) -> list[list[str]]:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a table in UTF-8 text") from None
    head = text[:65536].splitlines()[0] if text.strip() else ""
    mark = delimiter or max(",;\t", key=head.count)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=mark):
            if len(row) > _MOST_COLUMNS or len(rows) > 4 * MOST_FRAMES:
                raise InputError(
                    f"{path}: a table of more than {_MOST_COLUMNS} columns or {4 * MOST_FRAMES} rows"
                )
            rows.append(row)
    except csv.Error as error:
        raise InputError(f"{path} is not a readable table ({error})") from None
    if not rows:
        raise InputError(f"{path} is empty")
    return rows
