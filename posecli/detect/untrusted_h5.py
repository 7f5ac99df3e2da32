"""HDF5 files from outside: nothing is allocated before its size is known, no link is followed out of the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from posecli.errors import InputError

MAX_BYTES = 1 << 32  # no array that we read whole is larger
MAX_RATIO = 2000  # gzip reaches about 1000
MAX_TEXT = 1 << 20
_FILTERS = {"1": "gzip", "2": "shuffle"}  # HDF5's numbers for the filters that we write


class Malformed(Exception):
    """The file is HDF5 but not what it should be; the message says which part."""


@contextmanager
def opened(path: Path, what: str) -> Iterator[h5py.File]:
    """The file open for reading; whatever is wrong with it becomes an InputError that names `what` it is not."""
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except Malformed as error:
        raise InputError(f"{path} is not {what}: {error}") from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} is not {what}, or it is damaged") from error


def dataset(
    group: h5py.Group, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> h5py.Dataset:
    """The dataset of this name, type and shape (None: any length) with its data in this very file, and no
    larger than what its stored bytes can hold."""
    item = child(group, name, h5py.Dataset)
    if item.dtype != np.dtype(dtype):
        raise Malformed(f"{name} holds {item.dtype}, not {np.dtype(dtype)}")
    fits = len(item.shape) == len(shape) and all(
        b in (None, a) for a, b in zip(item.shape, shape, strict=True)
    )
    if not fits:
        raise Malformed(f"{name} has shape {item.shape}")
    if item.is_virtual or item.external:
        raise Malformed(f"{name} lies in another file")
    filters = item.id.get_create_plist()
    if any(str(filters.get_filter(k)[0]) not in _FILTERS for k in range(filters.get_nfilters())):
        raise Malformed(f"{name} uses a compression that posecli does not write")
    chunk = int(np.prod(item.chunks or (0,), dtype=object)) * item.dtype.itemsize
    room = item.id.get_storage_size() * MAX_RATIO
    if chunk > MAX_BYTES >> 3 or item.nbytes > max(room, chunk):
        raise Malformed(f"{name} claims to be larger than the file can hold")
    return item


def read(group: h5py.Group, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]) -> Any:
    """The whole of a small dataset as an array."""
    item = dataset(group, name, dtype, shape)
    if item.nbytes > MAX_BYTES:
        raise Malformed(f"{name} is too large")
    return item[()]


def child(group: h5py.Group, name: str, kind: type) -> Any:
    """The member of this name and kind, if it lies in this file."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Malformed(f"{name} is missing")
    item = group[name]
    if not isinstance(item, kind):
        raise Malformed(f"{name} is not a {kind.__name__.lower()}")
    return item


def text(group: h5py.Group, name: str) -> str:
    """A text attribute of bounded length."""
    if name not in group.attrs:
        raise Malformed(f"it has no {name}")
    if group.attrs.get_id(name).shape != ():
        raise Malformed(f"{name} is not a text")
    value = group.attrs[name]
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise Malformed(f"{name} is not a text")
    return value


def json_value(group: h5py.Group, name: str, kind: type) -> Any:
    """A JSON text attribute that decodes to this type."""
    try:
        value = json.loads(text(group, name))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{name} is not JSON") from error
    if not isinstance(value, kind):
        raise Malformed(f"{name} is not a {kind.__name__}")
    return value
