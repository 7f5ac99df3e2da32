"""A file for HDF5 to write to that never fails before HDF5's eyes: the library crashes when it cannot flush."""

from __future__ import annotations

import io
from pathlib import Path


class FullDiskProof(io.RawIOBase):
    """A new file, readable and writable. The first OSError of a write is kept in `error` and everything after
    it is dropped; whoever writes through HDF5 calls `check` now and then, and once after closing."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.error is not None:
            raise self.error

    def write(self, data: memoryview | bytes) -> int:  # type: ignore[override]
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self.error is None:  # a disk that fills up writes a part first
                done += self._file.write(view[done:])
        except OSError as error:
            self.error = error
        return len(view)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:  # a network disk may tell only now
            self.error = self.error or error
        super().close()
