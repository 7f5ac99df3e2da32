"""`<stem>.detections.h5`: one person's keypoints through a clip and the heatmaps they came from.

    /                 attributes: format, schema_version, skeleton, image_size, detector, detector_version,
                      weights_hash, settings, source, start_s, end_s, person, warnings (the last nine as JSON).
                      The warnings, which may lack, are the reader's: lost frames and the like. The person, which may
                      lack too, tells who of how many it is, see `posecli.detect.people.choose.record`.
    /keypoints        xy (T, J, 2), scores (T, J), found (T,), timestamps_s (T,), world (T, J, 3; may lack)
    /heatmaps         a row per frame with a person, see `posecli.detect.heatmaps`; may lack

Written while the detector runs, under a temporary name beside the target, and renamed at the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from posecli.detect import untrusted_h5 as h5
from posecli.detect.full_disk import FullDiskProof
from posecli.detect.heatmaps import HeatmapRecord, Heatmaps, HeatmapWriter
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.provenance import difference
from posecli.detect.track_heatmaps import TrackHeatmaps
from posecli.errors import InputError
from posecli.files import atomic_write
from posecli.skeleton import SKELETONS

FORMAT, SCHEMA_VERSION = "posecli.detections", 1
WHAT = "a detections file of posecli"
_PROVENANCE = (
    "detector",
    "detector_version",
    "weights_hash",
    "settings",
    "source",
    "start_s",
    "end_s",
    "person",
)


@dataclass(frozen=True)
class Detections:
    """What a detections file holds; heatmaps are read when asked for. `provenance` is in the keypoints."""

    keypoints: Keypoints2D
    heatmaps: Heatmaps | None


class DetectionsWriter:
    """Takes heatmaps while the detector runs, then the keypoints; the file appears only when all is in it.

        with DetectionsWriter(path, provenance(detector, video)) as out:
            keypoints = detector.detect(frames, size, heatmaps=out)
            out.finish(keypoints)

    Leaving with an exception, or without `finish` (a RuntimeError), leaves nothing behind. Replaces an
    existing file. OutputError when the file cannot be written.
    """

    def __init__(self, path: Path, provenance: dict[str, Any]) -> None:
        self._path = path
        self._provenance = provenance
        self._heatmaps: HeatmapWriter | None = None
        self._finished = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            part = stack.enter_context(atomic_write(self._path))
            self._disk = FullDiskProof(part)
            stack.callback(self._disk.check)
            stack.callback(self._disk.close)
            self._file = stack.enter_context(h5py.File(self._disk, "w"))
            self._stack = stack.pop_all()
        return self

    def append(self, record: HeatmapRecord) -> None:
        """Keep the heatmaps of a frame; they must come in the order of frames."""
        if self._heatmaps is None:
            self._heatmaps = HeatmapWriter(self._file.create_group("heatmaps"))
        self._heatmaps.append(record)
        self._disk.check()

    def take(
        self,
        heatmaps: TrackHeatmaps,
        tracks: Sequence[int],
        orders: Mapping[int, NDArray[np.int64]] | None = None,
    ) -> None:
        """Copy the heatmaps of these tracks, in the order of frames, in place of `append`.

        orders: frame → order (J,) into which its joints are to be put."""
        heatmaps.copy(tracks, self._file, orders or {})
        self._disk.check()

    def finish(self, keypoints: Keypoints2D, *, warnings: Sequence[str] = ()) -> None:
        """Write the keypoints and what there is to warn of: the file is complete."""
        if self._heatmaps is not None:
            self._heatmaps.flush()
        self._write(keypoints)
        self._file.attrs["warnings"] = json.dumps(list(warnings))
        self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self._finished:
            error = RuntimeError("DetectionsWriter: finish() was not called")
            self._stack.__exit__(RuntimeError, error, None)
            raise error
        self._stack.__exit__(kind, error, trace)

    def _write(self, keypoints: Keypoints2D) -> None:
        attributes = self._file.attrs
        attributes["format"], attributes["schema_version"] = FORMAT, SCHEMA_VERSION
        attributes["skeleton"] = keypoints.skeleton.name
        attributes["image_size"] = json.dumps(keypoints.image_size)
        for key in _PROVENANCE:
            attributes[key] = json.dumps(self._provenance.get(key), sort_keys=True)
        group = self._file.create_group("keypoints")
        arrays: dict[str, NDArray[Any]] = {
            "xy": keypoints.xy.astype(np.float32),
            "scores": keypoints.scores.astype(np.float32),
            "found": keypoints.found.astype(np.uint8),
            "timestamps_s": keypoints.timestamps_s.astype(np.float64),
        }
        if keypoints.world is not None:
            arrays["world"] = keypoints.world.astype(np.float32)
        for name, array in arrays.items():
            packed: dict[str, Any] = {"compression": "gzip", "shuffle": True} if array.size else {}
            group.create_dataset(name, data=array, **packed)


def load_detections(path: Path) -> Detections:
    """Read a detections file, which may come from anywhere: sizes are checked before memory is taken.

    Raises InputError if it is missing, damaged, of another kind or of a newer schema.
    """
    with h5.opened(path, WHAT) as file:
        if "format" not in file.attrs or h5.text(file, "format") != FORMAT:
            raise h5.Malformed("it was not written by posecli")
        version = file.attrs.get("schema_version")
        if not isinstance(version, np.integer) or version < 1:
            raise h5.Malformed("it has no schema version")
        if version > SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema {version}, this posecli reads up to {SCHEMA_VERSION}: update posecli"
            )
        keypoints = _read_keypoints(file)
        heatmaps = None
        if "heatmaps" in file:
            heatmaps = Heatmaps(path, h5.child(file, "heatmaps", h5py.Group), len(keypoints))
        return Detections(keypoints, heatmaps)


def reuse_obstacle(path: Path, wanted: dict[str, Any]) -> str | None:
    """Why the detections in `path` may not stand in for a new run with this provenance, in words; None if
    detector, version, weights, settings, source, stretch and person all agree."""
    try:
        found = load_detections(path).keypoints.provenance
    except InputError as error:
        return str(error)
    return difference(found, json.loads(json.dumps(wanted)))


def _read_keypoints(file: h5py.File) -> Keypoints2D:
    skeleton = SKELETONS.get(h5.text(file, "skeleton"))
    if skeleton is None:
        raise h5.Malformed("its skeleton is unknown")
    size = h5.json_value(file, "image_size", list)
    if len(size) != 2 or not all(isinstance(side, int) and 0 < side < 1 << 20 for side in size):
        raise h5.Malformed("its image size makes no sense")
    group, joints = h5.child(file, "keypoints", h5py.Group), skeleton.num_joints
    times = h5.read(group, "timestamps_s", np.float64, (None,))
    t = len(times)
    world = h5.read(group, "world", np.float32, (t, joints, 3)) if "world" in group else None
    return Keypoints2D(
        xy=h5.read(group, "xy", np.float32, (t, joints, 2)),
        scores=h5.read(group, "scores", np.float32, (t, joints)),
        found=h5.read(group, "found", np.uint8, (t,)).astype(bool),
        timestamps_s=times,
        skeleton=skeleton,
        image_size=(size[0], size[1]),
        world=world,
        provenance={
            key: h5.json_value(file, key, object)
            for key in _PROVENANCE
            if key in file.attrs or key != "person"
        }
        | {"warnings": _warnings(file)},
    )


def _warnings(file: h5py.File) -> list[str]:
    if "warnings" not in file.attrs:
        return []
    return [str(message) for message in h5.json_value(file, "warnings", list)]
