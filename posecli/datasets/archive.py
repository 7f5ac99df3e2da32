"""NumPy archives whose arrays hold Python objects, read without running what is inside them.

Such an `.npz` is a zip file of pickles. They may make containers, numbers, strings and numpy arrays of numbers or
text; any other class is refused by name.
"""

from __future__ import annotations

import re
import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from posecli.errors import InputError
from posecli.weights.unpickle import Inert, read_inert

LARGEST = 6 << 30
"""Bytes, unpacked. The largest file of these data sets (mixtures beside every keypoint) has 4.3 GB."""

_DTYPE = re.compile(r"[fiubUO]\d{1,6}")
_ARRAYS = ("core.multiarray._reconstruct", "_core.multiarray._reconstruct")
_SCALARS = ("core.multiarray.scalar", "_core.multiarray.scalar")


def read_archive(path: Path, *names: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The arrays `names` of an `.npz`; an array that holds one object (a dict, as these data sets have it) is that
    object. optional: read where they are there.

    Raises InputError when the file is missing, damaged, lacks one of them, or holds anything but data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if sum(sizes.values()) > LARGEST:
                raise InputError(
                    f"{path} unpacks to more than {LARGEST >> 30} GB, which none of these files does"
                )
            if missing := [name for name in names if f"{name}.npy" not in sizes]:
                raise InputError(f"{path} holds no {missing[0]}; it is another file than its name says")
            found = {}
            for name in (*names, *(n for n in optional if f"{n}.npy" in sizes)):
                with archive.open(f"{name}.npy") as file:
                    found[name] = _read(file, sizes[f"{name}.npy"])
            return found
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        # whatever a damaged or hostile file can make Python raise, it is the file that is at fault
        raise InputError(f"{path} is no readable archive: {error}") from None


def _read(file: IO[bytes], size: int) -> Any:
    version = np.lib.format.read_magic(file)
    header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in header:
        raise ValueError("an unknown version of numpy's format")
    shape, fortran, dtype = header[version](file)
    if dtype.hasobject:
        return _Plain().of(read_inert(file))
    count = prod(shape) * dtype.itemsize
    if count > size:
        raise ValueError("it is cut short")
    return np.frombuffer(file.read(count), dtype).reshape(shape, order="F" if fortran else "C")


class _Plain:
    """Inert descriptions of arrays → arrays, inside containers; each object once, however often it is referred to."""

    def __init__(self) -> None:
        self.made: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        if not isinstance(value, dict | list | tuple | Inert):
            if callable(value):
                raise ValueError("it holds a class where data belong")
            return value
        if id(value) not in self.made:
            self.made[id(value)] = self._make(value)
        return self.made[id(value)]

    def _make(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self.of(item) for item in value)
        origin = value.origin.removeprefix("numpy.")
        if origin in _ARRAYS:
            _, shape, dtype, fortran, data = value.state
            return self._array(shape, _dtype(dtype), fortran, data)
        if origin in _SCALARS:
            dtype, data = value.arguments
            return self._array((), _dtype(dtype), False, data)[()]
        raise ValueError(f"it holds an object of {value.origin}, which posecli does not load")

    def _array(self, shape: Any, dtype: np.dtype[Any], fortran: Any, data: Any) -> Any:
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError("an array is described wrongly")
        if dtype.hasobject:
            if not isinstance(data, list) or len(data) != prod(shape):
                raise ValueError("an array of objects is described wrongly")
            return self.of(data[0]) if shape == () else self.of(data)
        raw = data.encode("latin1") if isinstance(data, str) else data
        if len(raw) != prod(shape) * dtype.itemsize:
            raise ValueError("an array is cut short")
        return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _dtype(value: Any) -> np.dtype[Any]:
    if not (isinstance(value, Inert) and value.origin == "numpy.dtype"):
        raise ValueError("an array without a type of numbers")
    kind = value.arguments[0]
    if not isinstance(kind, str) or not _DTYPE.fullmatch(kind):
        raise ValueError(f"arrays of {kind} are not read")
    big = value.state is not None and value.state[1] == ">"
    return np.dtype(kind).newbyteorder(">" if big else "<")
