"""Arrays and JSON of other programs, as they lie on the disk: read without trust.

Nothing is unpickled, sizes are checked before anything is allocated, and every error is one line.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from posecli.errors import InputError
from posecli.npy_header import read_header

MAX_NUMBERS = 1 << 26
"""Most numbers in one array: a million frames of 17 joints hold 51 million."""
MAX_JSON_BYTES = 1 << 27


def read_array(path: Path, names: tuple[str, ...]) -> NDArray[np.float64]:
    """The one array of a `.npy`, or of a `.npz` the first of `names` in it (or its only one), as float64.

    Raises InputError where the file cannot be read, holds Python objects or no real numbers, or claims too many.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                arrays = [item.removesuffix(".npy") for item in archive.namelist() if item.endswith(".npy")]
                name = _choose(arrays, names, path)
                with archive.open(f"{name}.npy") as stream:
                    return _read(stream, f"{name} in {path}")
        with path.open("rb") as stream:
            return _read(stream, str(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def read_json(path: Path) -> Any:
    """A JSON document. Raises InputError where it cannot be read or is larger than `MAX_JSON_BYTES`."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise InputError(
                f"{path} has {size / 2**20:.0f} MiB; at most {MAX_JSON_BYTES >> 20} MiB of JSON are read"
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON ({error})") from None


def _choose(found: list[str], names: tuple[str, ...], path: Path) -> str:
    for name in names:
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"{path} holds {', '.join(found[:6]) or 'nothing'}; an array called {' or '.join(names)} is missing"
    )


def _read(stream: IO[bytes], what: str) -> NDArray[np.float64]:
    try:
        shape, fortran_order, dtype = read_header(stream)
    except ValueError:
        raise InputError(f"{what} is not an array that numpy reads without pickle") from None
    if dtype.hasobject:
        raise InputError(f"{what} holds pickled Python objects, which are not read; save it as plain numbers")
    if dtype.kind not in "fiu":
        raise InputError(f"{what} must hold real numbers, not {dtype}")
    if any(not 0 <= size <= MAX_NUMBERS for size in shape) or math.prod(shape) > MAX_NUMBERS:
        raise InputError(f"{what} claims the shape {shape}; at most {MAX_NUMBERS} numbers are read")
    wanted = math.prod(shape) * dtype.itemsize
    data = stream.read(wanted)
    if len(data) != wanted:
        raise InputError(f"{what} is cut short")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(np.float64)
