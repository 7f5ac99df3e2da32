"""Every tool's real layout gives the points that were written, under the right names and at the right times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from foreign_files import FPS, FRAMES, LAYOUTS, SIZE, TIMES, points

from posecli.detect.foreign import Timing, guess, load_foreign
from posecli.detect.foreign.names import needed
from posecli.detect.keypoints import Keypoints2D


def made(layout: str, folder: Path) -> tuple[Path, Keypoints2D]:
    """The file, and the same points as our own keypoints."""
    _, skeleton, write, keeps_scores = LAYOUTS[layout]
    person = points(skeleton)
    scores = person[..., 2] if keeps_scores else np.ones_like(person[..., 2])
    everywhere = np.ones(FRAMES, dtype=bool)
    return write(folder, person), Keypoints2D(person[..., :2], scores, everywhere, TIMES, skeleton, SIZE)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_points(layout: str, tmp_path: Path) -> None:
    path, ours = made(layout, tmp_path)
    read = load_foreign(path, "auto", Timing(fps=FPS, size=SIZE))
    joints = needed(ours.skeleton)
    assert read.skeleton == ours.skeleton and read.image_size == SIZE and read.found.all()
    np.testing.assert_array_equal(read.xy[:, joints], ours.xy[:, joints])
    np.testing.assert_allclose(read.scores[:, joints], ours.scores[:, joints], atol=1e-6)
    np.testing.assert_allclose(read.timestamps_s, TIMES, atol=1e-12)
    np.testing.assert_array_equal(read.to_h36m17().xy, ours.to_h36m17().xy)
    assert read.provenance["warnings"] == []
    assert read.provenance["person"]["count"] == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_format_is_seen_from_the_content(layout: str, tmp_path: Path) -> None:
    path, _ = made(layout, tmp_path)
    if path.is_file():
        path = path.rename(tmp_path / "renamed.dat")
    assert guess(path) == {"halpe 136": "alphapose"}.get(layout, LAYOUTS[layout][0])
    load_foreign(path, LAYOUTS[layout][0], Timing(fps=FPS, size=SIZE))  # and by its name
