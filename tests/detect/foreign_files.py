"""One walking person, written as every tool writes: real layouts, made from one set of points."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.camera import DEFAULT_FOV_DEG, Pinhole
from posecli.corpus.store import POINT_NAMES
from posecli.demo import shipped_motion
from posecli.skeleton import COCO17, H36M17, HALPE26, OPENPOSE18, OPENPOSE25, Skeleton

FRAMES, FPS, SIZE = 40, 25.0, (640, 480)
TIMES = np.arange(FRAMES) / FPS


@cache
def tracks() -> Mapping[str, NDArray[np.float32]]:
    """Joint name of any of the skeletons → (T, 2) pixels of the shipped motion before a level camera."""
    points = shipped_motion().points[: 4 * FRAMES : 4] * [1, -1, -1]
    points = points - points[0, 0] + [0.0, 0.0, 4.0]
    rays = points[..., :2] / points[..., 2:]
    camera = Pinhole.from_fov(SIZE, DEFAULT_FOV_DEG).matrix
    pixels = (rays * [camera[0, 0], camera[1, 1]] + camera[:2, 2]).astype(np.float32)
    found = {name: pixels[:, k] for k, name in enumerate(POINT_NAMES)}
    for side, letter in (("left", "L"), ("right", "R")):
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            found[f"{side}_{joint}"] = found[letter + joint.capitalize()]
        for toe in ("big_toe", "small_toe"):
            found[f"{side}_{toe}"] = found[f"{side}_foot_index"]
    return found | {
        "neck": found["Thorax"],
        "mid_hip": found["Hip"],
        "hip": found["Hip"],
        "head": found["Head"],
    }


def points(skeleton: Skeleton) -> NDArray[np.float32]:
    """(T, J, 3): x, y and a score of its own for every joint and frame."""
    xy = np.stack([tracks()[name] for name in skeleton.joint_names], axis=1)
    scores = np.linspace(0.5, 0.95, xy.shape[0] * xy.shape[1], dtype=np.float32).reshape(xy.shape[:2])
    return np.concatenate([xy, scores[..., None]], axis=-1)


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def openpose(folder: Path, person: NDArray[np.float32]) -> Path:
    for frame, joints in enumerate(person):
        entry = {"person_id": [-1], "pose_keypoints_2d": joints.astype(float).ravel().tolist()}
        entry |= {f"{part}_keypoints_2d": [] for part in ("face", "hand_left", "hand_right")}
        _json(folder / f"clip_{frame:012d}_keypoints.json", {"version": 1.3, "people": [entry]})
    return folder


def alphapose(folder: Path, person: NDArray[np.float32]) -> Path:
    entries = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": joints.astype(float).ravel().tolist(),
         "score": 2.9, "box": [1.0, 2.0, 30.0, 40.0], "idx": 1}
        for frame, joints in enumerate(person)
    ]  # fmt: skip
    return _json(folder / "alphapose-results.json", entries)


def whole_body(folder: Path, person: NDArray[np.float32]) -> Path:
    """AlphaPose's 136 joints of Halpe: the body first."""
    return alphapose(
        folder, np.concatenate([person, np.full((len(person), 110, 3), 0.5, np.float32)], axis=1)
    )


def coco_results(folder: Path, person: NDArray[np.float32]) -> Path:
    entries = [
        {
            "image_id": frame,
            "category_id": 1,
            "keypoints": joints.astype(float).ravel().tolist(),
            "score": 0.9,
        }
        for frame, joints in enumerate(person)
    ]
    return _json(folder / "person_keypoints_results.json", entries)


def coco_annotations(folder: Path, person: NDArray[np.float32]) -> Path:
    """Joints in an order of its own, images numbered at random, labelled with visibility 2."""
    ids = np.random.default_rng(0).permutation(1000)[: len(person)].tolist()
    order = list(reversed(range(person.shape[1])))
    names = [COCO17.joint_names[j] for j in order]
    images = [
        {"id": i, "file_name": f"shot_{frame:05d}.png", "width": SIZE[0], "height": SIZE[1]}
        for frame, i in enumerate(ids)
    ]
    notes = []
    for frame, joints in enumerate(person):
        seen = np.concatenate([joints[order, :2].astype(float), np.full((len(order), 1), 2.0)], axis=1)
        notes.append({"id": frame, "image_id": ids[frame], "category_id": 1, "iscrowd": 0,
                      "num_keypoints": 17, "keypoints": seen.ravel().tolist(), "bbox": [0, 0, 9, 9]})  # fmt: skip
    kinds = [{"id": 1, "name": "person", "keypoints": names, "skeleton": []}]
    content = {"info": {}, "images": images[::-1], "annotations": notes, "categories": kinds}
    return _json(folder / "person_keypoints.json", content)


