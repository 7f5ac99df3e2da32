"""The embedded detector against motion capture, and on what users film: nobody, turned pictures, any size."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from detect_runs import as_frames

from posecli.detect import BlazePose
from posecli.detect.blazepose import BlazePoseSettings
from posecli.detect.blazepose_networks import anchors, decode_boxes, refine
from posecli.detect.roi import Roi
from posecli.errors import InputError, UsageError
from posecli.media import Frame, open_media
from posecli.skeleton import LIMBS
from posecli.weights.fetch import BlazePoseFiles, blazepose_files

LIMB_ROWS = list(LIMBS)


@pytest.fixture(scope="module")
def whole_walk(blazepose: BlazePose, shared_data: Path):
    source = open_media(shared_data / "videos" / "opencap_walk_ts" / "video.mp4")
    counts: list[int] = []
    found = blazepose.detect(source, (source.info.width, source.info.height), on_frame=counts.append)
    assert counts == list(range(1, 90))
    return found


def test_walk_agrees_with_motion_capture(whole_walk, shared_data: Path) -> None:
    """mediapipe 0.10.21 on the same frames: 89 of 89, median 7.2 px (scripts/compare_mediapipe.py)."""
    with np.load(shared_data / "videos" / "opencap_walk_ts" / "ref.npz", allow_pickle=False) as truth:
        visible = truth["valid"] & truth["in_image"] if truth["valid"].ndim == 2 else truth["in_image"]
        distance = np.linalg.norm(whole_walk.to_h36m17().xy - truth["uv_px"], axis=-1)
        world = whole_walk.to_h36m17().world * 1000
        joints = truth["joints_cam_mm"]
    assert whole_walk.found.sum() == 89
    assert np.median(distance[:, LIMB_ROWS][visible[:, LIMB_ROWS]]) < 7.8
    world, joints = (p - p[:, [1, 4]].mean(axis=1, keepdims=True) for p in (world, joints))
    error = np.linalg.norm(world - joints, axis=-1)[:, LIMB_ROWS]
    assert np.nanmean(error) < 105  # the package: 101.0 mm; a wrong axis or side costs hundreds


def test_keypoints_are_complete(whole_walk, blazepose: BlazePose) -> None:
    assert whole_walk.image_size == (720, 1280)
    assert whole_walk.xy.shape == (89, 33, 2) and whole_walk.world.shape == (89, 33, 3)
    assert whole_walk.scores.min() >= 0 and whole_walk.scores.max() <= 1
    assert whole_walk.provenance["weights_hash"] == blazepose.weights_hash
    assert np.median(whole_walk.scores[:, [11, 12, 23, 24]]) > 0.95  # shoulders and hips in plain sight


def test_detection_runs_only_while_nobody_is_tracked(
    blazepose: BlazePose, walk: list[Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person, then nobody, then a person: looked for once, in every empty frame, and once more."""
    black = np.zeros_like(walk[0].image)
    images = [f.image for f in walk[:8]] + [black] * 4 + [f.image for f in walk[20:28]]
    calls = 0
    find = blazepose._find

    def counted(image: np.ndarray, view: Roi | None = None):
        nonlocal calls
        calls += 1
        return find(image, view)

    monkeypatch.setattr(blazepose, "_find", counted)
    seen = blazepose.detect(as_frames(images), (720, 1280))
    assert seen.found.tolist() == [True] * 8 + [False] * 4 + [True] * 8
    assert calls == 1 + 4 + 1
    assert np.isnan(seen.xy[8:12]).all() and np.isnan(seen.world[8:12]).all()
    assert (seen.scores[8:12] == 0).all() and np.isfinite(seen.xy[12:]).all()


@pytest.mark.parametrize(
    ("clip", "first", "last"),
    [("robust/black_3s.mp4", 0, 20), ("intel_car_noperson/video.mp4", 190, 215)],
    ids=["black", "cars, among them one that the released thresholds take for a person"],
)
def test_nobody(blazepose: BlazePose, shared_data: Path, clip: str, first: int, last: int) -> None:
    source = open_media(shared_data / "videos" / clip)
    seen = blazepose.detect(islice(iter(source), first, last), (source.info.width, source.info.height))
    assert len(seen) == last - first and not seen.found.any()


