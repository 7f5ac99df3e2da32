"""mmpose's models as detectors: planted peaks read back, joints by name, checkpoints that cannot run anything.

Most of it needs mmpose, which `.ci/mmpose` installs in an environment of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from posecli.detect import DetectorOptions, load_detections
from posecli.detect.mmpose import MMPose, _Codec, _names_in_config, _read_config, _skeleton, load
from posecli.detect.mmpose_compat import INSTALL, import_mmpose, load_state
from posecli.detect.network import Box
from posecli.errors import InputError, UsageError
from posecli.media import open_media

MODELS = {
    "hrnet": "body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py",
    "vitpose": "body_2d_keypoint/topdown_heatmap/coco/td-hm_ViTPose-small_8xb64-210e_coco-256x192.py",
    "rtmpose": "body_2d_keypoint/rtmpose/coco/rtmpose-t_8xb256-420e_coco-256x192.py",
}
WHOLE_BODY = "wholebody_2d_keypoint/rtmpose/coco-wholebody"
REGRESSION = "topdown_regression/coco"
FORMATS = {"hrnet": ("msra", "grid"), "vitpose": ("udp", "grid"), "rtmpose": ("simcc", "simcc")}
SHAPES = {
    "hrnet": [(17, 64, 48)],
    "vitpose": [(17, 64, 48)],
    "rtmpose": [(17, 384), (17, 512)],  # twice the crop of 192 × 256
}
BOX = Box(200, 100, 500, 1200)
CENTRE, SIZE = np.array([350.0, 650.0]), np.array([1031.25, 1375.0])  # of the box, 1.25 times as large, 3 : 4


@pytest.fixture(scope="session")
def configs() -> Path:
    """Where the installed mmpose keeps its configs."""
    spec = find_spec("mmpose")
    if spec is None or spec.origin is None:
        if os.environ.get("POSECLI_MMPOSE"):
            pytest.fail("mmpose is not installed, although it should be")
        pytest.skip("mmpose is not installed; .ci/mmpose installs it and runs these tests")
    import_mmpose()
    return Path(spec.origin).parent / ".mim" / "configs"


@dataclass
class Made:
    """A model with random weights, as mmpose makes it, and ours from the same files."""

    kind: str
    theirs: Any
    ours: MMPose
    checkpoint: Path


@pytest.fixture(scope="session", params=sorted(MODELS))
def made(request: pytest.FixtureRequest, configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    from mmengine.logging import MessageHub
    from mmpose.apis import init_model

    kind = request.param
    torch.manual_seed(0)
    theirs = init_model(str(configs / MODELS[kind]), device="cpu")
    theirs.test_cfg["flip_test"] = False
    hub = MessageHub(
        f"test of {kind}"
    )  # as training leaves it in a checkpoint: objects of mmengine and numpy
    hub.update_scalar("train/loss", 0.5)
    path = tmp_path_factory.mktemp(kind) / "random.pth"
    meta = {"dataset_meta": theirs.dataset_meta, "epoch": 1}
    torch.save({"meta": meta, "state_dict": theirs.state_dict(), "message_hub": hub.state_dict()}, path)
    return Made(kind, theirs, load(DetectorOptions(configs / MODELS[kind], path)), path)


def test_says_what_it_is(made: Made) -> None:
    codec, layout = FORMATS[made.kind]
    assert made.ours.skeleton.name == "coco17"
    assert made.ours.format.joint_names == made.ours.skeleton.joint_names
    assert (made.ours.format.codec, made.ours.format.layout) == (codec, layout)
    assert made.ours.version == f"mmpose-1.3.2 {Path(MODELS[made.kind]).stem}"
    assert (
        made.ours.settings()["config"] == Path(MODELS[made.kind]).name and len(made.ours.weights_hash) == 64
    )
    assert made.ours.settings()["flip_test"] is False


def test_sees_what_mmpose_sees(made: Made, shared_data: Path) -> None:
    """A real picture, random weights: joints and scores are those of mmpose's own call."""
    from mmpose.apis import inference_topdown

    video = shared_data / "videos" / "opencap_walk_ts" / "video.mp4"
    image = next(iter(open_media(video))).image
    seen = made.ours.look(image, BOX)
    (sample,) = inference_topdown(made.theirs, image, [[BOX.left, BOX.top, BOX.right, BOX.bottom]])
    theirs, scores = sample.pred_instances.keypoints[0], sample.pred_instances.keypoint_scores[0]
    found = scores > 0
    np.testing.assert_allclose(seen.xy[found], theirs[found], atol=1e-3)
    assert np.isnan(seen.xy[~found]).all()
    np.testing.assert_allclose(seen.scores, np.clip(scores, 0, 1), atol=1e-6)
    assert [v.shape for v in seen.values] == SHAPES[made.kind]
    assert all(v.dtype == np.float32 and v.min() >= 0 and v.max() <= 1 for v in seen.values)