def _instance(joints: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "keypoints": joints[:, :2].astype(float).tolist(),
        "keypoint_scores": joints[:, 2].astype(float).tolist(),
        "bbox": [[1.0, 2.0, 3.0, 4.0]],
        "bbox_score": 0.9,
    }


def mmpose_inferencer(folder: Path, person: NDArray[np.float32]) -> Path:
    frames = [{"frame_id": frame, "instances": [_instance(joints)]} for frame, joints in enumerate(person)]
    return _json(folder / "clip.json", frames)


def mmpose_demo(folder: Path, person: NDArray[np.float32]) -> Path:
    names = {str(j): name for j, name in enumerate(HALPE26.joint_names)}
    frames = [
        {"frame_id": frame + 1, "instances": [_instance(joints)]} for frame, joints in enumerate(person)
    ]
    meta = {"dataset_name": "halpe26", "num_keypoints": 26, "keypoint_id2name": names}
    return _json(folder / "results_clip.json", {"meta_info": meta, "instance_info": frames})


def easy_vitpose(folder: Path, person: NDArray[np.float32]) -> Path:
    frames = [{"1": joints[:, [1, 0, 2]].astype(float).tolist()} for joints in person]
    names = {str(j): name for j, name in enumerate(COCO17.joint_names)}
    return _json(folder / "clip_result.json", {"keypoints": frames, "skeleton": names})


def transformers_vitpose(folder: Path, person: NDArray[np.float32]) -> Path:
    frames = [
        [{"keypoints": j[:, :2].astype(float).tolist(), "scores": j[:, 2].astype(float).tolist(),
          "labels": list(range(17)), "bbox": [1.0, 2.0, 3.0, 4.0]}]
        for j in person
    ]  # fmt: skip
    return _json(folder / "vitpose.json", frames)


def vp3d(folder: Path, person: NDArray[np.float32]) -> Path:
    positions = {"clip.mp4": {"custom": [person[..., :2]]}}
    metadata = {"layout_name": "coco", "num_joints": 17,
                "keypoints_symmetry": [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]],
                "video_metadata": {"clip.mp4": {"w": SIZE[0], "h": SIZE[1], "fps": FPS}}}  # fmt: skip
    np.savez_compressed(folder / "data_2d_custom_clip.npz", positions_2d=positions, metadata=metadata)  # type: ignore[arg-type]
    return folder / "data_2d_custom_clip.npz"


def vp3d_h36m(folder: Path, person: NDArray[np.float32]) -> Path:
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": [[4, 5], [1, 2]]}
    positions = {"S1": {"Walking": [person[..., :2].astype(">f8")]}}
    np.savez(folder / "data_2d_h36m_gt.npz", positions_2d=positions, metadata=metadata)  # type: ignore[arg-type]
    return folder / "data_2d_h36m_gt.npz"


def detectron(folder: Path, person: NDArray[np.float32]) -> Path:
    """As VideoPose3D's infer_video.py writes: ragged object arrays of [[], array]."""
    boxes, keypoints = (np.empty((len(person), 2), dtype=object) for _ in range(2))
    for frame, joints in enumerate(person):
        rows = np.stack([joints[:, 0], joints[:, 1], 8 * joints[:, 2], joints[:, 2]])
        boxes[frame, 0], boxes[frame, 1] = [], np.array([[1, 2, 3, 4, 0.99]], np.float32)
        keypoints[frame, 0], keypoints[frame, 1] = [], rows[None]
    segments = np.array([None] * len(person), dtype=object)
    path = folder / "clip.mp4.npz"
    np.savez_compressed(
        path, boxes=boxes, segments=segments, keypoints=keypoints, metadata={"w": SIZE[0], "h": SIZE[1]}
    )  # type: ignore[arg-type]
    return path


