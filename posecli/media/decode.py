"""Every picture of one video file that still decodes, and an account of those that do not."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias, cast

import av
from av.container import InputContainer

from posecli.errors import InputError

MAX_PIXELS = 1 << 27  # 134 megapixels, 400 MB as BGR: more is a decompression bomb, not a video
_NOT_VIDEO = {"tty", "bin", "xbin", "adf", "idf"}  # text files, which FFmpeg would draw as a terminal
_PLAYLISTS = {"hls", "concat", "dash", "sdp", "rtsp"}  # name other files and addresses: never followed
_TRIES = 4  # after so many read errors, the file has nothing more to give
_SHORT_S = 0.5  # a Matroska file that ends this much before its announced end has been cut

Packet: TypeAlias = "av.Packet[av.VideoStream]"


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


def _boxes(path: Path) -> list[bytes]:
    """The kinds of the first boxes of an mp4/mov, whole or not; whatever, if it is none."""
    kinds: list[bytes] = []
    with path.open("rb") as file:
        while len(kinds) < 50 and len(header := file.read(16)) >= 8:
            size = int.from_bytes(header[:4])
            size = int.from_bytes(header[8:]) if size == 1 else size
            kinds.append(header[4:8])
            if size < 8:
                break
            file.seek(size - len(header), 1)
    return kinds


def _cannot_open(path: Path, error: av.FFmpegError) -> str:
    boxes = _boxes(path)
    if boxes and boxes[0] in (b"ftyp", b"mdat", b"free", b"wide", b"skip") and b"moov" not in boxes:
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
        for frame in _pictures(path, _Ledger(damage, careful=threads == 1), threads):
            yield frame
            done += 1
    except _NeedsCare:
        for index, frame in enumerate(_pictures(path, _Ledger(damage, careful=True), 1)):
            if index >= done:
                yield frame


class _NeedsCare(Exception):
    """A first sign of damage while decoding with several threads."""


class _Ledger:
    """Which packets became pictures and which did not.

    Packets wait in a heap of their timestamps until a picture with theirs comes out. Pictures come in the
    order of presentation, so a packet still waiting when a later one's picture is there has been lost.
    """

    def __init__(self, damage: Damage, careful: bool) -> None:
        self.damage = damage
        self.careful = careful
        self.packets = self.pictures = 0
        self.end_s = 0.0
        self._waiting: list[int] = []

    def begin(self, container: InputContainer, stream: av.VideoStream) -> None:
        self._container, self._stream = container, stream
        self._time_base = stream.time_base or Fraction(1, 90_000)
        # AVI has no presentation times, only one slot after another: pictures take them in order.
        self._slots = container.format.name == "avi"

    def sign(self) -> None:
        """Something is damaged: reading goes on only with care."""
        if not self.careful:
            raise _NeedsCare
        self.damage.evidence = True

    def _stamp(self, packet: Packet) -> int | None:
        return packet.dts if self._slots else packet.pts

    def sent(self, packet: Packet) -> None:
        self.packets += not packet.is_discard
        stamp = self._stamp(packet)
        if stamp is not None and not packet.is_discard:
            heapq.heappush(self._waiting, stamp)
        if packet.is_corrupt:
            self.sign()

    def failed(self, packet: Packet) -> None:
        self.sign()
        stamp = self._stamp(packet)
        if self._slots and stamp in self._waiting:  # elsewhere it is missed when later pictures come
            self._waiting.remove(stamp)
            heapq.heapify(self._waiting)
            self._lose(stamp)

    def came(self, frame: av.VideoFrame) -> None:
        if self._slots and self._waiting:
            frame.pts = heapq.heappop(self._waiting)
        while frame.pts is not None and self._waiting and self._waiting[0] < frame.pts:
            self._lose(heapq.heappop(self._waiting))
        if self._waiting and self._waiting[0] == frame.pts:
            heapq.heappop(self._waiting)
        if frame.is_corrupt:
            self.sign()
            self.damage.repaired.append((self.pictures, float((frame.pts or 0) * self._time_base)))
        self.pictures += 1

    def _lose(self, stamp: int) -> None:
        if not self.careful:
            raise _NeedsCare
        self.damage.lost.append((self.pictures, float(stamp * self._time_base)))

    def end(self) -> None:
        while self._waiting:
            self._lose(heapq.heappop(self._waiting))
        announced = announced_frames(self._container, self._stream)
        missing = 0 if announced is None else announced - self.packets
        rate = self._stream.average_rate or self._stream.guessed_rate
        if _is_matroska(self._container) and self._container.duration and rate:
            duration_s = self._container.duration / av.time_base
            announced = round(duration_s * rate)
            missing = round((duration_s - self.end_s) * rate) if duration_s - self.end_s > _SHORT_S else 0
        if announced is not None and missing > 0:
            self.damage.evidence = True
            self.damage.cut = announced, missing


def _pictures(path: Path, ledger: _Ledger, threads: int) -> Iterator[av.VideoFrame]:
    with open_container(path) as (container, stream):
        stream.codec_context.thread_count = threads
        stream.codec_context.thread_type = "AUTO" if threads != 1 else "NONE"
        ledger.begin(container, stream)
        for packet in _packets(container, stream, ledger):
            if packet.size:
                ledger.sent(packet)
            elif packet.pts is not None or packet.dts is not None:
                ledger.packets += 1  # an empty one says "as before"; to the decoder it would mean the end
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                ledger.failed(packet)
                continue
            for frame in frames:
                ledger.came(frame)
                yield frame
        ledger.end()


def _packets(container: InputContainer, stream: av.VideoStream, ledger: _Ledger) -> Iterator[Packet]:
    """The stream's packets and an empty one; reading goes on behind an error, which is a sign of damage."""
    for attempt in range(_TRIES):
        try:
            # All streams of a Matroska file are looked at, since its header only gives the longest's length.
            for packet in container.demux() if _is_matroska(container) else container.demux(stream):
                if packet.pts is not None and packet.time_base is not None:
                    ledger.end_s = max(
                        ledger.end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    )
                if packet.stream_index == stream.index:
                    yield cast(Packet, packet)
            return
        except av.FFmpegError:
            if attempt < _TRIES - 1:
                ledger.sign()


def _is_matroska(container: InputContainer) -> bool:
    return "matroska" in container.format.name


def announced_frames(container: InputContainer, stream: av.VideoStream) -> int | None:
    """How many frames the file says it shows; None where it does not say.

    An mp4's index also lists frames that its edit list hides: those are not counted.
    """
    if "mp4" in container.format.name.split(","):
        return sum(not entry.is_discard for entry in stream.index_entries) or None
    return stream.frames or None
