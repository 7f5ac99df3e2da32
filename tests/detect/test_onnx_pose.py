"""ONNX pose networks: a disc painted into a picture must come back where it was painted, to a fraction of a cell."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from posecli.detect.heatmaps import HeatmapRecord
from posecli.detect.keypoints import Keypoints2D
from posecli.detect.network import Box, PoseSeen
from posecli.detect.onnx import OnnxPose
from posecli.detect.store import DetectionsWriter, load_detections
from posecli.errors import InputError, UsageError
from posecli.media import open_media

if find_spec("onnxruntime") is None or find_spec("onnx") is None:
    pytest.skip("onnxruntime and onnx are not installed: .ci/onnx runs these", allow_module_level=True)

import onnx
from onnx_models import PEAK, Heatmaps, RtmPose, constant, export, paint

BOX = Box(
    120, 150, 600, 1150
)  # of the picture below; 1.25 times that and widened: 937.5 × 1250 from (-108.75, 25)
STEP = 1250 / 256  # pixels of the picture a pixel of the input


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    export(RtmPose(), folder / "rtmpose.onnx", ["simcc_x", "simcc_y"])
    export(Heatmaps(udp=False), folder / "hrnet.onnx", ["heatmap"])
    export(Heatmaps(udp=True), folder / "vitpose.onnx", ["heatmap"])
    (folder / "vitpose.toml").write_text('codec = "udp"\n')
    return folder


@pytest.fixture(scope="session")
def picture(shared_data: Path) -> NDArray[np.uint8]:
    """(1280, 720, 3), a person walking."""
    (frame,) = islice(iter(open_media(shared_data / "videos" / "opencap_walk_ts" / "video.mp4")), 1)
    assert frame.image.shape == (1280, 720, 3)
    return frame.image


def places() -> NDArray[np.float64]:
    """(17, 2) pixels, apart from one another, none in the middle of a pixel or of a cell."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid([180, 290, 400, 510], [230, 400, 570, 740, 910]), axis=-1).reshape(-1, 2)[:17]
    return grid + rng.uniform(-20, 20, (17, 2))


def painted(picture: NDArray[np.uint8], *skip: int) -> NDArray[np.uint8]:
    image = picture.copy()
    paint(image, places(), 24, skip)
    return image


def placed(seen: PoseSeen, cells: NDArray[np.floating]) -> NDArray[np.floating]:
    return cells @ seen.to_image[:, :2].T + seen.to_image[:, 2]


def test_simcc_finds_what_was_painted(models: Path, picture: NDArray[np.uint8]) -> None:
    network = OnnxPose(models / "rtmpose.onnx", threads=1)
    seen = network.look(painted(picture, 3, 9), BOX)
    there = np.delete(np.arange(17), [3, 9])
    apart = np.linalg.norm(seen.xy - places(), axis=1)[there]
    assert (
        apart.max() < STEP / 4
    )  # half a SimCC cell; a box a pixel off, or cells taken for pixels, would show
    assert seen.scores[there] == pytest.approx(PEAK, abs=0.01)
    assert (seen.scores[[3, 9]] == 0).all() and np.isnan(seen.xy[[3, 9]]).all()
    x, y = seen.values
    assert (x.shape, y.shape) == ((17, 384), (17, 512))
    assert (
        np.abs(seen.xy - placed(seen, np.stack([x.argmax(1), y.argmax(1)], 1)))[there].max()
        <= STEP / 4 + 1e-3
    )
    assert (network.format.codec, network.format.layout, network.format.kind) == (
        "simcc",
        "simcc",
        "probability",
    )
    assert network.skeleton.name == "coco17"


@pytest.mark.parametrize("name", ["hrnet", "vitpose"])
def test_heatmaps_find_what_was_painted(models: Path, picture: NDArray[np.uint8], name: str) -> None:
    seen = OnnxPose(models / f"{name}.onnx", threads=1).look(painted(picture, 0), BOX)
    apart = np.linalg.norm(seen.xy - places(), axis=1)[1:]
    assert apart.max() < STEP / 4  # a sixteenth of a cell; the other codec's cells are up to half a cell off
    assert seen.scores[0] == 0
    assert (seen.scores[1:] > 0.8).all() and (seen.scores <= PEAK + 1e-6).all()
    (grid,) = seen.values
    assert grid.shape == (17, 64, 48)
    row, column = np.divmod(grid.reshape(17, -1).argmax(1), 48)
    assert np.abs(seen.xy - placed(seen, np.stack([column, row], 1)))[1:].max() < 2.1 * STEP