def own_csv(folder: Path, person: NDArray[np.float32]) -> Path:
    path = folder / "clip.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        heads = [f"{name}_{c}" for name in COCO17.joint_names for c in ("x", "y", "score")]
        out.writerow(["frame", "time", *heads])
        for frame, joints in enumerate(person):
            out.writerow([frame, TIMES[frame], *joints.astype(float).ravel().tolist()])
    return path


def deeplabcut(folder: Path, person: NDArray[np.float32]) -> Path:
    path = folder / "clipDLC_resnet50.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["scorer"] + ["DLC_resnet50"] * 51)
        out.writerow(["bodyparts"] + [name for name in COCO17.joint_names for _ in range(3)])
        out.writerow(["coords"] + ["x", "y", "likelihood"] * 17)
        for frame, joints in enumerate(person):
            out.writerow([frame, *joints.astype(float).ravel().tolist()])
    return path


SPORTS2D = {
    "Hip": "hip", "RHip": "right_hip", "RKnee": "right_knee", "RAnkle": "right_ankle", "RBigToe": "right_big_toe",
    "RSmallToe": "right_small_toe", "RHeel": "right_heel", "LHip": "left_hip", "LKnee": "left_knee",
    "LAnkle": "left_ankle", "LBigToe": "left_big_toe", "LSmallToe": "left_small_toe", "LHeel": "left_heel",
    "Neck": "neck", "Head": "head", "Nose": "nose", "RShoulder": "right_shoulder", "RElbow": "right_elbow",
    "RWrist": "right_wrist", "LShoulder": "left_shoulder", "LElbow": "left_elbow", "LWrist": "left_wrist",
}  # fmt: skip
"""Sports2D's names of the markers of its body_with_feet model, which has no eyes and ears."""


def sports2d(folder: Path, person: NDArray[np.float32]) -> Path:
    places = [HALPE26.index(name) for name in SPORTS2D.values()]
    path = folder / "clip_Sports2D_px_person00.trc"
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{FPS}\t{FPS}\t{len(person)}\t{len(places)}\tm\t{FPS}\t0\t{len(person)}",
        "Frame#\tTime\t" + "\t\t\t".join(SPORTS2D) + "\t\t",
        "\t\t" + "\t".join(f"X{i + 1}\tY{i + 1}\tZ{i + 1}" for i in range(len(places))) + "\t",
    ]
    for frame, joints in enumerate(person):
        cells = [f"{float(x)}\t{float(y)}\t0.0" for x, y, _ in joints[places]]
        lines.append(f"{frame}\t{TIMES[frame]}\t" + "\t".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


Writer = Callable[[Path, NDArray[np.float32]], Path]
LAYOUTS: dict[str, tuple[str, Skeleton, Writer, bool]] = {
    "openpose BODY_25": ("openpose", OPENPOSE25, openpose, True),
    "openpose COCO": ("openpose", OPENPOSE18, openpose, True),
    "alphapose": ("alphapose", COCO17, alphapose, True),
    "alphapose Halpe 26": ("alphapose", HALPE26, alphapose, True),
    "halpe 136": ("halpe", HALPE26, whole_body, True),
    "coco results": ("coco", COCO17, coco_results, True),
    "coco annotations": ("coco", COCO17, coco_annotations, False),
    "mmpose Inferencer": ("mmpose", COCO17, mmpose_inferencer, True),
    "mmpose demo": ("mmpose", HALPE26, mmpose_demo, True),
    "easy_ViTPose": ("vitpose", COCO17, easy_vitpose, True),
    "Transformers ViTPose": ("vitpose", COCO17, transformers_vitpose, True),
    "VideoPose3D custom": ("vp3d", COCO17, vp3d, False),
    "VideoPose3D h36m": ("vp3d", H36M17, vp3d_h36m, False),
    "VideoPose3D detectron": ("vp3d", COCO17, detectron, True),
    "csv": ("csv", COCO17, own_csv, True),
    "DeepLabCut": ("csv", COCO17, deeplabcut, True),
    "Sports2D": ("trc", HALPE26, sports2d, False),
}
"""Name → format, joints, writer, whether it keeps scores."""
