"""Every clip of the shared data through the program, ending as it should.

The expected counts and sizes are OpenCV's, from the manifest that came with the clips; the expected times are read
here, packet by packet, with PyAV.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from posecli.cli.main import main
from posecli.errors import ExitCode
from posecli.export.npz import load_npz


@dataclass(frozen=True)
class Case:
    """A clip and how it ends. `frames` where OpenCV's count is not the truth, `lost`: the warning about them. `sides`:
    the detector takes left for right in it now and then."""

    clip: str
    code: ExitCode = ExitCode.OK
    frames: int | None = None
    lost: str | None = None
    sides: bool = False


CASES = [
    Case("opencap_STS/video.mp4"),  # an edit list hides 43 of the 841 frames in the file
    Case("opencap_walk_ts/video.mp4"),  # likewise, 90 of 179
    Case("sam2_juggle/video.mp4"),
    Case("p2s_single_cam2/cam02_letterbox_vp9.mp4", sides=True),
    Case("p2s_multi_cam2/cam02.mp4", sides=True),
    Case("temuge_sit_stand/video.mp4"),
    Case("intel_car_noperson/video.mp4", code=ExitCode.NOBODY),
    Case("robust/black_3s.mp4", code=ExitCode.NOBODY),
    Case("robust/zero_byte.mp4", code=ExitCode.INPUT),
    Case("robust/juggle_1frame.mp4"),
    Case("robust/juggle_20frames.mp4"),
    Case("robust/juggle_rotmeta90_5s.mp4"),
    Case("robust/juggle_vfr_6s.mp4"),  # 24, 8, 24 frames/s
    Case("robust/juggle.avi"),
    Case("robust/juggle.webm"),  # its header holds no count
    Case("robust/jüggle with space (1) 人.mp4"),
    # OpenCV gives up two frames earlier; ours are bit by bit those of the whole clip (tests/media).
    Case(
        "robust/truncated_faststart_45pct.mp4",
        frames=79,
        lost="damaged from frame 79 (3.29 s) on; the header announces 247 frames: 168 lost",
    ),
]


# A BVH has one frame time: of these it is resampled. The second lacks a frame before its last one.
UNEVEN = ("robust/juggle_vfr_6s.mp4", "robust/jüggle with space (1) 人.mp4")


def container_times(video: Path) -> np.ndarray:
    """Times of all shown frames in seconds after the first one, as the container has them."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stamps = sorted(
            p.pts for p in container.demux(stream) if p.pts is not None and p.size and not p.is_discard
        )
        assert stream.time_base is not None
        return (np.array(stamps, dtype=np.float64) - stamps[0]) * float(stream.time_base)


def test_no_clip_is_left_out(shared_data: Path) -> None:
    videos = shared_data / "videos"
    clips = {str(p.relative_to(videos)) for p in videos.rglob("*") if p.suffix in (".mp4", ".avi", ".webm")}
    assert clips == {case.clip for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.clip)
def test_video(case: Case, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, out = shared_data / "videos" / case.clip, tmp_path / "out"
    code = main(["lift", str(video), "--out", str(out), "--export", "npz,bvh"])
    errors = capsys.readouterr().err.splitlines()

    assert code == case.code
    if code != ExitCode.OK:
        assert [line for line in errors if line.startswith("error: ")] == errors[-1:]
        assert video.name in errors[-1]
        assert not out.exists()
        return

    assert {p.name for p in out.iterdir()} == {video.stem + e for e in (".npz", ".bvh", ".detections.h5")}
    with np.load(out / f"{video.stem}.npz", allow_pickle=False) as arrays:
        settings = json.loads(str(arrays["settings_json"]))
        times, valid, poses = arrays["timestamps_s"], arrays["valid"], arrays["joints_3d"]
        width, height = arrays["image_size"].tolist()

    manifest = json.loads((shared_data / "videos/manifest.json").read_text())[case.clip]
    expected = container_times(video)
    shown = case.frames or manifest["frames_decoded_opencv"]
    assert len(times) == shown
    np.testing.assert_allclose(times, expected[:shown], rtol=0, atol=1e-6)
    assert [height, width] == manifest["opencv_frame_hw"]

    assert valid.all()  # there is somebody in every picture
    assert np.isfinite(poses).all()
    warnings = [line.removeprefix("warning: ") for line in errors if line.startswith("warning: ")]
    assert warnings == settings["warnings"]
    swaps = [line for line in warnings if "look exchanged in frames" in line]
    assert bool(swaps) == case.sides
    assert warnings == ([] if case.lost is None else [f"{video.name}: {case.lost}"]) + swaps
    assert len(load_npz(out / f"{video.stem}.npz")) == shown
    assert f"Frames: {shown}\n" in (out / f"{video.stem}.bvh").read_text() or case.clip in UNEVEN
