"""Reading videos and images: counts, times, orientation, damage and refusals."""

from __future__ import annotations

import json
import os
import struct
import threading
import time
import wave
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posecli.errors import InputError, UsageError
from posecli.media import Frame, open_media
from posecli.media.clock import Clock

MakeVideo = Callable[..., Path]
R, G, B, W, K = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255), (0, 0, 0)


def read(path: Path, **options: float) -> tuple[list[Frame], list[str]]:
    source = open_media(path, **options)
    frames = list(source)
    return frames, source.report.warnings


def quarters(image: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """The pure colours nearest to the middles of the upper left, upper right, lower left, lower right quarter."""
    height, width = image.shape[:2]
    at = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [tuple(int(c > 127) * 255 for c in image[y, x]) for y, x in at]


# --- the shared clips ---------------------------------------------------------------------------------


def clips() -> list[str]:
    root = Path(os.environ.get("POSECLI_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    manifest = root / "videos" / "manifest.json"
    names = json.loads(manifest.read_text()) if manifest.is_file() else {}
    return [n for n, clip in names.items() if clip["frames_decoded_opencv"]]


@pytest.mark.parametrize("name", clips())
def test_every_shared_clip_gives_its_frames_upright_at_increasing_times(name: str, shared_data: Path) -> None:
    clip = json.loads((shared_data / "videos" / "manifest.json").read_text())[name]
    source = open_media(shared_data / "videos" / name)
    times = []
    for count, frame in enumerate(source):
        assert frame.index == count
        assert list(frame.image.shape) == [*clip["opencv_frame_hw"], 3]
        times.append(frame.time_s)
    assert (source.info.height, source.info.width) == tuple(clip["opencv_frame_hw"])
    assert times[0] == 0 and np.all(np.diff(times) > 0)
    if "truncated" in name:
        # OpenCV's threaded decoder drops the last two good pictures (see the next test): 77, not 79.
        assert len(times) == clip["frames_decoded_opencv"] + 2
        assert source.report.warnings == [
            "truncated_faststart_45pct.mp4: damaged from frame 79 (3.29 s) on; "
            "the header announces 247 frames: 168 lost"
        ]
    else:
        assert len(times) == clip["frames_decoded_opencv"]
        assert source.report.warnings == []


def test_truncated_clip_gives_every_picture_of_the_whole_one_up_to_the_cut(shared_data: Path) -> None:
    videos = shared_data / "videos"
    whole = iter(open_media(videos / "sam2_juggle" / "video.mp4"))
    count = 0
    for frame, true in zip(
        open_media(videos / "robust" / "truncated_faststart_45pct.mp4"), whole, strict=False
    ):
        assert np.array_equal(frame.image, true.image) and frame.time_s == true.time_s
        count += 1
    assert count == 79


@pytest.mark.parametrize("name", ["opencap_STS", "opencap_walk_ts"])
def test_times_survive_an_edit_list(name: str, shared_data: Path) -> None:
    folder = shared_data / "videos" / name
    times = [frame.time_s for frame in open_media(folder / "video.mp4")]
    with np.load(folder / "ref.npz") as reference:
        np.testing.assert_allclose(times, reference["time_video"], atol=1e-6)


def test_pictures_equal_opencvs(shared_data: Path) -> None:
    path = shared_data / "videos" / "robust" / "juggle_rotmeta90_5s.mp4"
    capture = cv2.VideoCapture(str(path))
    for frame, _ in zip(open_media(path), range(5), strict=False):
        ok, image = capture.read()
        assert ok and np.array_equal(frame.image, image)


def test_variable_rate_times(shared_data: Path) -> None:
    times = [f.time_s for f in open_media(shared_data / "videos" / "robust" / "juggle_vfr_6s.mp4")]
    steps = np.round(1 / np.diff(times), 3)
    assert set(steps) == {24.0, 8.0} and (steps == 8.0).sum() == 16


# --- kinds of files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "size"),
    [
        ("ten.mp4", "libx265", "yuv420p10le", (64, 48)),
        ("ten.mkv", "libx264", "yuv420p10le", (64, 48)),
        ("odd.mp4", "libx264", "yuv444p", (65, 47)),
        ("a.mov", "mjpeg", "yuvj420p", (64, 48)),
        ("alpha.mov", "prores_ks", "yuva444p10le", (64, 48)),
        ("a.webm", "libvpx", "yuv420p", (64, 48)),
        ("b.avi", "mpeg4", "yuv420p", (64, 48)),
        ("a.gif", "gif", "rgb8", (64, 48)),
        ("a.ts", "libx264", "yuv420p", (64, 48)),
    ],
)
def test_kinds_of_video(
    name: str, codec: str, pix_fmt: str, size: tuple[int, int], make_video: MakeVideo
) -> None:
    frames, warnings = read(make_video(name, codec, pix_fmt, size))
    assert warnings == [] and len(frames) == 12
    for frame in frames:
        assert frame.image.shape == (size[1], size[0], 3) and frame.image.dtype == np.uint8
        assert quarters(frame.image) == [R, G, B, W]
    np.testing.assert_allclose(
        [f.time_s for f in frames], np.arange(12) / 30, atol=0.0051
    )  # GIF counts 10 ms


def test_grey_comes_out_as_three_equal_channels(make_video: MakeVideo) -> None:
    path = make_video("grey.mp4", pix_fmt="gray")
    frames, _ = read(path)
    assert len(frames) == 12
    assert np.ptp(frames[0].image.astype(int), axis=2).max() == 0
    _, image = cv2.VideoCapture(str(path)).read()
    assert np.array_equal(frames[0].image, image)


@pytest.mark.parametrize(
    ("rotation", "expected"),  # degrees counterclockwise, then mirrored, as FFmpeg's display matrix has it
    [
        ((90, False, False), [G, W, R, B]),
        ((180, False, False), [W, B, G, R]),
        ((270, False, False), [B, R, W, G]),
        ((0, True, False), [G, R, W, B]),
        ((0, False, True), [B, W, R, G]),
    ],
)
def test_rotation_and_mirroring(
    rotation: tuple[float, bool, bool], expected: list[tuple[int, ...]], make_video: MakeVideo
) -> None:
    path = make_video("turned.mp4", rotation=rotation)
    source = open_media(path)
    frame = next(iter(source))
    size = (64, 48) if rotation[0] in (0, 180) else (48, 64)
    assert (source.info.width, source.info.height) == size == frame.image.shape[1::-1]
    assert quarters(frame.image) == expected
    if rotation[0]:  # OpenCV applies rotation, but no mirroring
        _, image = cv2.VideoCapture(str(path)).read()
        assert quarters(image) == expected


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (85, 48)), (Fraction(3, 4), (64, 64))])
def test_pixels_become_square(aspect: Fraction, size: tuple[int, int], make_video: MakeVideo) -> None:
    source = open_media(make_video("wide.mp4", aspect=aspect))
    frame = next(iter(source))
    assert (source.info.width, source.info.height) == size == frame.image.shape[1::-1]
    assert quarters(frame.image) == [R, G, B, W]


