"""Every picture of one video file that still decodes, and an account of those that do not."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from posecli.errors import InputError

MAX_PIXELS = 1 << 27  # 134 megapixels, 400 MB as BGR: more is a decompression bomb, not a video
_NOT_VIDEO = {"tty", "bin", "xbin", "adf", "idf"}  # text files, which FFmpeg would draw as a terminal
_PLAYLISTS = {"hls", "concat", "dash", "sdp", "rtsp"}  # name other files and addresses: never followed
_MORE_TRIES = 3  # after read errors in a row, the file has nothing more to give


class Damaged(Exception):
    """A first sign of damage while decoding with several threads."""


@dataclass
class Damage:
    """What could not be had from a file; times are seconds on the stream's own clock."""

    lost: list[tuple[int, float]] = field(default_factory=list)  # (decoded frames before it, its time)
    repaired: list[tuple[int, float]] = field(
        default_factory=list
    )  # (frame, its time): decoder guessed parts
    cut: tuple[int, int] | None = None  # (frames announced, frames never found) where the data ends early
    evidence: bool = False  # without any, a packet that gives no picture is the codec's habit, not a loss


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """The container and its main video stream; InputError in plain words where there is none."""
    name = path.name
    try:
        # An open file rather than a name: FFmpeg gives meaning to %, : and the like in names. With no
        # protocol allowed, nothing that the file says makes FFmpeg open another file or address.
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{name}: the file is empty (0 bytes); copy or download it again.")
            file.seek(0)
            options = {"protocol_whitelist": "none", "max_pixels": str(MAX_PIXELS)}
            with av.open(file, "r", options=options, metadata_errors="replace") as container:
                yield container, _main_stream(container, name)
    except av.FFmpegError as error:
        raise InputError(_cannot_open(path, error)) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _main_stream(container: InputContainer, name: str) -> av.VideoStream:
    kinds = set(container.format.name.split(","))
    if kinds & _PLAYLISTS:
        raise InputError(f"{name}: is a playlist that points elsewhere; give the video file itself.")
    covers = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & covers]
    if kinds & _NOT_VIDEO or not streams:
        what = "sound only, no video" if container.streams.audio else "not a video"
        raise InputError(f"{name}: {what}; give a video file, an image or a folder of images.")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    context = stream.codec_context
    if context is None:
        raise InputError(f"{name}: its video codec is unknown here; convert it to H.264 mp4 first.")
    if context.width * context.height > MAX_PIXELS:
        raise InputError(
            f"{name}: {context.width}x{context.height} pixels is more than the {MAX_PIXELS // 10**6} million "
            "that are read; scale it down first."
        )
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return stream


def _cannot_open(path: Path, error: av.FFmpegError) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        return (
            f"{path.name}: no index (moov) in this mp4/mov, so nothing in it can be decoded; the recording was "
            "probably cut off: copy the file again, or repair it with untrunc."
        )
    reason = error.strerror or error
    return (
        f"{path.name}: not a video that can be read ({reason}); give a video, an image or a folder of images."
    )


def pictures(path: Path, damage: Damage, threads: int = 0) -> Iterator[av.VideoFrame]:
    """Every picture of the file that decodes, in the order of presentation; fills `damage` as it goes.

    Several threads decode until the first sign of damage. Then the file is read again by one, since only
    it says which packet failed and gives every frame; frames already handed out are left out then.
    """
    done = 0
    try:
        for frame in _pictures(path, damage if threads == 1 else Damage(), threads):
            yield frame
            done += 1
    except Damaged:
        for index, frame in enumerate(_pictures(path, damage, threads=1)):
            if index >= done:
                yield frame


def _pictures(path: Path, damage: Damage, threads: int) -> Iterator[av.VideoFrame]:
    with open_container(path) as (container, stream):
        context = stream.codec_context
        context.thread_count = threads
        context.thread_type = "AUTO" if threads != 1 else "NONE"
        time_base = stream.time_base or Fraction(1, 90_000)
        pending: list[int] = []  # heap of the pts of packets that have not come out as a picture yet
        packets = done = 0

        def sign() -> None:
            damage.evidence = True
            if threads != 1:
                raise Damaged

        def lose(pts: int) -> None:
            damage.lost.append((done, float(pts * time_base)))
            if threads != 1:
                raise Damaged

        for packet in _packets(container, stream, sign):
            if packet.size:
                packets += not packet.is_discard
                if packet.pts is not None and not packet.is_discard:
                    heapq.heappush(pending, packet.pts)
                if packet.is_corrupt:
                    sign()
            try:
                frames = packet.decode()
            except av.FFmpegError:
                sign()
                continue
            for frame in frames:
                while frame.pts is not None and pending and pending[0] < frame.pts:
                    lose(heapq.heappop(pending))
                if pending and pending[0] == frame.pts:
                    heapq.heappop(pending)
                if frame.is_corrupt:
                    sign()
                    damage.repaired.append((done, float((frame.pts or 0) * time_base)))
                yield frame
                done += 1
        while pending:
            lose(heapq.heappop(pending))
        announced = announced_frames(container, stream)
        if announced is not None and packets < announced:
            sign()
            damage.cut = announced, announced - packets


def _packets(
    container: InputContainer, stream: av.VideoStream, sign: Any
) -> Iterator[av.Packet[av.VideoStream]]:
    """The stream's packets; an error on the way is a sign of damage, and reading goes on behind it."""
    for _ in range(_MORE_TRIES):
        try:
            yield from container.demux(stream)
            return
        except av.FFmpegError:
            sign()
    with contextlib.suppress(av.FFmpegError):
        yield from container.demux(stream)


def announced_frames(container: InputContainer, stream: av.VideoStream) -> int | None:
    """How many frames the file says it shows; None where it does not say.

    An mp4's index also lists frames that its edit list hides: those are not counted.
    """
    if "mp4" in container.format.name.split(","):
        shown = sum(not entry.is_discard for entry in stream.index_entries)
        return max(shown, 0) or None
    return stream.frames or None