def test_no_frames_at_all(blazepose: BlazePose) -> None:
    seen = blazepose.detect(iter(()), (640, 480))
    assert seen.xy.shape == (0, 33, 2)


@pytest.mark.parametrize(
    ("affine", "size"),
    [
        (cv2.getRotationMatrix2D((560, 700), 30, 1.0), (720, 1280)),
        (np.array([[0.5, 0, 0], [0, 0.5, 0]]), (360, 640)),
        (np.array([[0.3, 0, 0], [0, 0.3, 0]]), (217, 385)),
        (np.array([[0.9, 0, 300], [0, 0.9, -250]]), (1280, 720)),
    ],
    ids=["turned by 30 degrees", "half the size", "odd sides", "in a landscape picture"],
)
def test_joints_move_with_the_picture(
    blazepose: BlazePose, walk: list[Frame], affine: np.ndarray, size: tuple[int, int]
) -> None:
    """The same person in a turned, scaled, shifted picture: the same joints, moved likewise.

    Much smaller in the picture, the released networks themselves mistake the person's direction.
    """
    straight = blazepose.detect(walk[:10], (720, 1280))
    moved = blazepose.detect(as_frames(cv2.warpAffine(f.image, affine, size) for f in walk[:10]), size)
    assert moved.found.all()
    expected = straight.xy @ affine[:, :2].T + affine[:, 2]
    distance = np.linalg.norm(moved.xy - expected, axis=-1) / np.sqrt(np.linalg.det(affine[:, :2]))
    assert np.median(distance) < 12


def test_anchors_cover_the_input() -> None:
    """2254 anchors: 28 × 28 × 2, 14 × 14 × 2, 7 × 7 × 6, rows of cells from the top left."""
    points = anchors()
    assert points.shape == (28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6, 2)
    np.testing.assert_allclose(
        points[[0, 1, 2]], [[0.5 / 28, 0.5 / 28]] * 2 + [[1.5 / 28, 0.5 / 28]], rtol=1e-6
    )
    np.testing.assert_allclose(points[1568], [0.5 / 14, 0.5 / 14], rtol=1e-6)
    np.testing.assert_allclose(
        points[[1960, 1965, 1966]], [[0.5 / 7, 0.5 / 7]] * 2 + [[1.5 / 7, 0.5 / 7]], rtol=1e-6
    )
    np.testing.assert_allclose(points.mean(axis=0), 0.5, atol=1e-6)


def test_boxes_decode_about_their_anchor() -> None:
    raw = np.array([[22.4, -22.4, 44.8, 67.2, 0, 0, 11.2, 0, 0, 112, 224, 0]], np.float32)
    low, high, hips, rim, shoulders, upper = decode_boxes(raw, np.array([[0.5, 0.5]], np.float32))[0]
    np.testing.assert_allclose([low, high], [[0.5, 0.25], [0.7, 0.55]], atol=1e-6)
    np.testing.assert_allclose(
        [hips, rim, shoulders, upper], [[0.5, 0.5], [0.55, 0.5], [0.5, 1.0], [1.5, 0.5]], atol=1e-6
    )


def test_refine_moves_to_the_centre_of_probability() -> None:
    logits = np.full((64, 64, 3), -30.0, np.float32)
    logits[20:23, 30:33, 0] = 2.0  # a block about (31, 21)
    logits[20, 30, 1] = -1.0  # too unsure to count
    logits[20, 30, 2] = 2.0
    cells = np.array([[29.6, 22.4], [29.6, 22.4], [70.0, 20.0]], np.float32)  # the last one outside
    np.testing.assert_allclose(refine(cells, logits), [[31, 21], [29.6, 22.4], [70, 20]], atol=1e-4)


def test_thresholds_are_probabilities() -> None:
    with pytest.raises(UsageError, match=r"min_presence must lie between 0 and 1\. Got 1\.5"):
        BlazePoseSettings(min_presence=1.5)


def test_a_file_that_is_no_network(blazepose: BlazePose, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"not a network" * 100)
    with pytest.raises(InputError, match="not a TFLite network"):
        BlazePose(files=BlazePoseFiles(detection=bad, landmark=blazepose_files(offline=True).landmark))
