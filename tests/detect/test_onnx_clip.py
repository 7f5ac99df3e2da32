"""`posecli lift` with an ONNX network, on a real clip whose person wears the discs that the network finds."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posecli.cli.main import main
from posecli.detect import BlazePose, load_detections
from posecli.media.frames import Frame
from posecli.skeleton import BLAZEPOSE33, COCO17

if find_spec("onnxruntime") is None or find_spec("onnx") is None:
    pytest.skip("onnxruntime and onnx are not installed: .ci/onnx runs these", allow_module_level=True)

from onnx_models import PEOPLE, Detector, RtmPose, export, paint

FRAMES = 24
FACE = np.array(
    [(0, 0), (22, -22), (-22, -22), (46, -8), (-46, -8)]
)  # nose, eyes, ears: discs apart from one another


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    export(RtmPose(), folder / "rtmpose.onnx", ["simcc_x", "simcc_y"])
    export(Detector("dets"), folder / "yolox.onnx", ["dets", "labels"], (640, 640))
    return folder


@pytest.fixture(scope="module")
def clip(
    blazepose: BlazePose, walk: list[Frame], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, NDArray[np.float32]]:
    """A folder of pictures without loss, and where the discs are, (T, 17, 2) pixels.

    Two squares in opposite corners of the person's box are what the person detector finds.
    """
    folder = tmp_path_factory.mktemp("walk")
    size = walk[0].image.shape[1::-1]
    seen = blazepose.detect(iter(islice(walk, FRAMES)), size).xy  # (T, 33, 2)
    xy = seen[:, [BLAZEPOSE33.index(name) for name in COCO17.joint_names]]
    xy[:, :5] = xy[:, :1] + FACE
    for number, (frame, joints) in enumerate(zip(walk, xy, strict=False)):
        image = frame.image.copy()
        (left, top), (right, bottom) = joints.min(axis=0) - 30, joints.max(axis=0) + 30
        for x, y in ((left, top), (right, bottom)):
            cv2.rectangle(
                image, (int(x) - 6, int(y) - 6), (int(x) + 6, int(y) + 6), PEOPLE[0, ::-1].tolist(), -1
            )
        paint(image, joints, 12)
        cv2.imwrite(str(folder / f"{number:03d}.png"), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return folder, xy


@pytest.mark.parametrize("people", [False, True], ids=["blazepose", "yolox"])
def test_lift(
    models: Path,
    clip: tuple[Path, NDArray[np.float32]],
    tmp_path: Path,
    people: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is found is what was painted; SimCC's vectors are kept; the file is lifted again to the same motion."""
    folder, truth = clip
    finder = ["--det-people", str(models / "yolox.onnx")] if people else []
    arguments = ["--detector", "onnx", "--det-model", str(models / "rtmpose.onnx"), *finder, "--fps", "30"]
    assert main(["lift", str(folder), *arguments, "--out", str(tmp_path), "--export", "npz"]) == 0, (
        capsys.readouterr()
    )

    (file,) = tmp_path.glob("*.detections.h5")
    found = load_detections(file)
    keypoints, heatmaps = found.keypoints, found.heatmaps
    assert keypoints.found.all() and keypoints.skeleton == COCO17
    apart = np.linalg.norm(keypoints.xy - truth, axis=2)
    assert np.median(apart) < 0.6  # a crop pixel is 3 to 4 of the picture's
    assert np.quantile(apart, 0.9) < 3  # where a limb's disc lies over another's, some of one is not seen
    assert np.median(keypoints.scores) == pytest.approx(0.9, abs=0.01)
    assert heatmaps is not None and len(heatmaps) == FRAMES and heatmaps.format.layout == "simcc"
    x, y = heatmaps.read()
    peaks = np.stack([x.argmax(axis=2), y.argmax(axis=2)], axis=2)  # (T, 17, 2) cells
    back = np.einsum("tij,tkj->tki", heatmaps.to_image[:, :, :2], peaks) + heatmaps.to_image[:, None, :, 2]
    assert np.abs(back - keypoints.xy).max() < 2.5
    settings = keypoints.provenance["settings"]
    assert settings["finder"]["name"] == ("onnx" if people else "blazepose")
    assert json.dumps(settings["padding"]) == "1.25" and settings["provider"] in (
        "CPUExecutionProvider",
        "CUDAExecutionProvider",
    )

    assert main(["lift", str(file), "--out", str(tmp_path / "again"), "--export", "npz"]) == 0, (
        capsys.readouterr()
    )
    first, again = (np.load(next(place.glob("*.npz"))) for place in (tmp_path, tmp_path / "again"))
    poses = [name for name in first.files if first[name].ndim == 3 and first[name].shape[1:] == (17, 3)]
    assert poses
    for name in poses:
        np.testing.assert_array_equal(first[name], again[name])
