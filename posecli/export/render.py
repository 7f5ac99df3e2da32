"""A motion file → a video or an animated GIF to look at, with the source's pictures or without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
from PIL import Image

from posecli.errors import InputError, OutputError, UsageError
from posecli.export.blank import BlankFrames
from posecli.export.files import source_frames
from posecli.export.npz import load_npz
from posecli.export.video import save_video
from posecli.files import atomic_write, scratch_beside
from posecli.media.frames import Frames
from posecli.motion import Motion
from posecli.reporting import Reporter, Silent

KINDS = (".mp4", ".gif")
GIF_RATE = 12.5  # pictures a second; GIF counts hundredths of a second, so 8 of them each
GIF_WIDTH = 640
MOST_GIF_PICTURES = 1500  # two minutes


@dataclass(frozen=True)
class Rendered:
    """pictures: how many were written. source: what they show beside the motion; None: nothing."""

    motion: Motion
    file: Path
    pictures: int
    source: Path | None


def render_file(
    path: Path,
    *,
    out: Path | None = None,
    video: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Rendered:
    """Draw the motion in `path` (our NPZ): the 2D joints over the source's picture, beside the 3D skeleton.

    out: the file to write, .mp4 or .gif, `<stem>.mp4` beside `path` if not given. video: the source; without it the one
    that the file names where it lies near, else a dark ground in its place. Raises PosecliError; then nothing was
    written.
    """
    say = reporter or Silent()
    if path.is_dir() or not path.name:
        raise InputError(f"{path} is a folder; name the motion file")
    target = path.with_suffix(".mp4") if out is None else out
    if target.suffix.lower() not in KINDS:
        raise UsageError(f"--out names the file to write, ending in {' or '.join(KINDS)}, not {target}")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists; use --overwrite, or another file with --out")
    if not target.absolute().parent.is_dir():
        raise OutputError(f"{target.parent}: no such folder; create it first.")
    motion = load_npz(path)
    if not motion.valid.any():
        raise InputError(f"no frame of {path} has a pose; there is nothing to draw")
    frames: Frames
    source: Path | None = None
    try:
        frames = source_frames(motion, path, video)
        source = frames.info.path
    except InputError as error:
        if video is not None:
            raise
        reason = str(error).removeprefix("no mp4 can be made: ").removesuffix("; name the video with --video")
        say.note(f"{reason}: drawn without its pictures (--video names it)")
        frames = BlankFrames(motion)
    with say.stage("render", len(motion), "frames") as advance:
        if target.suffix.lower() == ".mp4":
            count = save_video(motion, frames, target, progress=advance)
        else:
            with scratch_beside(target.with_suffix(".mp4")) as scratch:
                save_video(motion, frames, scratch, progress=advance)
                count = _gif(scratch, target)
    return Rendered(motion, target, count, source)


def _gif(video: Path, target: Path) -> int:
    """A video as an animated GIF; returns the number of its pictures."""
    pictures = _pictures(video)
    first = next(pictures)
    count = 1

    def others() -> Iterator[Image.Image]:
        nonlocal count
        for picture in pictures:
            count += 1
            yield picture

    with atomic_write(target) as partial:
        first.save(
            partial, format="GIF", save_all=True, append_images=others(), loop=0, duration=round(1000 / GIF_RATE)
        )  # fmt: skip
    return count


def _pictures(video: Path) -> Iterator[Image.Image]:
    """Its pictures at `GIF_RATE`, small, with a palette each."""
    number = 0
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            while frame.time is not None and frame.time >= number / GIF_RATE - 1e-3:
                if number >= MOST_GIF_PICTURES:
                    raise UsageError(
                        f"a GIF of more than {MOST_GIF_PICTURES / GIF_RATE:.0f} s is too large; write an .mp4"
                    )
                number += 1
                image = frame.to_ndarray(format="rgb24")
                height = round(image.shape[0] * GIF_WIDTH / image.shape[1])
                small = cv2.resize(image, (GIF_WIDTH, height), interpolation=cv2.INTER_AREA)
                yield Image.fromarray(small).quantize(64, dither=Image.Dither.NONE)
