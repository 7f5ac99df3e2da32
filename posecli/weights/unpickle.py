"""Reads PyTorch checkpoints (zip and older non-zip format) without running what is inside them.

A pickle is a program. This reader lets it make dicts, lists, numbers, strings and references to stored tensors;
anything of numpy becomes inert data (released checkpoints carry a RandomState); any other name is refused.
Tensors are read from the file when asked for, so an optimizer's state costs nothing.
"""

from __future__ import annotations

import collections
import os
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from posecli.errors import InputError

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # that magic number, pickled
_LARGEST_PICKLE = (
    256 << 20
)  # bytes; the structure alone, without tensors, of any real checkpoint is far below
_MOST_FOREIGN_NAMES = 200  # a class is made for each; real checkpoints name a dozen


class Inert:
    """A foreign object kept as data: where it came from, what it was made with, its state. It does nothing."""

    def __init__(self, origin: str, arguments: tuple[Any, ...]) -> None:
        self.origin, self.arguments = origin, arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that still lies in its file."""

    read: Callable[[], bytes]
    dtype: torch.dtype
    numel: int  # of the storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def load(self) -> Tensor:
        """The tensor, on the CPU, in memory of its own."""
        data = self.read()
        if len(data) != self.numel * self.dtype.itemsize:
            raise ValueError("a stored tensor is cut short")
        if not self.numel:
            return torch.empty(self.shape, dtype=self.dtype)
        flat = torch.frombuffer(bytearray(data), dtype=self.dtype)
        return flat.as_strided(self.shape, self.stride, self.offset).clone()


@dataclass(frozen=True)
class _Storage:
    read: Callable[[], bytes]
    dtype: torch.dtype
    numel: int


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, _Storage) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor is described wrongly")
    count = 1
    for n in shape:
        count *= n
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True)) if count else 0
    if count > storage.numel or last >= max(storage.numel, 1):
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    return StoredTensor(storage.read, storage.dtype, storage.numel, offset, tuple(shape), tuple(stride))


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _inert_class(origin: str) -> type[Inert]:
    """Stands for the class or function of this name: called, or made into an object, it gives an `Inert`."""

    class Foreign(Inert):
        def __new__(cls, *arguments: Any) -> Foreign:
            made = super().__new__(cls)
            Inert.__init__(made, origin, arguments)
            return made

        def __init__(self, *arguments: Any) -> None:
            pass

    return Foreign


class _Refused(Exception):
    """The pickle asks for a name that is not on the list."""


class _Unpickler(pickle.Unpickler):
    def __init__(
        self,
        file: IO[bytes],
        storage: Callable[[str, torch.dtype, int], _Storage],
        most_bytes: int = _LARGEST_PICKLE,
        inert: tuple[str, ...] = (),
    ) -> None:
        super().__init__(file, encoding="latin1")
        self._storage, self._bytes_left = storage, most_bytes
        self._inert = ("numpy.", *inert)
        self._foreign: dict[str, type[Inert]] = {}

    def _encode(self, text: str, encoding: str = "utf-8") -> bytes:
        """Protocol 2's way of writing bytes. One text may be named again and again, and every time is a copy."""
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"text is encoded as {encoding}")
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise pickle.UnpicklingError("its contents are larger than itself")
        return text.encode("latin1")

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            ("_codecs", "encode"): self._encode,
            ("__builtin__", "bytes"): lambda: b"",  # protocol 2's way of writing none; no arguments here
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in _DTYPES:
            return ("storage type", _DTYPES[name])
        origin = f"{module}.{name}"
        if origin.startswith(self._inert):
            # never numpy itself: some of its functions run code or read files
            if len(self._foreign) == _MOST_FOREIGN_NAMES:
                raise pickle.UnpicklingError("too many foreign objects")
            return self._foreign.setdefault(origin, _inert_class(origin))
        raise _Refused(origin)

    def persistent_load(self, pid: Any) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("an unknown kind of reference")
        kind, key, numel = pid[1], pid[2], pid[4]
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a view of a storage, which no release since PyTorch 0.4 writes")
        if not (isinstance(kind, tuple) and isinstance(key, str) and isinstance(numel, int) and numel >= 0):
            raise pickle.UnpicklingError("a storage is described wrongly")
        return self._storage(key, kind[1], numel)


