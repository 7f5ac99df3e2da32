"""What one run reads."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from posecli.errors import UsageError
from posecli.media import open_media
from posecli.media.frames import Frames

DETECTIONS_SUFFIX = ".detections.h5"


@dataclass(frozen=True)
class Clip:
    """What to read: a video, picture or folder of pictures, or a detections file; `start` and `end` in seconds.

    keypoints: 2D joints that another tool found, a file of format `keypoints_format`; then `path` may be None and
    `size` (width, height) and `fps` tell what the video would.
    """

    path: Path
    start: float | None = None
    end: float | None = None
    fps: float | None = None  # of a folder of pictures, or of keypoints without a video
    keypoints: Path | None = None
    keypoints_format: str = "auto"
    size: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, path: str | Path | None, start: float | None, end: float | None, fps: float | None,
        keypoints: str | Path | None, keypoints_format: str, size: tuple[int, int] | None,
    ) -> Clip:  # fmt: skip
        """From what a user says; raises UsageError where that does not go together."""
        if path is None and keypoints is None:
            raise UsageError("nothing to lift; give a video, or keypoints")
        if size is not None and (keypoints is None or path is not None):
            raise UsageError("--size is for --keypoints without a video; a video tells its own")
        if size is not None and not all(0 < side < 1 << 16 for side in size):
            raise UsageError(f"--size must be a width and a height in pixels, not {size[0]}x{size[1]}")
        given = None if keypoints is None else Path(keypoints)
        place = given if path is None else Path(path)
        assert place is not None
        return cls(place, start, end, fps, given, keypoints_format, size)

    def __post_init__(self) -> None:
        stream = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(self.path))
        if (stream or re.fullmatch(r"\d{1,2}", str(self.path))) and not self.path.exists():
            raise UsageError(
                f"{self.path}: webcams and streams cannot be lifted, which takes whole stretches of motion at once; "
                "record or download it, then lift the file"
            )
        for name in ("start", "end", "fps"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise UsageError(f"--{name} must be a finite number, not {value}")

    def open(self) -> Frames:
        return open_media(self.path, start=self.start, end=self.end, fps=self.fps)

    @property
    def has_video(self) -> bool:
        return not self.is_detections and self.path != self.keypoints

    @property
    def is_detections(self) -> bool:
        return self.keypoints is None and self.path.suffix == ".h5" and self.path.is_file()

    @property
    def stem(self) -> str:
        """What the results are called: the name of the file without ending, or of the folder of the pictures."""
        if self.is_detections:
            return self.path.name.removesuffix(DETECTIONS_SUFFIX).removesuffix(".h5")
        place = self.path.resolve() if self.path.name in ("", "..") else self.path
        if place.is_dir():
            return place.name or "pictures"
        if any(c in place.name for c in "*?[") and not place.exists():  # a pattern of pictures
            return place.parent.resolve().name or "pictures"
        return place.stem