def test_planted_peaks_are_read_back(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs painted into pictures tell where mmpose's crop takes pixels; the network's answer is replaced by what the
    model's codec makes of points of the crop; the pixels of those points must come back, decoded and by the affine."""
    model, codec = made.ours._model, made.ours._model.head.decoder
    rng = np.random.default_rng(0)
    planted = 4.0 * np.stack([rng.integers(4, 44, 17), rng.integers(4, 60, 17)], axis=1)
    labels = codec.encode(planted[None], np.ones((1, 17), np.float32))
    if made.kind == "rtmpose":
        answer: Any = tuple(torch.tensor(labels[f"keypoint_{axis}_labels"]) for axis in "xy")
        arrays = [a[0].numpy() for a in answer]
    else:
        answer = torch.tensor(labels["heatmaps"])[None]
        arrays = [answer[0].numpy()]
    crops: list[torch.Tensor] = []
    monkeypatch.setattr(model, "extract_feat", lambda inputs: crops.append(inputs.clone()))
    monkeypatch.setattr(model.head, "forward", lambda features: answer)

    pixels = np.array([[150.0, 200.0], [550.0, 300.0], [350.0, 1000.0]])
    seen = [made.ours.look(blob(*pixel), BOX) for pixel in pixels]
    assert len(crops) == 3  # one pass each: no mirrored one
    corners = np.array([centroid(crop[0].numpy()) for crop in crops])
    to_pixel = np.linalg.solve(np.column_stack([corners, np.ones(3)]), pixels)  # crop → image, as painted
    expected = np.column_stack([planted, np.ones(17)]) @ to_pixel

    one_crop_pixel = SIZE[0] / 192
    assert np.abs(seen[0].xy - expected).max() < 0.15 * one_crop_pixel
    for got, wanted in zip(seen[0].values, arrays, strict=True):
        np.testing.assert_allclose(got, np.clip(wanted, 0, 1), atol=1e-6)
    by_affine = peaks(seen[0].values) @ seen[0].to_image[:, :2].T + seen[0].to_image[:, 2]
    half_a_cell = (
        0.5 * seen[0].to_image[0, 0] if made.kind == "vitpose" else 0.0
    )  # UDP's peaks lie between cells
    assert np.abs(by_affine - expected).max() < 0.15 * one_crop_pixel + half_a_cell


def blob(x: float, y: float) -> np.ndarray:
    rows, columns = np.mgrid[:1280, :720]
    grey = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 20**2))
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def centroid(crop: np.ndarray) -> np.ndarray:
    """(x, y) of what is brighter than the background in (3, rows, columns)."""
    light = (crop - crop.min(axis=(1, 2), keepdims=True)).sum(axis=0)
    rows, columns = np.mgrid[: crop.shape[1], : crop.shape[2]]
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()


