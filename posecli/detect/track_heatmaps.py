"""Heatmaps of everybody in a clip on their way: kept in a scratch file until it is known who is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from posecli.detect.full_disk import FullDiskProof
from posecli.detect.heatmaps import HeatmapRecord, HeatmapWriter
from posecli.files import scratch_beside

_BLOCK = 16  # rows copied at a time: a chunk of the file


class TrackHeatmaps:
    """A `posecli.detect.people.crowd.TrackSink`: a group for every track in a scratch file beside `target`, which is
    gone at the end. Holds at most 16 frames of each open track in memory.

    OutputError when the file cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._open: dict[int, HeatmapWriter] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            part = stack.enter_context(scratch_beside(self._target))
            self._disk = FullDiskProof(part)
            stack.callback(self._disk.close)
            self._file = stack.enter_context(h5py.File(self._disk, "w"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def append(self, track: int, record: HeatmapRecord) -> None:
        if track not in self._open:
            self._open[track] = HeatmapWriter(self._file.create_group(_name(track)))
        self._open[track].append(record)
        self._disk.check()

    def close_others(self, open: Iterable[int]) -> None:
        """Only tracks of these numbers will have more."""
        for track in set(self._open) - set(open):
            self._open.pop(track).flush()

    def copy(self, tracks: Sequence[int], file: h5py.File, orders: Mapping[int, NDArray[np.int64]]) -> None:
        """Put the records of these tracks, in the order of frames, into a new group "heatmaps" of `file`, the joints
        of some frames in another order (J,)."""
        self.close_others(())
        self._disk.check()
        groups = [self._file[_name(track)] for track in tracks]
        if len(groups) == 1:
            self._file.copy(groups[0], file, name="heatmaps")  # compressed as it is
        else:
            _merge(groups, file.create_group("heatmaps"))
        _reorder(file["heatmaps"], orders)


def _merge(groups: Sequence[h5py.Group], target: h5py.Group) -> None:
    """Datasets of several groups, each with one axis along frames, as one group in the order of frames."""
    for key, value in groups[0].attrs.items():
        target.attrs[key] = value
    for name, item in groups[0].items():
        axis = item.maxshape.index(None)
        shape = [*item.shape[:axis], 0, *item.shape[axis + 1 :]]
        packed = {key: getattr(item, key) for key in ("chunks", "compression", "compression_opts", "shuffle")}
        target.create_dataset(name, shape=shape, maxshape=item.maxshape, dtype=item.dtype, **packed)
    frames = [group["frame"][:] for group in groups]
    owners = np.concatenate([np.full(len(f), k) for k, f in enumerate(frames)])
    rows = np.concatenate([np.arange(len(f)) for f in frames])
    order = np.argsort(np.concatenate(frames), kind="stable")
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        for name, item in target.items():
            axis = item.maxshape.index(None)
            parts = [
                _cut(groups[k][name], axis, first, stop)
                for k, first, stop in _runs(owners[block], rows[block])
            ]
            item.resize(start + len(block), axis=axis)
            place: list[Any] = [slice(None)] * item.ndim
            place[axis] = slice(start, None)
            item[tuple(place)] = np.concatenate(parts, axis=axis)


def _reorder(group: h5py.Group, orders: Mapping[int, NDArray[np.int64]]) -> None:
    frames = group["frame"][:]
    for frame, order in orders.items():
        row = int(np.searchsorted(frames, frame))
        for name in {"grid", "moments", "x", "y"} & set(group):
            item = group[name]
            place: list[Any] = [slice(None)] * item.ndim
            place[item.maxshape.index(None)] = row
            item[tuple(place)] = item[tuple(place)][order]


def _runs(owners: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """(group, first row, stop) of each stretch that lies in one piece."""
    breaks = np.flatnonzero((np.diff(owners) != 0) | (np.diff(rows) != 1)) + 1
    for part in np.split(np.arange(len(rows)), breaks):
        yield int(owners[part[0]]), int(rows[part[0]]), int(rows[part[-1]]) + 1


def _cut(item: h5py.Dataset, axis: int, first: int, stop: int) -> NDArray[Any]:
    place: list[Any] = [slice(None)] * item.ndim
    place[axis] = slice(first, stop)
    return np.asarray(item[tuple(place)])


def _name(track: int) -> str:
    return f"track{track}"