def read_checkpoint(path: Path, *, inert: tuple[str, ...] = ()) -> Any:
    """What `torch.save` wrote to `path`: plain containers with `StoredTensor` in place of tensors.

    inert: how the full names begin of what becomes `Inert` beside numpy's objects, as a training framework leaves
        them in its checkpoints; nothing of theirs is imported or called.
    Raises InputError when the file is missing, no checkpoint, damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_LEGACY_START))
        if zipfile.is_zipfile(path):
            return _read_zip(path, inert)
        if start == _LEGACY_START:
            return _read_legacy(path, inert)
    except _Refused as refused:
        raise InputError(
            f"{path} holds an object of {refused}, which posecli does not load: a checkpoint should hold "
            "tensors only; get it from its authors again"
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:
        # whatever a damaged or hostile pickle can make Python raise, it is the file that is at fault
        raise InputError(f"{path} is not a readable PyTorch checkpoint: {error}") from None
    raise InputError(f"{path} is not a PyTorch checkpoint (neither its zip nor its older format)")


def read_inert(file: IO[bytes], *, most_bytes: int = _LARGEST_PICKLE) -> Any:
    """A pickle of plain containers, numbers and text, and of numpy's objects, these as `Inert`; runs nothing.

    most_bytes: copied while reading; what a pickle needs is less than it is long.
    Raises pickle.UnpicklingError, or whatever a damaged pickle makes Python raise, where it is anything else.
    """

    def no_storage(key: str, dtype: torch.dtype, numel: int) -> _Storage:
        raise pickle.UnpicklingError("a tensor where none can be")

    try:
        return _Unpickler(file, no_storage, most_bytes).load()
    except _Refused as refused:
        raise pickle.UnpicklingError(
            f"it holds an object of {refused}, which posecli does not load"
        ) from None


def load_tensor(tensor: StoredTensor, path: Path) -> Tensor:
    """`tensor.load()` with damage reported as InputError naming `path`."""
    try:
        return tensor.load()
    except Exception as error:
        raise InputError(f"{path} is damaged: {error}") from None


def _read_zip(path: Path, inert: tuple[str, ...]) -> Any:
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("a zip file without a single data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise ValueError("its parts are compressed, which PyTorch never does")
        if entries[pickles[0]].file_size > _LARGEST_PICKLE:
            raise ValueError("its structure is far too large")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in entries and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")

        def storage(key: str, dtype: torch.dtype, numel: int) -> _Storage:
            name = f"{folder}data/{key}"
            if name not in entries or entries[name].file_size != numel * dtype.itemsize:
                raise ValueError(f"stored tensor {key} is missing or cut short")

            return _Storage(partial(_read_part, path, entries[name]), dtype, numel)

        with archive.open(pickles[0]) as file:
            return _Unpickler(file, storage, inert=inert).load()


def _read_part(path: Path, part: zipfile.ZipInfo) -> bytes:
    """A part that is not compressed. `zipfile` would read the whole table of contents again for each of thousands."""
    with path.open("rb") as file:
        file.seek(part.header_offset)
        header = file.read(
            30
        )  # what stands before the part; its last four bytes are the sizes of what follows it
        file.seek(sum(struct.unpack("<HH", header[26:])), os.SEEK_CUR)
        data = file.read(part.file_size)
    if header[:4] != b"PK\3\4" or zlib.crc32(data) != part.CRC:
        raise ValueError("a stored tensor is not what was written")
    return data


def _read_legacy(path: Path, inert: tuple[str, ...]) -> Any:
    """Five parts in a row: magic number, version, machine, the object, the storages' keys; then the storages."""
    places: dict[str, int] = {}  # key → where its data begins
    sizes: dict[str, int] = {}  # key → bytes

    def storage(key: str, dtype: torch.dtype, numel: int) -> _Storage:
        sizes[key] = numel * dtype.itemsize

        def read() -> bytes:
            with path.open("rb") as again:
                again.seek(places[key])
                return again.read(numel * dtype.itemsize)

        return _Storage(read, dtype, numel)

    def no_storage(key: str, dtype: torch.dtype, numel: int) -> _Storage:
        raise pickle.UnpicklingError("a tensor where none can be")

    end = path.stat().st_size
    with path.open("rb") as file:
        magic, version, machine = (_Unpickler(file, no_storage).load() for _ in range(3))
        if magic != _LEGACY_MAGIC or version != _LEGACY_PROTOCOL or not isinstance(machine, dict):
            raise ValueError("an unknown version of the older format")
        if machine.get("little_endian") is not (sys.byteorder == "little"):
            raise ValueError("it was written on a machine of the other byte order")
        result = _Unpickler(file, storage, inert=inert).load()
        keys = _Unpickler(file, no_storage).load()
        if not isinstance(keys, list) or set(keys) != set(sizes):
            raise ValueError("its list of tensors does not fit its structure")
        for key in keys:
            places[key] = file.tell() + 8  # after the number of elements
            if places[key] + sizes[key] > end:
                raise ValueError("it is cut short")
            file.seek(places[key] + sizes[key])
    return result
