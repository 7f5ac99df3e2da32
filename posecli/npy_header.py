"""The header of an array in numpy's own format, `.npy`, from a file that need not be trusted."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

LARGEST_SIDE = 1 << 40


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies in Fortran's order, and type. Nothing is unpickled, nothing allocated.

    Raises ValueError for whatever is no header, among it sizes that are negative or beyond all arrays.
    """
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        shape, fortran, dtype = readers[npy.read_magic(stream)](stream)
    except (
        Exception
    ) as error:  # numpy lets through what Python's parser and its own parts raise, of many kinds
        raise ValueError(f"no header of a numpy array ({error})") from None
    if any(not 0 <= size <= LARGEST_SIDE for size in shape):
        raise ValueError(f"no array has the shape {shape}")
    return shape, fortran, dtype
