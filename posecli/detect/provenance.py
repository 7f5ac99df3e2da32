"""Where detections come from: what a later run compares to know whether it may use them again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

from posecli.detect.people.choose import answers
from posecli.errors import InputError

_PIECE = 1 << 20
_PIECES = 16


class Identified(Protocol):
    """What a detector tells about itself.

    name and version: of the detector, weights_hash: SHA-256 of its networks' files.
    """

    name: str
    version: str
    weights_hash: str

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the weights, ready for JSON."""


def identity(detector: Identified) -> dict[str, Any]:
    """Detector, version, weights hash and settings, ready for JSON."""
    return {
        "detector": detector.name,
        "detector_version": detector.version,
        "weights_hash": detector.weights_hash,
        "settings": detector.settings(),
    }


def provenance(
    detector: Identified,
    source: Path,
    start_s: float | None = None,
    end_s: float | None = None,
    person: str | None = None,
) -> dict[str, Any]:
    """The detector's `identity`, source, the stretch of it (seconds) and which person is asked for,
    ready for JSON."""
    return {
        **identity(detector),
        "source": source_identity(source),
        "start_s": start_s,
        "end_s": end_s,
        "person": None if person is None else {"asked": person},
    }


def source_identity(path: Path) -> dict[str, Any]:
    """Name, size in bytes and `sampled_sha256` of a video, or of a folder or pattern of pictures taken together.

    Raises InputError if it cannot be read.
    """
    try:
        if path.is_file():
            return {"name": path.name, "bytes": path.stat().st_size, "sha256_sampled": sampled_sha256(path)}
        pictures = path.iterdir() if path.is_dir() else path.parent.glob(path.name)
        digest, total = hashlib.sha256(), 0
        for file in sorted(p for p in pictures if p.is_file()):
            digest.update(f"{file.name}\0{sampled_sha256(file, pieces=2, piece=1 << 14)}\0".encode())
            total += file.stat().st_size
        return {"name": path.name, "bytes": total, "sha256_sampled": digest.hexdigest()}
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error})") from error


def sampled_sha256(path: Path, *, pieces: int = _PIECES, piece: int = _PIECE) -> str:
    """SHA-256 (hex) of the size and of 16 pieces of 1 MiB, the first at the start, the last at the end, the
    rest evenly between: quick for any length. A file of up to 16 MiB is hashed whole."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size}\0".encode())
    with path.open("rb") as file:
        if size <= pieces * piece:
            digest.update(file.read())
        else:
            for k in range(pieces):
                file.seek(k * (size - piece) // (pieces - 1))
                digest.update(file.read(piece))
    return digest.hexdigest()


def difference(found: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """The first thing that two provenances do not agree on, in words; None if they agree in all.

    The name of the source does not count: a copy of the same bytes is the same video. Nor does it matter how a person
    was asked for, if it is the one: see `posecli.detect.people.choose`.
    """
    words = {
        "detector": "another detector made it",
        "detector_version": "another version of the detector made it",
        "weights_hash": "other weights made it",
        "settings": "other settings made it",
        "source": "it belongs to another video",
        "start_s": "it starts elsewhere",
        "end_s": "it ends elsewhere",
    }
    for key, sentence in words.items():
        if _comparable(found.get(key)) != _comparable(wanted.get(key)):
            return sentence
    asked = wanted.get("person")
    if isinstance(asked, dict) and not answers(found.get("person"), str(asked.get("asked"))):
        return "it is of another person"
    return None


def _comparable(value: Any) -> Any:
    return {k: v for k, v in value.items() if k != "name"} if isinstance(value, dict) else value
