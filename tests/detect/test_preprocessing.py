"""What is written about a network: mmdeploy's pipeline.json, metadata, TOML, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posecli.detect.preprocessing import BoxPreprocessing, Pixels, PosePreprocessing, describe
from posecli.errors import InputError, UsageError


def pipeline(transforms: list[dict[str, Any]], params: dict[str, Any]) -> str:
    """Laid out as mmdeploy 1.3 writes it."""
    transforms = [{"type": "LoadImageFromFile"}, *transforms]
    tasks = [
        {"type": "Task", "module": "Transform", "name": "Preprocess", "transforms": transforms},
        {"type": "Task", "module": "Net", "name": "net", "input_map": {"img": "input"}},
        {"type": "Task", "module": "mmpose", "name": "postprocess", "params": params},
    ]  # fmt: skip
    return json.dumps({"pipeline": {"input": ["img"], "output": ["post_output"], "tasks": tasks}})


RGB = {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
BGR = {
    "type": "Normalize",
    "mean": [103.53, 116.28, 123.675],
    "std": [57.375, 57.12, 58.395],
    "to_rgb": False,
}
CROP = [
    {"type": "TopDownGetBboxCenterScale", "padding": 1.2, "image_size": [288, 384]},
    {"type": "TopDownAffine", "image_size": [288, 384]},
]
RTMPOSE = {"type": "SimCCLabel", "input_size": [288, 384], "simcc_split_ratio": 2.0, "normalize": False}


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (
            pipeline([*CROP, RGB], RTMPOSE),
            PosePreprocessing,
            {"input_size": (288, 384), "padding": 1.2, "channels": "rgb", "codec": "simcc", "values": "probability"},
        ),
        (pipeline([*CROP, RGB], RTMPOSE | {"normalize": True}), PosePreprocessing, {"values": "softmax"}),
        (
            pipeline([*CROP, RGB], {"type": "UDPHeatmap", "heatmap_size": [72, 96]}),
            PosePreprocessing,
            {"codec": "udp", "values": "probability", "std": (58.395, 57.12, 57.375)},
        ),
        (
            pipeline([{"type": "Pad", "pad_val": {"img": [113, 113, 113]}}, BGR], {"score_thr": 0.001}),
            BoxPreprocessing,
            {"fill": 113, "channels": "bgr", "mean": (103.53, 116.28, 123.675)},
        ),
        (
            pipeline([{"type": "Pad", "pad_val": 114.0}], {}),  # YOLOX takes pictures as they are
            BoxPreprocessing,
            {"fill": 114, "channels": "bgr", "mean": (0, 0, 0), "std": (1, 1, 1)},
        ),
    ],
)  # fmt: skip
def test_mmdeploy(tmp_path: Path, text: str, kind: type[Pixels], expected: dict[str, Any]) -> None:
    (tmp_path / "pipeline.json").write_text(text)
    (tmp_path / "end2end.onnx").touch()
    described = describe(tmp_path / "end2end.onnx", {})
    assert described.places == ("pipeline.json",)
    built = described.build(kind, {"input_size": (640, 640)})
    assert {name: getattr(built, name) for name in expected} == expected


def test_later_ones_count_more(tmp_path: Path) -> None:
    (tmp_path / "pipeline.json").write_text(pipeline([*CROP, RGB], RTMPOSE))
    model = tmp_path / "end2end.onnx"
    model.touch()
    described = describe(model, {"posecli": "padding = 1.3\nvalues = 'logit'", "author": "somebody"})
    assert (described.entries["padding"], described.entries["values"]) == (1.3, "logit")
    (tmp_path / "end2end.toml").write_text("padding = 1.4")
    described = describe(model, {"posecli": "padding = 1.3\nvalues = 'logit'"})
    assert (described.entries["padding"], described.entries["values"]) == (1.4, "logit")
    assert described.entries["input_size"] == (288, 384)
    given = tmp_path / "given.toml"
    given.write_text("padding = 1.5")
    described = describe(model, {}, given)
    assert described.entries["padding"] == 1.5 and described.places == ("pipeline.json", "given.toml")
    (tmp_path / "other.onnx").touch()  # whose pipeline.json is it now?
    assert describe(model, {}).places == ("end2end.toml",)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pipeline": {"tasks": [1]}}', "[" * 100_000, "\0"])
def test_damaged_pipeline(tmp_path: Path, text: str) -> None:
    (tmp_path / "pipeline.json").write_text(text)
    (tmp_path / "end2end.onnx").touch()
    with pytest.raises(InputError, match=r"pipeline\.json is not what mmdeploy writes"):
        describe(tmp_path / "end2end.onnx", {})


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("mean = [0, 0]", r"m\.toml: mean must be three numbers\. Got \[0, 0\]"),
        ("std = [1, 1, -1]", "std must be three positive numbers"),
        ("std = 1", "std must be three positive numbers"),
        ("mean = [1e999, 0, 0]", "mean must be three numbers"),
        (f"padding = {'9' * 400}", "padding must be between 0.5 and 4"),
        (f"padding = {'9' * 5000}", r"m\.toml is not TOML: Exceeds the limit"),
        ("padding = true", "padding must be between 0.5 and 4"),
        ("channels = 'rgba'", "channels must be one of rgb, bgr"),
        ("values = 3", "values must be one of probability, logit, softmax"),
        ("input_size = [192.5, 256]", "input_size must be two whole numbers"),
        ("skeleton = ['coco17']", "skeleton must be one of"),
        ("joints = [0, 1, 2]", "joints must be 17 different whole numbers for coco17"),
        ("[mean]\na = 1", "mean must be three numbers"),
        ("colour = 'rgb'", "unknown entry 'colour'; one of: channels, codec, input_size"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, toml: str, message: str) -> None:
    (tmp_path / "m.toml").write_text(toml)
    with pytest.raises(UsageError, match=message) as caught:
        describe(tmp_path / "m.onnx", {}).build(PosePreprocessing, {"input_size": (192, 256)})
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.toml"):
        describe(tmp_path / "m.onnx", {}, tmp_path / "none.toml")
    (tmp_path / "m.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"m\.toml is not text"):
        describe(tmp_path / "m.onnx", {})
    (tmp_path / "m.toml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(InputError, match=r"m\.toml is too large"):
        describe(tmp_path / "m.onnx", {})


def test_pixels() -> None:
    picture = np.zeros((16, 8, 3), np.uint8)
    picture[2, 5] = (10, 20, 30)  # blue, green, red
    shown = Pixels((8, 16), (1.0, 2.0, 3.0), (2.0, 4.0, 8.0), "rgb").tensor(picture)
    assert shown.shape == (1, 3, 16, 8) and shown.dtype == np.float32
    np.testing.assert_allclose(shown[0, :, 2, 5], [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 8])
    shown = Pixels((8, 16), (1.0, 2.0, 3.0), (2.0, 4.0, 8.0), "bgr").tensor(picture)
    np.testing.assert_allclose(shown[0, :, 2, 5], [(10 - 1) / 2, (20 - 2) / 4, (30 - 3) / 8])