@pytest.mark.parametrize("name", ["vfr.mkv", "vfr.mp4"])
def test_uneven_times(name: str, make_video: MakeVideo) -> None:
    stamps = [40, 50, 90, 100, 240, 250, 251, 400]
    frames, _ = read(make_video(name, stamps_ms=stamps))
    np.testing.assert_allclose([f.time_s for f in frames], (np.array(stamps) - 40) / 1000, atol=1e-9)


def test_gif_delays(make_video: MakeVideo) -> None:
    stamps = [0, 100, 500, 600, 2000]
    frames, _ = read(make_video("delays.gif", "gif", "rgb8", stamps_ms=stamps))
    np.testing.assert_allclose([f.time_s for f in frames], np.array(stamps) / 1000, atol=1e-9)


@pytest.mark.parametrize(("name", "codec"), [("b.avi", "mpeg4"), ("h.avi", "libx264")])
def test_avi_with_reordered_frames(name: str, codec: str, make_video: MakeVideo) -> None:
    """AVI holds no presentation times: the k-th picture shown takes the k-th slot."""
    images = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(12)]
    frames, warnings = read(make_video(name, codec, images=images, codec_options={"bf": "2"}))
    assert warnings == []
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(12) / 30, atol=1e-9)
    np.testing.assert_allclose([f.image.mean() for f in frames], [20 * i for i in range(12)], atol=8)


def test_raw_stream_without_times(make_video: MakeVideo) -> None:
    frames, warnings = read(make_video("raw.h264"))
    np.testing.assert_allclose([f.time_s for f in frames], np.arange(12) / 25)
    assert warnings == ["raw.h264: holds no timestamps; taken as 25 frames a second"]


