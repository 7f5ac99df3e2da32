"""People found by ONNX detectors: rectangles painted into a picture must come back as they were painted."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from posecli.detect.network import Box
from posecli.detect.onnx_people import RTMDET, OnnxFinder
from posecli.detect.roi import Roi
from posecli.errors import InputError, UsageError

if find_spec("onnxruntime") is None or find_spec("onnx") is None:
    pytest.skip("onnxruntime and onnx are not installed: .ci/onnx runs these", allow_module_level=True)

from onnx_models import PEOPLE, Detector, constant, export

OUTPUTS = {
    "dets": ["dets", "labels"],
    "boxes": ["boxes", "scores"],
    "yolox": ["output"],
    "yolox-cells": ["output"],
}
FIRST, SECOND = Box(450, 180, 810, 900), Box(1200, 300, 1401, 960)  # surer and less sure
Finders = Callable[[str], OnnxFinder]


@pytest.fixture(scope="module")
def finders(tmp_path_factory: pytest.TempPathFactory) -> Finders:
    folder = tmp_path_factory.mktemp("people")
    for form, names in OUTPUTS.items():
        export(Detector(form), folder / f"yolox-{form}.onnx", names, (640, 640))
    return lambda form: OnnxFinder(folder / f"yolox-{form}.onnx", threads=1)


def picture(size: tuple[int, int] = (1920, 1080), *boxes: Box) -> NDArray[np.uint8]:
    """Noise without the colours of people; the first box in the first colour, and so on."""
    image = np.random.default_rng(0).integers(30, 200, (size[1], size[0], 3)).astype(np.uint8)
    for box, colour in zip(boxes or (FIRST, SECOND), PEOPLE, strict=False):
        left, top, right, bottom = (int(side) for side in (box.left, box.top, box.right, box.bottom))
        image[max(top, 0) : bottom, max(left, 0) : right] = colour[::-1]
    return image


def sides(boxes: list[Box]) -> NDArray[np.float64]:
    return np.array([(box.left, box.top, box.right, box.bottom) for box in boxes])


@pytest.mark.parametrize("form", OUTPUTS)
def test_every_form_of_answer(finders: Finders, form: str) -> None:
    """Twice each but once: what overlaps is one person, and what is no person is left out."""
    found = finders(form).boxes(picture())
    np.testing.assert_allclose(
        sides(found), sides([FIRST, SECOND]), atol=3.01
    )  # three pixels a pixel of the input


@pytest.mark.parametrize("size", [(720, 1280), (640, 640), (320, 240)])
def test_sizes_of_pictures(finders: Finders, size: tuple[int, int]) -> None:
    person = Box(0.25 * size[0], 0.125 * size[1], 0.5 * size[0], 0.875 * size[1])
    (found,) = finders("dets").boxes(picture(size, person))
    np.testing.assert_allclose(sides([found]), sides([person]), atol=max(size) / 640 + 0.01)


@pytest.mark.parametrize("form", ["dets", "yolox-cells"])
def test_nobody(finders: Finders, form: str) -> None:
    assert finders(form).boxes(picture((640, 480), Box(0, 0, 0.1, 0.1))) == []


def test_part_of_the_picture(finders: Finders) -> None:
    """A square about the second, at 800 / 640 pixels a pixel, and one that reaches beyond the picture."""
    view = Roi(1300, 640, 800)
    (found,) = finders("dets").boxes(picture(), view)
    np.testing.assert_allclose(sides([found]), sides([SECOND]), atol=1.26)
    both = finders("dets").boxes(picture(), Roi(960, 540, 2400))
    np.testing.assert_allclose(sides(both), sides([FIRST, SECOND]), atol=3.76)


def test_rtmdet_values(tmp_path: Path) -> None:
    """The name tells what the values must be; where it does not, a TOML has to."""
    mean, std = RTMDET["mean"], RTMDET["std"]
    path = export(
        Detector("dets", mean=mean, std=std), tmp_path / "rtmdet_m.onnx", OUTPUTS["dets"], (640, 640)
    )
    finder = OnnxFinder(path, threads=1)
    np.testing.assert_allclose(sides(finder.boxes(picture())), sides([FIRST, SECOND]), atol=3.01)
    assert finder.settings()["mean"] == (103.53, 116.28, 123.675) and finder.version == "rtmdet_m"

    (tmp_path / "unnamed").mkdir()
    other = path.rename(tmp_path / "unnamed" / "end2end.onnx")
    with pytest.raises(UsageError, match=r"does not tell which values .* call it rtmdet… or yolox"):
        OnnxFinder(other, threads=1)
    other.with_suffix(".toml").write_text(f"mean = {list(mean)}\nstd = {list(std)}\nmin_score = 0.7")
    found = OnnxFinder(other, threads=1).boxes(picture())
    np.testing.assert_allclose(sides(found), sides([FIRST]), atol=3.01)


def test_person_is_another_class(tmp_path: Path, finders: Finders) -> None:
    path = export(Detector("dets"), tmp_path / "yolox.onnx", OUTPUTS["dets"], (640, 640))
    path.with_suffix(".toml").write_text("person = 16")
    np.testing.assert_allclose(
        sides(OnnxFinder(path, threads=1).boxes(picture())), [[30, 30, 900, 900]], atol=1
    )
    path = export(Detector("boxes"), tmp_path / "yolox2.onnx", OUTPUTS["boxes"], (640, 640))
    path.with_suffix(".toml").write_text("person = 2")
    with pytest.raises(UsageError, match="knows 2 classes, so person = 2 is none"):
        OnnxFinder(path, threads=1)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"simcc_x": (1, 17, 384), "simcc_y": (1, 17, 512)}, r"simcc_y \[1, 17, 512\]: no boxes"),
        ({"output0": (1, 84, 8400)}, r"no boxes as of YOLOX or RTMDet"),  # YOLOv8
        ({"heatmap": (1, 17, 64, 48)}, r"no boxes as of YOLOX or RTMDet"),
        ({"a": (1, 5), "b": (1, 5), "c": (1,), "d": (1,)}, r"no boxes as of YOLOX or RTMDet"),
    ],
)
def test_other_networks(tmp_path: Path, outputs: dict[str, tuple[int, ...]], message: str) -> None:
    path = constant(tmp_path / "model.onnx", outputs, inputs={"input": (1, 3, 640, 640)})
    with pytest.raises(InputError, match=message):
        OnnxFinder(path, threads=1)
