"""mmpose as a pose network: any top-down 2D model of mmpose 1.3 that keeps heatmaps or SimCC vectors.

The config and the checkpoint are the user's own. A config of mmpose is a Python program and is run as one: take it
only from people whose programs you would run. A checkpoint is data, and read as nothing else.

Of the model's joints those are kept that make one of posecli's skeletons: all of COCO's, Halpe-26's or Human3.6M's,
and COCO's 17 of the whole body's 133. Pixels are mmpose's own, without the half pixel that its training data leave
open. The mirrored second pass that configs ask for is left out: it doubles the time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from posecli.detect.backends import DetectorOptions
from posecli.detect.heatmaps import HeatmapFormat, Layout
from posecli.detect.mmpose_compat import first_line, import_mmpose, load_state, quiet, without_missing_scopes
from posecli.detect.network import Box, PoseSeen
from posecli.errors import InputError, UsageError
from posecli.skeleton import COCO17, H36M17, HALPE26, Skeleton
from posecli.weights.format import weights_hash

_JOINTS: tuple[tuple[Skeleton, tuple[str, ...]], ...] = (
    (HALPE26, HALPE26.joint_names),
    (COCO17, COCO17.joint_names),
    (
        H36M17,
        (
            "root", "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot", "spine", "thorax",
            "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow",
            "right_wrist",
        ),
    ),
)  # fmt: skip
"""Our skeletons and mmpose's names of their joints, the larger first."""


def load(options: DetectorOptions, *, threads: int = 2) -> MMPose:
    """The network of `options.config` and `options.checkpoint`; errors as `MMPose`.

    threads: not used; PyTorch has one number for the whole process.
    """
    if options.config is None or options.checkpoint is None:
        raise UsageError("--detector mmpose needs --det-config and --det-checkpoint")
    return MMPose(options.config, options.checkpoint)


class MMPose:
    """A `PoseNetwork`, on the CPU.

    config: a file of mmpose 1.3, which is run. checkpoint: of the same model.
    Raises UsageError where mmpose is not installed, InputError where a file is missing, damaged or of a model that
    is not top-down, keeps neither heatmaps nor SimCC vectors, or finds joints that nothing is lifted from.
    """

    name = "mmpose"

    def __init__(self, config: Path, checkpoint: Path) -> None:
        self.weights_hash = weights_hash(checkpoint)  # first: a file that is missing is told at once
        settings = _read_config(config)
        config_hash = _hash_of(settings, config)  # before anything of it is changed
        with quiet():
            self._model = _build(settings, config)
            self._codec = _Codec.of(self._model.head, config)
            names = load_state(self._model, checkpoint) or _names_in_config(settings)
            names = _of_output(names, self._model.test_cfg)
            self._prepare = _preparation(settings, config)
        self.skeleton, self._kept = _skeleton(names, config)
        self._joints = len(names)
        self.format = HeatmapFormat(
            self.skeleton.joint_names, kind="probability", codec=self._codec.name, layout=self._codec.layout
        )
        self.version = f"mmpose-{version('mmpose')} {config.stem}"
        self._settings = {
            "config": config.name,
            "config_hash": config_hash,
            "flip_test": False,
            "runtime": f"torch {torch.__version__}",
        }

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the weights, ready for JSON."""
        return dict(self._settings)

    def look(self, image: NDArray[np.uint8], box: Box) -> PoseSeen:
        """See `PoseNetwork`. mmpose widens the box by its own factor, 1.25 as a rule; a joint without a peak is NaN.

        Values lie in [0, 1]: heatmaps as they are, clipped; SimCC vectors as mmpose shows them, clipped below at 0 and
        divided by their largest value where that is above 1.
        """
        from mmengine.dataset import pseudo_collate

        corners = np.array([[box.left, box.top, box.right, box.bottom]], np.float32)
        given = {"img": image, "bbox": corners, "bbox_score": np.ones(1, np.float32)}
        with torch.inference_mode(), quiet():
            (sample,) = self._model.test_step(pseudo_collate([self._prepare(given)]))
        found = sample.pred_instances
        xy = np.asarray(found.keypoints[0], np.float32)
        if len(xy) != self._joints:
            raise InputError(
                f"{self._settings['config']}: the model finds {len(xy)} joints, its data set names {self._joints}"
            )
        xy, scores = xy[self._kept], np.asarray(found.keypoint_scores[0], np.float32)[self._kept]
        xy[scores <= 0] = np.nan
        return PoseSeen(
            xy=xy,
            scores=np.clip(np.nan_to_num(scores), 0, 1),
            values=tuple(array[self._kept] for array in self._codec.values(sample)),
            to_image=self._codec.to_image(sample.metainfo["input_center"], sample.metainfo["input_scale"]),
        )


@dataclass(frozen=True)
class _Codec:
    """How joints lie in the head's output.

    A cell c (column, row) of the output stands for the point (c + shift) / size of the crop, where (1, 1) is the
    crop's far corner. name, layout: as in `HeatmapFormat`. top: value of a sure cell. every: channels per joint, of
    which the first is the heatmap.
    """

    name: str
    size: tuple[float, float]
    layout: Layout = "grid"
    shift: float = 0.0
    top: float = 1.0
    every: int = 1

    @classmethod
    def of(cls, head: Any, config: Path) -> _Codec:
        """Raises InputError for a head without heatmaps. Formulas: the `decode` of mmpose's codecs of these names."""
        head = getattr(head, "pose_head", head)  # one that tells visibility too has the true head inside
        decoder: Any = getattr(head, "decoder", None)
        width, height = getattr(decoder, "heatmap_size", (0, 0))
        match type(decoder).__name__:
            case "MSRAHeatmap":
                return cls("msra", (width, height))
            case "UDPHeatmap":
                combined = decoder.heatmap_type == "combined"  # a disc, and two channels of offsets
                return cls("udp", (width - 1, height - 1), every=3 if combined else 1)
            case "MegviiHeatmap":
                return cls("megvii", (width, height), shift=0.5, top=255.0)
            case "SimCCLabel":
                width, height = (side * decoder.simcc_split_ratio for side in decoder.input_size)
                return cls("simcc", (width, height), layout="simcc")
        raise InputError(
            f"{config} is of a model ({type(head).__name__}) that keeps neither heatmaps nor SimCC vectors; choose one "
            "such as HRNet, ViTPose or RTMPose"
        )

    def values(self, sample: Any) -> tuple[NDArray[np.float32], ...]:
        """As in `HeatmapRecord`, of all the model's joints."""
        if self.layout == "simcc":
            found = sample.pred_instances
            arrays = [found.keypoint_x_labels[0], found.keypoint_y_labels[0]]
        else:
            arrays = [sample.pred_fields.heatmaps.numpy()[:: self.every] / self.top]
        return tuple(np.clip(np.asarray(array, np.float32), 0, 1) for array in arrays)

    def to_image(self, centre: NDArray[np.floating], size: NDArray[np.floating]) -> NDArray[np.float64]:
        """(2, 3) affine from cell to image pixel, for a crop with this centre and size (width, height) in pixels."""
        cell = np.asarray(size, np.float64) / self.size
        return np.column_stack([np.diag(cell), self.shift * cell + centre - np.asarray(size, np.float64) / 2])


