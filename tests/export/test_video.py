"""The side-by-side video: times, sizes, who is drawn where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from posecli.errors import InputError
from posecli.export.video import layout, save_video
from posecli.media.draw import LEFT, RIGHT, Stage, View, draw_keypoints
from posecli.media.read import open_media
from posecli.media.write import VideoWriter
from posecli.motion import Motion
from posecli.skeleton import H36M17

Make = Callable[..., Motion]
TIMES = np.array([0.0, 0.04, 0.08, 0.16, 0.2, 0.3])


def near(image: np.ndarray, colour: tuple[int, int, int], within: int = 60) -> np.ndarray:
    """Where (y, x) an image is about of a colour's hue, however dark."""
    pixels = image.astype(float)
    brightest = np.maximum(pixels.max(axis=-1, keepdims=True), 1)
    wanted = np.array(colour) / max(colour) * 255
    alike = (np.abs(pixels / brightest * 255 - wanted) < within).all(axis=-1) & (brightest[..., 0] > 110)
    return np.argwhere(alike)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six grey pictures at uneven times."""
    with VideoWriter(tmp_path / "clip.mp4", (320, 240)) as video:
        for time in TIMES:
            video.write(np.full((240, 320, 3), 128, np.uint8), float(time))
    return tmp_path / "clip.mp4"


@pytest.fixture
def motion(t_pose: np.ndarray, make_motion: Make) -> Motion:
    joints = np.stack([t_pose] * 6)
    valid = np.array([True, True, False, True, True, True])
    joints[~valid] = np.nan
    points = np.where(valid[:, None, None], t_pose[:, :2] * 100 + (160, 120), np.nan).astype(np.float32)
    return make_motion(joints, timestamps_s=TIMES, valid=valid, keypoints_2d=points, image_size=(320, 240))


@pytest.mark.parametrize(
    ("source", "panel", "height"),
    [
        ((1280, 720), (1280, 720), 720),
        ((1920, 1080), (1280, 720), 720),
        ((720, 1280), (406, 720), 720),
        ((320, 240), (640, 480), 480),
        ((3840, 1080), (1280, 360), 480),
        ((641, 481), (640, 480), 480),
        ((1, 1), (480, 480), 480),
    ],
)
def test_layout(source: tuple[int, int], panel: tuple[int, int], height: int) -> None:
    got = layout(*source)
    assert got[1] == height and np.abs(np.subtract(got[0], panel)).max() <= 2
    assert all(side % 2 == 0 for side in (*got[0], got[1]))


def test_times_are_the_sources(tmp_path: Path, clip: Path, motion: Motion) -> None:
    calls: list[int] = []
    assert save_video(motion, open_media(clip), tmp_path / "out.mp4", calls.append) == 6
    assert calls == [1, 2, 3, 4, 5, 6]
    frames = list(open_media(tmp_path / "out.mp4"))
    np.testing.assert_allclose([f.time_s for f in frames], TIMES, atol=2e-5)
    assert frames[0].image.shape == (480, 640 + 480, 3)


def test_who_is_drawn_where(tmp_path: Path, clip: Path, motion: Motion) -> None:
    """Somebody facing the camera has the left arm on the right of both pictures; nobody means nobody."""
    save_video(motion, open_media(clip), tmp_path / "out.mp4")
    frames = [f.image for f in open_media(tmp_path / "out.mp4")]
    source, stage = frames[0][:, :640], frames[0][60:, 640:]  # below the legend
    for half in (source, stage):
        left, right = near(half, LEFT), near(half, RIGHT)
        assert len(left) > 100 and len(right) > 100
        assert np.median(left[:, 1]) > np.median(right[:, 1]) + 20
    # The wrist of the T-pose lies at pixel (230, 70) of 320×240, and the picture is twice as large.
    assert np.abs(near(source, LEFT) - (140, 460)).sum(axis=1).min() < 6
    source, stage = frames[2][:, :640], frames[2][60:, 640:]
    for half in (source, stage):
        assert len(near(half, LEFT)) == len(near(half, RIGHT)) == 0


def test_only_the_rows_of_the_motion(
    tmp_path: Path, clip: Path, t_pose: np.ndarray, make_motion: Make
) -> None:
    """Lifted with --start and --end, drawn over the whole file: the rest is skipped."""
    part = make_motion(np.stack([t_pose] * 3), timestamps_s=TIMES[2:5])
    assert save_video(part, open_media(clip), tmp_path / "out.mp4") == 3


def test_another_video_is_refused(tmp_path: Path, clip: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    other = make_motion(np.stack([t_pose] * 3), timestamps_s=np.array([50.0, 51.0, 52.0]))
    with pytest.raises(InputError, match="has no picture at the times of this motion"):
        save_video(other, open_media(clip), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == [clip]


def test_view() -> None:
    """What the view looks at is in the middle, up is up, +x is right, +z comes nearer."""
    view = View(400, reach=1.0, height=1.0, azimuth_deg=0, elevation_deg=0)
    pixels, depth = view.project(np.array([[0, 1, 0], [0.1, 1, 0], [0, 1.1, 0], [0, 1, 0.5]]))
    step = view.focal * 0.1 / view.distance
    np.testing.assert_allclose(pixels, [[200, 200], [200 + step, 200], [200, 200 - step], [200, 200]])
    np.testing.assert_allclose(depth, view.distance - np.array([0, 0, 0, 0.5]))
    # A sphere of the stated reach touches the border and does not cross it.
    angles = np.linspace(0, 2 * np.pi, 100)
    for turned in (View(400, 1.0, 1.0), View(400, 1.0, 1.0, 200, 40)):
        ring = np.stack([np.cos(angles), 1 + np.sin(angles), 0 * angles], axis=-1)
        assert turned.project(ring)[0].min() >= 0 and turned.project(ring)[0].max() <= 400


def test_grid_travels_with_the_person() -> None:
    """The floor repeats every half metre, and in between it does not."""
    stage = Stage(View(200, 1.0, 0.9))
    np.testing.assert_array_equal(stage.empty((0.0, 0.0)), stage.empty((0.5, -1.0)))
    assert (stage.empty((0.0, 0.0)) != stage.empty((0.2, 0.0))).any()


def test_points_from_nowhere_do_no_harm() -> None:
    """NaN, infinite and absurd points are left out or clipped; the picture stays as it is elsewhere."""
    image = np.zeros((100, 100, 3), np.uint8)
    points = np.full((17, 2), np.nan, np.float32)
    points[:3] = [[np.inf, 0], [1e30, 1e30], [-1e30, 5]]
    draw_keypoints(image, points, np.full(17, np.nan), H36M17)
    stage = Stage(View(64, 1.0, 0.9))
    stage.draw(stage.empty(), np.full((17, 3), 1e20), np.full(17, 1e20), H36M17)
    stage.draw(stage.empty(), np.full((17, 3), np.nan), np.full(17, np.nan), H36M17)
