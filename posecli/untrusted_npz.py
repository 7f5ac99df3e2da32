"""NumPy archives (`.npz`) of strangers, whose arrays may hold Python objects: read without running what is inside.

Such an archive is a zip file of pickles. They may make containers, numbers, text and numpy arrays of these; any other
class is refused by name. A pickle may also refer to one thing from many places, and to those again, so that a small
file describes more than fits the world: things are counted as often as they are referred to, and bytes as often as
they are copied.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from posecli.errors import InputError
from posecli.npy_header import read_header
from posecli.weights.unpickle import Inert, read_inert

LARGEST = 6 << 30
"""Bytes, unpacked. The largest file of the data sets (mixtures beside every keypoint) has 4.3 GB."""

MOST_THINGS = 2_000_000
"""Objects of one array, counted as often as they are referred to. The data sets' largest has some ten thousand."""

_DTYPE = re.compile(r"[fiubUO]\d{1,6}")
_ARRAYS = ("core.multiarray._reconstruct", "_core.multiarray._reconstruct")
_SCALARS = ("core.multiarray.scalar", "_core.multiarray.scalar")
_DEEPEST = 100


def npz_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays in an archive. Raises InputError where it is none."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        return tuple(n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy"))


def read_npz(
    path: Path, *names: str, optional: tuple[str, ...] = (), most_bytes: int | None = None
) -> dict[str, Any]:
    """The arrays `names` of an archive; an array that holds one object (a dict, as these data sets have it) is that
    object, an array of several a list. optional: read where they are there. most_bytes: unpacked; None: `LARGEST`.

    Raises InputError where the file is missing, damaged, too large, lacks one of them, or holds anything but data.
    """
    most = LARGEST if most_bytes is None else most_bytes
    with _reading(path), zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if missing := [name for name in names if f"{name}.npy" not in sizes]:
            raise InputError(f"{path} holds no {missing[0]}; it is another file than its name says")
        wanted = (*names, *(n for n in optional if f"{n}.npy" in sizes))
        if sum(sizes[f"{name}.npy"] for name in wanted) > most:
            size = f"{most >> 30} GB" if most >= 1 << 30 else f"{most >> 20} MiB"
            raise InputError(f"{path} unpacks to more than {size}, which none of these files does")
        found = {}
        for name in wanted:
            with archive.open(f"{name}.npy") as file:
                found[name] = _read(file, sizes[f"{name}.npy"])
        return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        # whatever a damaged or hostile file can make Python raise, it is the file that is at fault
        raise InputError(f"{path} is no readable archive: {str(error) or type(error).__name__}") from None


def _read(file: IO[bytes], size: int) -> Any:
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        return _Revival(size).of(read_inert(file, most_bytes=size))
    if prod(shape) * dtype.itemsize > size:
        raise ValueError("it is cut short")
    return _array(shape, dtype, fortran, file.read(prod(shape) * dtype.itemsize))


class _Revival:
    """What numpy pickled, made anew from its inert description, inside containers as they are.

    Every object is made once, however often it is referred to; `most_bytes` bounds what is copied.
    """

    def __init__(self, most_bytes: int) -> None:
        self.bytes_left = most_bytes
        self.made: dict[int, tuple[Any, int]] = {}  # id → object, and how many things it is
        self.depth = 0

    def of(self, value: Any) -> Any:
        return self._counted(value)[0]

    def _counted(self, value: Any) -> tuple[Any, int]:
        if not isinstance(value, dict | list | tuple | Inert):
            if callable(value) or isinstance(value, set):
                raise ValueError("it holds a class or set where data belong")
            return value, 1
        if id(value) not in self.made:
            self.depth += 1
            if self.depth > _DEEPEST:
                raise ValueError("its contents lie too deep in each other")
            found, things = self._make(value)
            self.depth -= 1
            if things > MOST_THINGS:
                raise ValueError(f"it holds more than {MOST_THINGS} things")
            self.made[id(value)] = found, things
        return self.made[id(value)]

    def _make(self, value: Any) -> tuple[Any, int]:
        if isinstance(value, dict):
            keys, values = self._all(list(value)), self._all(list(value.values()))
            if any(isinstance(key, np.ndarray | list | dict) for key in keys[0]):
                raise ValueError("an array where a name belongs")
            return dict(zip(keys[0], values[0], strict=True)), keys[1] + values[1]
        if isinstance(value, list | tuple):
            items, things = self._all(value)
            return (items if isinstance(value, list) else tuple(items)), things
        origin = value.origin.removeprefix("numpy.")
        if origin in _ARRAYS and isinstance(value.state, tuple) and len(value.state) == 5:
            _, shape, described, fortran, data = value.state
            if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
                raise ValueError("an array is described wrongly")
            dtype = _dtype(described)
            if not dtype.hasobject:
                return _array(shape, dtype, bool(fortran), self._bytes(data)), 1
            if not isinstance(data, list) or len(data) != prod(shape):
                raise ValueError("an array of objects is described wrongly")
            items, things = self._all(data)
            return (items[0] if shape == () else _nested(items, shape)), things
        if origin in _SCALARS and len(value.arguments) == 2:
            return _array((), _dtype(value.arguments[0]), False, self._bytes(value.arguments[1]))[()], 1
        raise ValueError(f"it holds an object of {value.origin[:60]}, which posecli does not load")

    def _all(self, items: list[Any] | tuple[Any, ...]) -> tuple[list[Any], int]:
        counted = [self._counted(item) for item in items]
        return [item for item, _ in counted], 1 + sum(things for _, things in counted)

    def _bytes(self, data: Any) -> bytes:
        """Older pickles hold an array's bytes as text."""
        if isinstance(data, str):
            self.bytes_left -= len(data)
            if self.bytes_left < 0:
                raise ValueError("its arrays are larger than itself")
            return data.encode("latin1")
        if not isinstance(data, bytes):
            raise ValueError("an array is not of numbers or text")
        return data


def _array(shape: tuple[int, ...], dtype: np.dtype[Any], fortran: bool, raw: bytes) -> Any:
    if len(raw) != prod(shape) * dtype.itemsize:
        raise ValueError("an array is cut short")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _nested(items: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """An array of objects, of any number of dimensions, as lists in lists."""
    if len(shape) == 1:
        return items
    size = prod(shape[1:])
    return [_nested(items[k * size : (k + 1) * size], shape[1:]) for k in range(shape[0])]


def _dtype(value: Any) -> np.dtype[Any]:
    if not (isinstance(value, Inert) and value.origin == "numpy.dtype" and value.arguments):
        raise ValueError("an array without a type of numbers")
    kind = value.arguments[0]
    if not isinstance(kind, str) or not _DTYPE.fullmatch(kind):
        raise ValueError(f"arrays of {str(kind)[:40]} are not read")
    big = isinstance(value.state, tuple) and len(value.state) > 1 and value.state[1] == ">"
    return np.dtype(kind).newbyteorder(">" if big else "<")