def _read_config(path: Path) -> Any:
    """Run the config. Raises UsageError without mmpose, InputError for whatever goes wrong in it."""
    if not path.is_file():
        raise InputError(f"{path} does not exist; --det-config takes a config file of mmpose")
    import_mmpose()
    from mmengine import Config

    try:
        with quiet():
            return Config.fromfile(path)
    except Exception as error:  # it is a program: anything can happen in it
        raise InputError(f"{path} is not a config that mmpose reads: {first_line(error)}") from error


def _build(settings: Any, path: Path) -> Any:
    """The model, in eval mode, without weights; nothing is fetched."""
    from mmengine.registry import init_default_scope
    from mmpose.models import TopdownPoseEstimator, build_pose_estimator
    from mmpose.registry import MODELS

    kind = settings.model.get("type")
    known = MODELS.get(kind) if isinstance(kind, str) else kind
    if isinstance(known, type) and not issubclass(known, TopdownPoseEstimator):
        raise InputError(
            f"{path} is of a {known.__name__}; posecli takes top-down models, such as HRNet, ViTPose or RTMPose"
        )
    try:
        model = without_missing_scopes(settings.model)
        if "backbone" in model:
            model.backbone.init_cfg = None  # weights to begin training with
        model.train_cfg = None
        model.test_cfg = {**model.get("test_cfg", {}), "flip_test": False, "output_heatmaps": True}
        init_default_scope(settings.get("default_scope", "mmpose"))
        return build_pose_estimator(model).eval()
    except Exception as error:  # mmpose's registries raise whatever its modules raise
        raise InputError(f"{path} makes no model of mmpose: {first_line(error)}") from error


def _preparation(settings: Any, path: Path) -> Any:
    """What turns a picture and a box into the model's input."""
    from mmengine.dataset import Compose

    try:
        return Compose(settings.test_dataloader.dataset.pipeline)
    except Exception as error:  # as above
        raise InputError(f"{path} does not tell how to prepare a picture: {first_line(error)}") from error


def _names_in_config(settings: Any) -> tuple[str, ...]:
    """Names of the joints in the data set that the config was made for; none where it tells of none."""
    from mmpose.apis.inference import dataset_meta_from_config

    for mode in ("train", "val", "test"):
        try:
            meta = dataset_meta_from_config(settings, mode)
        except Exception:  # a data set that is not here
            meta = None
        if meta:
            return tuple(meta["keypoint_id2name"][k] for k in range(meta["num_keypoints"]))
    return ()


def _of_output(names: tuple[str, ...], test_cfg: Any) -> tuple[str, ...]:
    """Names of the joints that the model gives, where it was trained on more."""
    given = test_cfg.get("output_keypoint_indices")
    return names if given is None or not max(given) < len(names) else tuple(names[k] for k in given)


def _skeleton(names: tuple[str, ...], path: Path) -> tuple[Skeleton, list[int]]:
    """The skeleton that these joints make, and where its joints stand among them."""
    for skeleton, theirs in _JOINTS:
        if set(theirs) <= set(names):
            return skeleton, [names.index(name) for name in theirs]
    found = f"finds {len(names)} joints ({', '.join(names[:4])} …)" if names else "does not name its joints"
    raise InputError(f"{path}: the model {found}; posecli lifts from those of COCO, Halpe-26 and Human3.6M")


def _hash_of(settings: Any, path: Path) -> str:
    """SHA-256 of what makes the network and its input, with all that the config inherits."""
    try:
        used = {"model": settings.model, "pipeline": settings.test_dataloader.dataset.pipeline}
    except AttributeError as error:
        raise InputError(f"{path} is no config of mmpose 1.3: {first_line(error)}") from error
    return hashlib.sha256(json.dumps(used, default=str, sort_keys=True).encode()).hexdigest()