def test_crop_is_the_box_padded_and_widened(models: Path, picture: NDArray[np.uint8]) -> None:
    tall = OnnxPose(models / "rtmpose.onnx", threads=1).look(picture, Box(100, 200, 300, 600)).to_image
    np.testing.assert_allclose(tall, [[375 / 384, 0, 200 - 375 / 2], [0, 500 / 512, 400 - 250]])
    wide = OnnxPose(models / "hrnet.onnx", threads=1).look(picture, Box(100, 200, 500, 500)).to_image
    np.testing.assert_allclose(wide, [[500 / 48, 0, 300 - 250], [0, 500 / 0.75 / 64, 350 - 250 / 0.75]])
    edges = OnnxPose(models / "vitpose.onnx", threads=1).look(picture, Box(100, 200, 300, 600)).to_image
    np.testing.assert_allclose(edges, [[375 / 47, 0, 200 - 375 / 2], [0, 500 / 63, 400 - 250]])


def test_box_beyond_the_picture(models: Path, picture: NDArray[np.uint8]) -> None:
    seen = OnnxPose(models / "rtmpose.onnx", threads=1).look(painted(picture), Box(-300, 300, 300, 1500))
    inside = (places()[:, 0] < 430) & (places()[:, 1] > 320)
    assert inside.sum() >= 6
    assert np.linalg.norm(seen.xy - places(), axis=1)[inside].max() < 1500 / 256 / 4


