"""The orientation that cameras write into JPEG files."""

from __future__ import annotations

from pathlib import Path

from posecli.media.upright import Turn

_HEAD = 1 << 18  # the EXIF segment stands within the first 64 kB or directly behind a thumbnail of that size
_ORIENTATION = 0x0112
_TURNS = {  # CIPA DC-008 (EXIF 2.32), 4.6.4 A: which corner row 0 and column 0 of the stored picture show
    2: Turn(mirror_x=True),
    3: Turn(mirror_x=True, mirror_y=True),
    4: Turn(mirror_y=True),
    5: Turn(transpose=True),
    6: Turn(transpose=True, mirror_x=True),
    7: Turn(transpose=True, mirror_x=True, mirror_y=True),
    8: Turn(transpose=True, mirror_y=True),
}


def exif_turn(path: Path) -> Turn | None:
    """The turn that makes the picture upright; None where the file has no EXIF orientation.

    Read here because PyAV 18 raises on a frame with EXIF side data and its `rotation` knows no mirroring.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    mark = head.find(b"Exif\0\0")
    if mark < 0 or not head.startswith(b"\xff\xd8"):
        return None
    tiff = head[mark + 6 :]
    order = "little" if tiff[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    first = number(4, 4)
    for entry in range(first + 2, first + 2 + 12 * min(number(first, 2), 100), 12):
        if number(entry, 2) == _ORIENTATION:
            return _TURNS.get(number(entry + 8, 2), Turn())
    return None