def peaks(values: tuple[np.ndarray, ...]) -> np.ndarray:
    """(J, 2) column and row of the largest cells."""
    if len(values) == 2:
        return np.stack([v.argmax(axis=1) for v in values], axis=1).astype(float)
    (grid,) = values
    cell = grid.reshape(len(grid), -1).argmax(axis=1)
    return np.stack([cell % grid.shape[2], cell // grid.shape[2]], axis=1).astype(float)


CROP = {"input_size": (192, 256)}
GRID = {**CROP, "heatmap_size": (48, 64)}


@pytest.mark.parametrize(
    ("codec", "off"),  # crop pixels that a peak may lie beside the point: half a cell where it is rounded
    [
        ({"type": "MSRAHeatmap", "sigma": 2, **GRID}, 2.01),
        ({"type": "MSRAHeatmap", "sigma": 2, "unbiased": True, **GRID}, 2.01),
        ({"type": "UDPHeatmap", "sigma": 2, **GRID}, 2.05),
        ({"type": "UDPHeatmap", "heatmap_type": "combined", **GRID}, 14.31),  # a disc: anywhere in it
        ({"type": "MegviiHeatmap", "kernel_size": 11, **GRID}, 2.01),
        ({"type": "SimCCLabel", "sigma": 6.0, "simcc_split_ratio": 2.0, **CROP}, 0.26),
        ({"type": "SimCCLabel", "sigma": 6.0, "simcc_split_ratio": 3.0, "normalize": False, **CROP}, 0.18),
    ],
    ids=["msra", "msra unbiased", "udp", "udp combined", "megvii", "simcc", "simcc 3"],
)
def test_the_affine_of_every_codec(configs: Path, codec: dict[str, Any], off: float) -> None:
    """A point of the crop, encoded by mmpose: its peak, through our affine, is the pixel under it, without bias."""
    from mmpose.registry import KEYPOINT_CODECS

    decoder = KEYPOINT_CODECS.build(codec)
    ours = _Codec.of(SimpleNamespace(decoder=decoder), Path("a.py"))
    points = np.random.default_rng(0).uniform([20, 20], [170, 230], (400, 2))
    sums = []
    for point in points:
        labels = decoder.encode(point[None, None].astype(np.float32), np.ones((1, 1), np.float32))
        if ours.layout == "simcc":
            instances = SimpleNamespace(**{k: v for k, v in labels.items() if k.endswith("labels")})
            sample = SimpleNamespace(pred_instances=instances)
        else:
            heatmaps = torch.tensor(np.asarray(labels["heatmaps"], np.float32))
            sample = SimpleNamespace(pred_fields=SimpleNamespace(heatmaps=heatmaps))
        values = ours.values(sample)
        assert len(values[0]) == 1 and all(v.min() >= 0 and v.max() <= 1 for v in values)
        affine = ours.to_image(CENTRE, SIZE)
        pixel = peaks(values)[0] @ affine[:, :2].T + affine[:, 2]
        crop = np.array(
            [191, 255] if codec["type"] == "UDPHeatmap" else [192, 256]
        )  # UDP: corner to corner of pixels
        expected = point / crop * SIZE + CENTRE - SIZE / 2
        sums.append((pixel - expected) / (SIZE / [192, 256]))
    assert np.abs(sums).max() < off
    if codec.get("heatmap_type") != "combined":
        assert np.abs(np.mean(sums, axis=0)).max() < 0.15


@pytest.mark.parametrize(
    ("config", "skeleton", "first"),
    [
        (MODELS["hrnet"], "coco17", range(17)),
        ("body_2d_keypoint/rtmpose/body8/rtmpose-t_8xb1024-700e_body8-halpe26-256x192.py", "halpe26", range(26)),
        (f"{WHOLE_BODY}/rtmpose-m_8xb64-270e_coco-wholebody-256x192.py", "coco17", range(17)),
    ],
)  # fmt: skip
def test_joints_by_the_data_set_of_the_config(
    configs: Path, config: str, skeleton: str, first: range
) -> None:
    names = _names_in_config(_read_config(configs / config))
    found, places = _skeleton(names, Path(config))
    assert found.name == skeleton and places == list(first)


def test_human36m(configs: Path, tmp_path: Path) -> None:
    """Side by side: their order is ours."""
    path = tmp_path / "h36m.py"
    path.write_text(
        "train_dataloader = dict(dataset=dict(metainfo=dict(from_file='configs/_base_/datasets/h36m.py')))"
    )
    skeleton, places = _skeleton(_names_in_config(_read_config(path)), path)
    assert skeleton.name == "h36m17" and places == list(range(17))


def test_other_joints_are_refused(configs: Path) -> None:
    config = configs / "body_2d_keypoint/rtmpose/mpii/rtmpose-m_8xb64-210e_mpii-256x256.py"
    with pytest.raises(InputError, match=r"finds 16 joints \(right_ankle, .*COCO, Halpe-26 and Human3\.6M"):
        _skeleton(_names_in_config(_read_config(config)), config)
    with pytest.raises(InputError, match="does not name its joints"):
        _skeleton((), config)


def test_other_models_are_refused(configs: Path, made: Made, tmp_path: Path) -> None:
    if made.kind != "rtmpose":
        pytest.skip("one checkpoint is enough")
    body = configs / "body_2d_keypoint"
    for name, message in (
        (f"{REGRESSION}/td-reg_mobilenetv2_rle-pretrained-8xb64-210e_coco-256x192.py", "neither heatmaps nor SimCC"),
        ("dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py", "takes top-down models"),
        (MODELS["vitpose"].removeprefix("body_2d_keypoint/"), "does not fit the config"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message) as caught:
            MMPose(body / name, made.checkpoint)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(", "not a config that mmpose reads"),
        ("raise RuntimeError('no\\nmore')", "not a config that mmpose reads: no"),
        ("x = 1", "no config of mmpose"),
        ("model = dict(type='NoSuch')\ntest_dataloader = dict(dataset=dict(pipeline=[]))", "makes no model"),
    ],
)
def test_wrong_configs(configs: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        MMPose(path, path)
    assert "\n" not in str(caught.value)


def test_lifts_to_the_end(made: Made, configs: Path, shared_data: Path, tmp_path: Path) -> None:
    """As a user; random weights find garbage, and garbage must not crash."""
    if made.kind == "vitpose":
        pytest.skip("one model with heatmaps is enough")
    ended = subprocess.run(
        [sys.executable, "-m", "posecli", "lift", shared_data / "videos" / "opencap_walk_ts" / "video.mp4",
         "--detector", "mmpose", "--det-config", configs / MODELS[made.kind], "--det-checkpoint", made.checkpoint,
         "--end", "0.1", "--export", "npz,bvh", "--out", tmp_path / "out"],
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    if ended.returncode == 6:
        pytest.skip("the BlazePose networks, which find people, cannot be had")
    assert ended.returncode in (0, 4), ended.stderr  # lifted, or nobody found
    assert "Traceback" not in ended.stderr
    if made.kind == "rtmpose":  # whose random scores are high: somebody is there
        assert ended.returncode == 0
        heatmaps = load_detections(tmp_path / "out" / "video.detections.h5").heatmaps
        assert heatmaps is not None and heatmaps.format == made.ours.format
        assert [a.shape[1:] for a in heatmaps.read()] == SHAPES["rtmpose"]


# Without mmpose -----------------------------------------------------------------------------------------


def test_without_mmpose_the_commands_are_told(tmp_path: Path) -> None:
    if find_spec("mmpose") is not None:
        pytest.skip("mmpose is installed")
    path, checkpoint = tmp_path / "config.py", tmp_path / "weights.pth"
    with pytest.raises(InputError, match=r"cannot read .*weights\.pth"):
        MMPose(path, checkpoint)
    checkpoint.touch()
    with pytest.raises(InputError, match=r"config\.py does not exist"):
        MMPose(path, checkpoint)
    path.write_text("x = 1")
    with pytest.raises(UsageError) as caught:
        MMPose(path, checkpoint)
    assert all(command in str(caught.value) for command in INSTALL)


class Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_checkpoint_runs_nothing(tmp_path: Path, zipped: bool) -> None:
    path, trace = tmp_path / "hostile.pth", tmp_path / "trace"
    model = nn.Linear(2, 1)
    content = {"state_dict": model.state_dict(), "meta": Hostile(os.system, f"touch {trace}")}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"object of (posix|nt)\.system.*does not load"):
        load_state(model, path)
    content["meta"] = [Hostile(getattr, "text", "upper"), Hostile(np.savetxt, str(trace), [1.0])]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert load_state(model, path) == ()  # these are kept as data, and stay so
    assert not trace.exists()


def test_weights_and_names_are_found(tmp_path: Path) -> None:
    path, model = tmp_path / "a.pth", nn.Linear(2, 1)
    state = {f"module.{key}": value + 1 for key, value in model.state_dict().items()}
    names = {"keypoint_id2name": {0: "nose", 1: "left_eye"}, "sigmas": np.ones(2)}
    torch.save({"state_dict": state, "meta": {"dataset_meta": names}}, path)
    before = model.weight.detach().clone()
    assert load_state(model, path) == ("nose", "left_eye")
    assert torch.equal(model.weight, before + 1)
    torch.save(model.state_dict(), path)  # bare
    assert load_state(model, path) == ()


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    path, model = tmp_path / "a.pth", nn.Linear(2, 1)
    for content, message in (
        ({"state_dict": {"weight": torch.ones(1, 2)}}, "it has no bias"),
        ({"state_dict": {"weight": torch.ones(1, 3), "bias": torch.ones(1)}}, "size mismatch for weight"),
        ({"state_dict": {}}, "holds no weights"),
        ([1, 2], "holds no weights"),
    ):
        torch.save(content, path)
        with pytest.raises(InputError, match=message) as caught:
            load_state(model, path)
        assert "\n" not in str(caught.value)