def test_clock_repairs_times() -> None:
    clock = Clock(0.1)
    stamps = [5.0, 5.1, 5.1, 5.2, None, 5.4, 1.0, 1.1]
    np.testing.assert_allclose([clock(s) for s in stamps], [0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(clock.repaired, [0.15, 0.3, 0.5])


# --- images -------------------------------------------------------------------------------------------


def test_image_folder_in_natural_order(tmp_path: Path) -> None:
    for i in (1, 2, 10, 9):
        cv2.imwrite(str(tmp_path / f"img{i}.png"), np.full((20, 30, 3), i, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "img3.png").write_bytes(b"\x89PNG broken")
    cv2.imwrite(str(tmp_path / "img11.jpg"), np.full((40, 60, 3), 11, np.uint8))
    source = open_media(tmp_path, fps=10)
    frames = list(source)
    assert [int(f.image[0, 0, 0]) for f in frames] == [1, 2, 9, 10, 11]
    assert [f.index for f in frames] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([f.time_s for f in frames], [0, 0.1, 0.3, 0.4, 0.5])  # img3 leaves a gap
    assert {f.image.shape for f in frames} == {(20, 30, 3)}
    assert source.report.warnings == [
        f"{tmp_path.name}: 1 image left out, cannot be decoded: img3.png",
        f"{tmp_path.name}: 1 image scaled to the first one's size, 30x20: img11.jpg",
    ]
    assert [int(f.image[0, 0, 0]) for f in open_media(str(tmp_path / "img1*.png"))] == [1, 10]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_single_image(depth: type, tmp_path: Path) -> None:
    path = tmp_path / "50%02d, a:b.png"  # characters that FFmpeg reads meaning into
    cv2.imwrite(str(path), np.full((21, 33, 3), 200 * (257 if depth is np.uint16 else 1), depth))
    frames, warnings = read(path)
    assert warnings == [] and len(frames) == 1
    assert frames[0].time_s == 0 and frames[0].image.shape == (21, 33, 3)
    assert np.abs(frames[0].image.astype(int) - 200).max() <= 1  # swscale rounds 16 bits by one


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    image = np.full((20, 30, 4), 255, np.uint8)
    image[:, 10:20, 3], image[:, 20:, 3] = 0, 51
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (frame,), _ = read(tmp_path / "a.png")
    assert [int(frame.image[5, x, 1]) for x in (5, 15, 25)] == [255, 0, 51]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_opencv_sees_it(orientation: int, tmp_path: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32] = R, G, B
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:])
    (frame,), _ = read(path)
    true = cv2.imread(str(path))
    assert frame.image.shape == true.shape and quarters(frame.image) == quarters(true)


# --- a part of it -------------------------------------------------------------------------------------


def test_start_and_end_keep_the_index(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=30, codec_options={"g": "5"})
    whole, _ = read(path)
    part, _ = read(path, start=0.3, end=0.6)
    assert [f.index for f in part] == list(range(9, 18))  # 9/30 s is in, 18/30 s is not
    for frame in part:
        assert frame.time_s == whole[frame.index].time_s
        assert np.array_equal(frame.image, whole[frame.index].image)


def test_start_beyond_the_end(make_video: MakeVideo) -> None:
    with pytest.raises(
        InputError, match=r"a.mp4: no frame lies between --start 5 s and its end; .* at 0.37 s"
    ):
        read(make_video("a.mp4"), start=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1.0}, "--start must be 0 or more"),
        ({"start": 2.0, "end": 1.0}, "--end must lie after --start"),
        ({"end": 0.0}, "--end must lie after"),
        ({"fps": 0.0}, "--fps must be above 0"),
        ({"fps": 30.0}, "--fps is for images; a.mp4 is a video"),
    ],
)
def test_values_that_cannot_work(options: dict[str, float], message: str, make_video: MakeVideo) -> None:
    with pytest.raises(UsageError, match=message):
        open_media(make_video("a.mp4"), **options)


