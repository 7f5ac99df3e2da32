"""Heatmaps of several tracks: each comes out as it went in, in the order of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posecli.detect.heatmaps import HeatmapFormat, HeatmapRecord
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.store import DetectionsWriter, load_detections
from posecli.detect.track_heatmaps import TrackHeatmaps
from posecli.errors import OutputError
from posecli.skeleton import COCO17

FRAMES = 50
TABLE = np.zeros((FRAMES, 17, 2), np.float32)
KEYPOINTS = Keypoints2D(
    TABLE, np.ones((FRAMES, 17), np.float32), np.ones(FRAMES, bool), np.arange(FRAMES) / 30, COCO17, (64, 48)
)


def formats() -> list[HeatmapFormat]:
    names = COCO17.joint_names
    return [HeatmapFormat(names, "logit", "blazepose"), HeatmapFormat(names, "probability", "simcc", "simcc")]


def values(format: HeatmapFormat, frame: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(frame)
    shapes = [(17, 12, 10)] if format.layout == "grid" else [(17, 20), (17, 24)]
    return tuple(rng.uniform(0, 1, shape).astype(np.float32) for shape in shapes)


@pytest.mark.parametrize("format", formats(), ids=["grid", "simcc"])
@pytest.mark.parametrize("tracks", [(0,), (0, 2), (2, 0, 5)])
def test_tracks_become_one(format: HeatmapFormat, tracks: tuple[int, ...], tmp_path: Path) -> None:
    """Frame f belongs to track f mod 3 (5 for 1), so that stretches interleave; two frames are put in another order."""
    target, numbers = tmp_path / "x.detections.h5", {0: 0, 1: 5, 2: 2}
    owner = [numbers[(f // 7) % 3] for f in range(FRAMES)]
    order = np.array(COCO17.mirror)
    kept = [f for f in range(FRAMES) if owner[f] in tracks]
    with TrackHeatmaps(target) as heatmaps:
        for frame in range(FRAMES):
            affine = np.array([[1.0, 0, frame], [0, 1, 0]])
            heatmaps.append(owner[frame], HeatmapRecord(format, frame, values(format, frame), affine))
            heatmaps.close_others({0, 2, 5})
        assert len(list(tmp_path.iterdir())) == 1
        with DetectionsWriter(target, {}) as writer:
            writer.take(heatmaps, tracks, {kept[3]: order, kept[-1]: order})
            writer.finish(KEYPOINTS)
    assert [p.name for p in tmp_path.iterdir()] == ["x.detections.h5"]
    with DetectionsWriter(tmp_path / "plain.h5", {}) as writer:
        for frame in kept:
            affine = np.array([[1.0, 0, frame], [0, 1, 0]])
            turned = order if frame in (kept[3], kept[-1]) else np.arange(17)
            given = tuple(v[turned] for v in values(format, frame))
            writer.append(HeatmapRecord(format, frame, given, affine))
        writer.finish(KEYPOINTS)
    got, wanted = (load_detections(p).heatmaps for p in (target, tmp_path / "plain.h5"))
    assert got is not None and wanted is not None
    assert got.frames.tolist() == kept and got.format == wanted.format
    np.testing.assert_array_equal(got.to_image, wanted.to_image)
    for ours, theirs in zip(got.read(), wanted.read(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    if format.layout == "grid":
        np.testing.assert_array_equal(got.moments, wanted.moments)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TrackHeatmaps(tmp_path / "x.h5"):
        raise KeyboardInterrupt
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match="a file lies where a folder is needed"),
        TrackHeatmaps(tmp_path / "file/x.h5"),
    ):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
