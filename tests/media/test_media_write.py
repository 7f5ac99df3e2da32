"""Writing videos: what went in comes out of other readers, or nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from posecli.errors import OutputError
from posecli.media import VideoWriter, open_media


def grey(level: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), level, np.uint8)


def test_uneven_times_and_pictures_survive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = 7.5 + np.concatenate([[0], np.cumsum(rng.uniform(0.004, 0.4, 39))])
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as video:
        for i, time_s in enumerate(times):
            video.write(grey(6 * i), time_s)
    frames = list(open_media(tmp_path / "a.mp4"))
    np.testing.assert_allclose([f.time_s for f in frames], times - times[0], atol=6e-6)
    np.testing.assert_allclose([f.image.mean() for f in frames], [6 * i for i in range(40)], atol=3)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.start_time == 0 and stream.duration is not None and stream.time_base is not None
        shown = float(stream.duration * stream.time_base)  # the last is shown as long as the one before it
        assert shown == pytest.approx(2 * times[-1] - times[-2] - times[0], abs=1e-4)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("rate", [24, 30000 / 1001, 59.94, 60])
def test_common_rates(rate: float, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (32, 32), preset="ultrafast") as video:
        for i in range(200):
            video.write(grey(i, (32, 32)), i / rate)
    times = [f.time_s for f in open_media(tmp_path / "a.mp4")]
    np.testing.assert_allclose(times, np.arange(200) / rate, atol=6e-6)


def test_colours_and_odd_sizes_as_opencv_reads_them(tmp_path: Path) -> None:
    colour = (40, 90, 200)
    with VideoWriter(tmp_path / "a.mp4", (33, 21)) as video:
        for i in range(3):
            video.write(np.full((21, 33, 3), colour, np.uint8), i / 10)
    ok, image = cv2.VideoCapture(str(tmp_path / "a.mp4")).read()
    assert ok and image.shape == (22, 34, 3)
    assert np.abs(image.astype(int) - colour).max() <= 3


def test_one_picture(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as video:
        video.write(grey(9), 3.0)
    source = open_media(tmp_path / "a.mp4")
    assert [f.time_s for f in source] == [0.0]
    assert source.info.duration_s == pytest.approx(1 / 30, abs=1e-4)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("older")
    with pytest.raises(error), VideoWriter(tmp_path / "a.mp4", (64, 48)) as video:
        video.write(grey(1), 0.0)
        assert len(list(tmp_path.iterdir())) == 2
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "older"


def test_no_pictures_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no pictures"), VideoWriter(tmp_path / "a.mp4", (64, 48)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such folder; create it first"):
        VideoWriter(tmp_path / "none" / "a.mp4", (64, 48))


def test_wrong_pictures_are_the_callers_mistake(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="times must increase"),
        VideoWriter(tmp_path / "a.mp4", (64, 48)) as video,
    ):
        video.write(grey(1), 1.0)
        with pytest.raises(ValueError, match="expected uint8"):
            video.write(grey(1, (48, 64)), 2.0)
        video.write(grey(1), 1.0)


FULL_DISK = """
import resource, signal, sys
import numpy as np
from posecli.errors import OutputError
from posecli.media import VideoWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing past the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
noise = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], (160, 120), preset="ultrafast") as video:
        for i in range(40):
            video.write(noise.integers(0, 255, (120, 160, 3), dtype=np.uint8), i / 30)
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", ["early", "last bytes"])
def test_full_disk(limit: str, tmp_path: Path) -> None:
    def run(size: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.mp4"), str(size)]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    size = 50_000
    if limit == "last bytes":
        assert run(10**8).stdout == ""
        size = (tmp_path / "a.mp4").stat().st_size - 10
        (tmp_path / "a.mp4").unlink()
    done = run(size)
    assert done.stdout == f"{tmp_path / 'a.mp4'}: cannot be written (File too large); choose another --out.\n"
    assert done.stderr == "" and list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_file_is_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        assert list(tmp_path.iterdir())  # the part is there already
        raise KeyboardInterrupt

    monkeypatch.setattr(VideoWriter, "_add_stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        VideoWriter(tmp_path / "a.mp4", (64, 48))
    assert not list(tmp_path.iterdir())