def test_logits_and_softmax(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    grid = export(Heatmaps(udp=False, logits=True), tmp_path / "logits.onnx", ["heatmap"])
    grid.with_suffix(".toml").write_text('values = "logit"')
    network = OnnxPose(grid, threads=1)
    seen = network.look(painted(picture), BOX)
    assert network.format.kind == "logit"
    assert np.linalg.norm(seen.xy - places(), axis=1).max() < STEP / 4
    assert (seen.scores > 0.8).all() and (seen.scores < PEAK + 1e-3).all()  # probabilities, not logits

    vectors = export(RtmPose(logits=True), tmp_path / "simcc.onnx", ["simcc_x", "simcc_y"])
    vectors.with_suffix(".toml").write_text('values = "softmax"')
    network = OnnxPose(vectors, threads=1)
    seen = network.look(painted(picture), BOX)
    assert network.format.kind == "probability"
    np.testing.assert_allclose([v.sum(axis=1) for v in seen.values], 1, atol=1e-5)
    assert np.linalg.norm(seen.xy - places(), axis=1).max() < STEP / 4
    assert seen.scores == pytest.approx(
        0.979, abs=0.01
    )  # a Gaussian of 5 cells within ± 12 of 384: 2.3 to 2.5 sigma


@pytest.mark.parametrize(("joints", "skeleton", "kept"), [(26, "halpe26", 26), (133, "coco17", 17)])
def test_joints_tell_the_skeleton(tmp_path: Path, joints: int, skeleton: str, kept: int) -> None:
    path = export(RtmPose(joints), tmp_path / "model.onnx", ["simcc_x", "simcc_y"]) if joints < 133 else None
    path = path or constant(tmp_path / "model.onnx", {"simcc_x": (1, 133, 384), "simcc_y": (1, 133, 512)})
    network = OnnxPose(path, threads=1)
    seen = network.look(np.zeros((300, 300, 3), np.uint8), Box(0, 0, 100, 200))
    assert network.skeleton.name == skeleton
    assert seen.xy.shape == (kept, 2) and seen.values[0].shape[0] == kept


def test_y_before_x(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    class Other(RtmPose):
        def forward(self, picture):  # type: ignore[no-untyped-def]
            return super().forward(picture)[::-1]

    path = export(Other(), tmp_path / "model.onnx", ["simcc_y", "simcc_x"])
    seen = OnnxPose(path, threads=1).look(painted(picture), BOX)
    assert np.linalg.norm(seen.xy - places(), axis=1).max() < STEP / 4


def test_open_sides_need_a_size(tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    path = export(RtmPose(), tmp_path / "model.onnx", ["simcc_x", "simcc_y"], open_sides=True)
    with pytest.raises(UsageError, match=r"any size: write input_size = .* into model\.toml"):
        OnnxPose(path, threads=1)
    other = tmp_path / "other.toml"
    other.write_text("input_size = [192, 256]")
    seen = OnnxPose(path, threads=1, preprocessing=other).look(painted(picture), BOX)
    assert np.linalg.norm(seen.xy - places(), axis=1).max() < STEP / 4
    other.write_text("input_size = [1000000, 1000000]")
    with pytest.raises(UsageError, match=r"other\.toml: input_size must lie between 8 and 4096"):
        OnnxPose(path, threads=1, preprocessing=other)


def test_metadata_of_the_model(models: Path, tmp_path: Path) -> None:
    model = onnx.load(models / "rtmpose.onnx")
    entry = model.metadata_props.add()
    entry.key, entry.value = "posecli", 'padding = 1.0\nskeleton = "h36m17"'
    onnx.save(model, tmp_path / "rtmpose.onnx")
    network = OnnxPose(tmp_path / "rtmpose.onnx", threads=1)
    assert network.preprocessing.padding == 1.0 and network.skeleton.name == "h36m17"
    assert network.settings()["described_by"] == ["the model's metadata"]
    (tmp_path / "rtmpose.toml").write_text("padding = 1.1")
    network = OnnxPose(tmp_path / "rtmpose.onnx", threads=1)
    assert network.preprocessing.padding == 1.1 and network.skeleton.name == "h36m17"


def test_half_precision(models: Path, tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    """Networks whose input and output are float16: a cast on either side of the same one."""
    model = onnx.load(models / "rtmpose.onnx")
    half = onnx.TensorProto.FLOAT16
    for node in model.graph.node:
        node.input[:] = ["as_float" if name == "input" else name for name in node.input]
        node.output[:] = [f"float_{name}" if name.startswith("simcc") else name for name in node.output]
    model.graph.node.insert(
        0, onnx.helper.make_node("Cast", ["input"], ["as_float"], to=onnx.TensorProto.FLOAT)
    )
    for port in model.graph.output:
        model.graph.node.append(onnx.helper.make_node("Cast", [f"float_{port.name}"], [port.name], to=half))
    for port in (*model.graph.input, *model.graph.output):
        port.type.tensor_type.elem_type = half
    onnx.save(model, tmp_path / "half.onnx")
    seen = OnnxPose(tmp_path / "half.onnx", threads=1).look(painted(picture), BOX)
    assert seen.values[0].dtype == np.float32
    assert np.linalg.norm(seen.xy - places(), axis=1).max() < STEP / 2


def test_vectors_in_the_detections_file(models: Path, tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    network = OnnxPose(models / "rtmpose.onnx", threads=1)
    seen = network.look(painted(picture), BOX)
    made = {"detector": network.name, "weights_hash": network.weights_hash, "settings": network.settings()}
    keypoints = Keypoints2D(
        xy=seen.xy[None], scores=seen.scores[None], found=np.array([True]), timestamps_s=np.zeros(1),
        skeleton=network.skeleton, image_size=(720, 1280),
    )  # fmt: skip
    with DetectionsWriter(tmp_path / "clip.detections.h5", made) as file:
        file.append(HeatmapRecord(network.format, 0, seen.values, seen.to_image))
        file.finish(keypoints)
    loaded = load_detections(tmp_path / "clip.detections.h5")
    assert loaded.heatmaps is not None and loaded.heatmaps.format == network.format
    assert loaded.keypoints.provenance["weights_hash"] == network.weights_hash
    for kept, given in zip(loaded.heatmaps.read(), seen.values, strict=True):
        assert np.abs(kept[0] - given).max() < 4e-3
        assert (
            np.abs(kept[0].argmax(axis=1) - given.argmax(axis=1)).max() <= 1
        )  # a byte a cell: twins may change places
    np.testing.assert_array_equal(loaded.heatmaps.to_image[0], seen.to_image)


SIMCC = {"simcc_x": (1, 17, 384), "simcc_y": (1, 17, 512)}


@pytest.mark.parametrize(
    ("outputs", "changes", "toml", "message"),
    [
        ({"keypoints": (1, 17, 3)}, {}, "", r"gives keypoints \[1, 17, 3\], not SimCC's two vectors"),
        ({"a": (1, 1), "b": (1, 1), "c": (1, 1)}, {}, "", r"not SimCC's two vectors of one person"),
        ({"dets": (1, 100, 5), "labels": (1, 100)}, {}, "", r"not SimCC's two vectors of one person"),
        ({"heatmap": (1, 21, 64, 48)}, {}, "", r"gives 21 joints, coco17 has 17: write skeleton and joints"),
        ({"heatmap": (1, 17, 1, 1)}, {}, 'codec = "udp"', r"not heatmaps of one person"),
        ({"heatmap": (1, 26, 64, 48)}, {}, 'skeleton = "coco17"', r"gives 26 joints, coco17 has 17"),
        (SIMCC, {}, 'skeleton = "smpl"', r"model\.toml: skeleton must be one of .*coco17"),
        (SIMCC, {}, "split = 2", r"unknown entry 'split'; one of: channels, codec"),
        (SIMCC, {}, "simcc_split_ratio = 3", r"= 3 means vectors of 576 and 768"),
        (SIMCC, {}, "input_size = [288, 384]", r"input_size is \[288, 384\], but .* takes \[192, 256\]"),
        (SIMCC, {}, 'codec = "msra"', r"not heatmaps of one person"),
        (SIMCC, {}, "std = [0, 1, 1]", r"std must be three positive numbers"),
        (SIMCC, {}, "joints = [1, 1]", r"joints must be 17 different whole numbers"),
        (SIMCC, {}, "padding = nan", r"padding must be between 0.5 and 4"),
        (SIMCC, {}, "padding = ", r"model\.toml is not TOML"),
        (SIMCC, {"value": np.nan}, "", r"simcc_x is too large, or not finite"),
        (SIMCC, {"inputs": {"a": (1, 3, 256, 192), "b": (1, 2)}}, "", r"takes 2 inputs \(a, b\)"),
        (SIMCC, {"inputs": {"input": (1, 256, 192, 3)}}, "", r"takes tensor\(float\) \[1, 256, 192, 3\]"),
        (SIMCC, {"inputs": {"input": (1, 3, 1 << 20, 1 << 20)}}, "", r"input_size must lie between 8 and 4096"),
        ({"heatmap": (1, 17, 1 << 14, 1 << 14)}, {}, "", r"heatmap \[1, 17, 16384, 16384\] is too large"),
    ],
)  # fmt: skip
def test_foreign_networks(
    tmp_path: Path, outputs: dict[str, tuple[int, ...]], changes: dict[str, object], toml: str, message: str
) -> None:
    path = constant(tmp_path / "model.onnx", outputs, **changes)  # type: ignore[arg-type]
    if toml:
        path.with_suffix(".toml").write_text(toml)
    with pytest.raises((InputError, UsageError), match=message) as caught:
        OnnxPose(path, threads=1)
    assert "\n" not in str(caught.value)


def test_damaged_files(models: Path, tmp_path: Path) -> None:
    whole = (models / "rtmpose.onnx").read_bytes()
    path = tmp_path / "model.onnx"
    with pytest.raises(InputError, match="there is no ONNX model"):
        OnnxPose(path)
    rng = np.random.default_rng(0)
    for content in (b"", b"hello " * 99, whole[:200], whole[: len(whole) // 2], whole[:-1], rng.bytes(5000)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"model\.onnx is not an ONNX model") as caught:
            OnnxPose(path)
        assert "\n" not in str(caught.value)
    # Whatever is flipped, it ends in an answer or in one line.
    for _ in range(60):
        broken = bytearray(whole)
        for k in rng.integers(0, len(whole), 3):
            broken[k] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        try:
            OnnxPose(path, threads=1)
        except (InputError, UsageError) as error:
            assert "\n" not in str(error)


def test_weights_outside_the_file(models: Path, tmp_path: Path) -> None:
    """torch puts weights into a file beside the model; a stranger's model may name any file."""
    inner, outer = tmp_path / "inner", tmp_path / "weights.bin"
    inner.mkdir()
    model = onnx.load(models / "rtmpose.onnx")
    onnx.save(
        model, inner / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert (inner / "weights.bin").stat().st_size > 3000
    first = OnnxPose(inner / "model.onnx", threads=1)
    content = bytearray((inner / "weights.bin").read_bytes())
    content[-1] ^= 1
    (inner / "weights.bin").write_bytes(content)
    assert OnnxPose(inner / "model.onnx", threads=1).weights_hash != first.weights_hash

    outer.write_bytes(content)
    (inner / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"keeps its weights in weights\.bin, which is not beside it"):
        OnnxPose(inner / "model.onnx", threads=1)
    (inner / "weights.bin").symlink_to(outer)
    with pytest.raises(InputError, match=r"from outside its folder \('weights\.bin'\)"):
        OnnxPose(inner / "model.onnx", threads=1)
    for location in ("../weights.bin", str(outer)):
        escaped = onnx.load(inner / "model.onnx", load_external_data=False)
        for tensor in escaped.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        (inner / "escaped.onnx").write_bytes(escaped.SerializeToString())
        with pytest.raises(InputError, match="from outside its folder"):
            OnnxPose(inner / "escaped.onnx", threads=1)