def test_stopping_early_leaves_no_thread(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=60)
    for frame in open_media(path):
        if frame.index == 3:
            break
    del frame
    with pytest.raises(ZeroDivisionError):
        for _ in open_media(path):
            raise ZeroDivisionError
    deadline = time.monotonic() + 2
    while any(t.name == "posecli-prefetch" for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- damage -------------------------------------------------------------------------------------------


def packets_of(path: Path) -> list[tuple[int, int, float]]:
    """(position in the file, size, time in s) of every packet."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            (int(p.pos or 0), p.size, float(p.pts * p.time_base))
            for p in container.demux(stream)
            if p.size and p.pts is not None and p.time_base
        ]


def test_a_lost_frame_in_the_middle_is_named(make_video: MakeVideo) -> None:
    options = {"g": "1", "threads": "1"}  # key frames only: exactly one is lost
    path = make_video("hole.mp4", frames=30, codec_options=options)
    whole, _ = read(path)
    position, size, time_s = packets_of(path)[14]
    data = bytearray(path.read_bytes())
    data[position : position + size] = bytes(size)
    path.write_bytes(data)
    frames, warnings = read(path)
    assert [f.time_s for f in frames] == [f.time_s for f in whole if f.time_s != time_s]
    assert warnings == ["hole.mp4: 1 frame damaged and lost: 1 before frame 14 (0.47 s)"]
    kept = [f for f in whole if f.time_s != time_s]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(frames, kept, strict=True))


def test_flipped_bytes_in_the_middle(shared_data: Path, tmp_path: Path) -> None:
    data = bytearray((shared_data / "videos" / "sam2_juggle" / "video.mp4").read_bytes())
    for k in range(40):
        data[len(data) // 2 + 997 * k] ^= 0xA5
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)
    frames, warnings = read(path)
    assert len(frames) == 247  # x264's slices are repaired, none is given up
    assert len(warnings) == 1 and "damaged and partly guessed by the decoder: " in warnings[0]
    # What lies before the first frame that the warning names is untouched.
    first = int(warnings[0].split("from frame ")[1].split()[0])
    for frame, true in zip(
        frames[:first], open_media(shared_data / "videos/sam2_juggle/video.mp4"), strict=False
    ):
        assert np.array_equal(frame.image, true.image)
    assert first > 80


@pytest.mark.parametrize("name", ["juggle.webm", "juggle.avi"])
def test_cut_off_files_without_an_mp4_index(name: str, shared_data: Path, tmp_path: Path) -> None:
    data = (shared_data / "videos" / "robust" / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: len(data) // 2])
    frames, warnings = read(path)
    count, lost = len(frames), 72 - len(frames)
    assert 15 < count < 60
    assert warnings[0] == (
        f"{name}: damaged from frame {count} ({count / 24:.2f} s) on; the header announces 72 frames: {lost} lost"
    )


# --- refusals -----------------------------------------------------------------------------------------


def bad_zero(path: Path) -> str:
    path.write_bytes(b"")
    return r"bad.mp4: the file is empty \(0 bytes\)"


def bad_text(path: Path) -> str:
    path.write_text("hello\n" * 1000)
    return "bad.mp4: not a video that can be read"


def bad_noise(path: Path) -> str:
    path.write_bytes(np.random.default_rng(0).bytes(100_000))
    return "bad.mp4: not a video that can be read"


def bad_playlist(path: Path) -> str:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n")
    return "bad.mp4: (is a playlist|not a video)"


def bad_sound(path: Path) -> str:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 8000, "NONE", ""))
        sound.writeframes(bytes(16000))
    return "bad.mp4: sound only, no video"


def bad_bomb(path: Path) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))
    return r"bad.mp4: no picture in it can be decoded \(damaged, or too large\)"


def bad_missing(path: Path) -> str:
    return "bad.mp4: no such file or folder"


def bad_folder(path: Path) -> str:
    path.mkdir()
    return "bad.mp4: a folder without images"


def bad_pipe(path: Path) -> str:
    os.mkfifo(path)
    return "bad.mp4: not a regular file"


@pytest.mark.parametrize(
    "spoil",
    [bad_zero, bad_text, bad_noise, bad_playlist, bad_sound, bad_bomb, bad_missing, bad_folder, bad_pipe],
)
def test_one_clear_line_where_there_is_no_video(
    spoil: Callable[[Path], str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    message = spoil(tmp_path / "bad.mp4")
    with pytest.raises(InputError, match=message) as caught:
        open_media(tmp_path / "bad.mp4")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_mp4_without_its_index(make_video: MakeVideo) -> None:
    path = make_video("cut.mp4")  # not faststart: the index stands at the end
    path.write_bytes(path.read_bytes().partition(b"moov")[0][:-4])
    with pytest.raises(InputError, match=r"cut.mp4: no index \(moov\) in this mp4/mov"):
        open_media(path)


def test_text_that_ffmpeg_would_draw(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello\n" * 1000)
    with pytest.raises(InputError, match=r"a\.txt: not a video"):
        open_media(tmp_path / "a.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(make_video: MakeVideo) -> None:
    path = make_video("a.mp4")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        open_media(path)
