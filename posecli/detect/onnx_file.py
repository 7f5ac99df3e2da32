"""What an ONNX file says of itself, read before anything runs it: its metadata, and the files its weights lie in.

Weights may lie in other files, named relative to the model's folder. onnxruntime before 1.24 opens whatever they name,
`../../secret` too; and who runs the same model with other weights must be told. So the protobuf fields that lead there
are walked here, the rest is skipped unread. Field numbers: onnx/onnx.proto, Apache-2.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posecli.errors import InputError

MOST_BYTES = 1 << 31  # what protobuf itself can hold
_DEEPEST = 64

_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 14: "metadata", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
}
"""Message → its fields that lead to a pair of strings ("metadata", "external"), by number."""


@dataclass(frozen=True)
class OnnxFile:
    """metadata: what the file's maker wrote into it. external: the files of its weights, all in its folder.
    sha256: of the model, and where it has external files of theirs too."""

    path: Path
    metadata: dict[str, str]
    external: tuple[Path, ...]
    sha256: str


def read_onnx_file(path: Path) -> OnnxFile:
    """Raises InputError where the file is missing, not ONNX, or keeps weights outside its folder."""
    try:
        if not path.is_file():
            raise InputError(f"there is no ONNX model {path}")
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} has more than 2 GiB, which no ONNX model has")
        content = path.read_bytes()
        metadata, named = _pairs(path, content)
        external = tuple(_inside(path, name) for name in sorted(named))
        digest = hashlib.sha256(content)
        for file in external:
            with file.open("rb") as weights:
                digest.update(hashlib.file_digest(weights, "sha256").digest())
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from error
    return OnnxFile(path, metadata, external, digest.hexdigest())


def _inside(model: Path, name: str) -> Path:
    folder = model.resolve().parent
    try:
        file = (folder / name).resolve()
        inside, there = file.is_relative_to(folder), file.is_file()
    except ValueError:  # a NUL in the name
        inside, there = False, False
    if not inside:
        raise InputError(f"{model} wants its weights from outside its folder ({name!r}): do not trust it")
    if not there:
        raise InputError(f"{model} keeps its weights in {name}, which is not beside it: copy it there too")
    return file


def _pairs(path: Path, content: bytes) -> tuple[dict[str, str], set[str]]:
    metadata: dict[str, str] = {}
    external: set[str] = set()
    try:
        graphs = 0
        for kind, pair in _walk(memoryview(content), "model", 0):
            graphs += kind == "graph"
            strings = {field: bytes(value).decode() for field, value in _fields(pair)} if pair else {}
            if kind == "metadata":
                metadata[strings.get(1, "")] = strings.get(2, "")
            elif kind == "external" and strings.get(1) == "location":
                external.add(strings.get(2, ""))
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is not an ONNX model, or damaged") from error
    if not graphs:
        raise InputError(f"{path} is not an ONNX model: there is no network in it")
    return metadata, external


def _walk(message: memoryview, kind: str, depth: int) -> Iterator[tuple[str, memoryview]]:
    """("graph", nothing) for every graph, and every ("metadata" or "external", its pair of strings)."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    for field, value in _fields(message):
        below = _FIELDS[kind].get(field)
        if below in ("metadata", "external"):
            yield below, value
        elif below is not None:
            if below == "graph":
                yield below, memoryview(b"")
            yield from _walk(value, below, depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of the fields of a message that have a length; the others are passed over.

    Raises ValueError or IndexError where the bytes are no message.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        match tag & 7:
            case 0:
                _, place = _varint(message, place)
            case 1:
                place += 8
            case 2:
                length, place = _varint(message, place)
                if place + length > len(message):
                    raise ValueError("cut off")
                yield tag >> 3, message[place : place + length]
                place += length
            case 5:
                place += 4
            case _:
                raise ValueError("no such kind of field")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number in base 128, lowest digits first, and the place behind it."""
    number = 0
    for shift in range(0, 70, 7):
        digit = message[place]
        place += 1
        number |= (digit & 127) << shift
        if digit < 128:
            return number, place
    raise ValueError("too long a number")
