"""Files of other programs: read to the very pose they hold, or refused in one line without running anything."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posecli.errors import InputError, PosecliError, UsageError
from posecli.export.npz import save_npz
from posecli.lifting import standing_height
from posecli.motion import Motion
from posecli.refine import foreign_files
from posecli.refine.foreign import Beside, read_predictions
from posecli.skeleton import COCO17, H36M17


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


@pytest.fixture
def beside(seen: Callable[..., Motion], tmp_path: Path) -> Beside:
    np.savez(tmp_path / "keypoints.npz", reconstruction=seen().keypoints_2d[None])
    return Beside(tmp_path / "keypoints.npz", (1280, 720), 25.0)


def mmpose(joints: np.ndarray, missing: tuple[int, ...] = ()) -> dict[str, Any]:
    """As its demos write a Human3.6M camera frame: (-x, z, -y), every frame's lowest joint on the floor."""
    turned = np.stack([-joints[..., 0], joints[..., 2], -joints[..., 1]], axis=-1)
    turned[..., 2] -= turned[..., 2].min(axis=1, keepdims=True)
    return {
        "meta_info": {"dataset_name": "h36m"},
        "instance_info": [
            {"frame_id": k, "instances": [] if k in missing else [{"keypoints": pose.tolist()}]}
            for k, pose in enumerate(turned)
        ],
    }


@pytest.mark.parametrize(
    "kind", ["npy", "reconstruction", "people", "only array", "millimetres", "moving root", "float32"]
)
def test_arrays(kind: str, body: np.ndarray, beside: Beside, tmp_path: Path) -> None:
    path = tmp_path / ("X3D.npy" if kind in ("npy", "float32") else "preds.npz")
    if path.suffix == ".npy":
        np.save(path, np.asfortranarray(body) if kind == "npy" else body.astype(np.float32))
    else:
        made = {"people": body[None], "millimetres": body * 1000, "moving root": body + 3.0}.get(kind, body)
        np.savez_compressed(
            path, **{"only array": {"x": made}}.get(kind, {"reconstruction": made, "other": np.zeros(3)})
        )
    motion = read_predictions(path, beside)
    np.testing.assert_allclose(motion.joints_3d, body, atol=1e-5)
    assert motion.timestamps_s[1] == pytest.approx(0.04) and motion.image_size == (1280, 720)
    assert motion.scale_source == "prior" and motion.settings["method"] == "unknown"
    assert np.isnan(motion.joints_3d_std).all()  # unknown, not nought


def test_a_person_of_another_size_is_brought_to_the_height_given(
    body: np.ndarray, beside: Beside, tmp_path: Path
) -> None:
    np.save(tmp_path / "X3D.npy", body * 5)
    with pytest.raises(
        InputError, match=r"stands 8\.51 units tall, neither metres nor millimetres; give the person's"
    ):
        read_predictions(tmp_path / "X3D.npy", beside)
    known = Beside(beside.keypoints, beside.image_size, beside.rate, height_m=1.8)
    motion = read_predictions(tmp_path / "X3D.npy", known)
    assert standing_height(motion.joints_3d) == pytest.approx(1.8) and motion.scale_source == "height"


def test_mmpose(body: np.ndarray, beside: Beside, seen: Callable[..., Motion], tmp_path: Path) -> None:
    """Mirrored back from its axes; frames without anybody stay missing; 2D of its own kind, in COCO's joints."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps(mmpose(body, missing=(3, 4))))
    motion = read_predictions(path, beside)
    assert (~motion.valid).nonzero()[0].tolist() == [3, 4]
    np.testing.assert_allclose(motion.joints_3d[motion.valid], body[motion.valid], atol=1e-6)
    assert np.isnan(motion.joints_3d[3]).all() and motion.settings["keypoints"]["axes"] == "mmpose"

    pixels = seen().keypoints_2d
    coco = np.repeat(pixels[:, [9]], 17, axis=1)  # the face at the nose
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        for side in ("left", "right"):
            there = f"{side[0].upper()}{name.capitalize()}"
            coco[:, COCO17.index(f"{side}_{name}")] = pixels[:, H36M17.index(there)]
    frames = [{"frame_id": k, "instances": [{"keypoints": p.tolist()}]} for k, p in enumerate(coco)]
    (tmp_path / "2d.json").write_text(json.dumps(frames))
    np.save(tmp_path / "2d.npy", coco)
    for name, layout in (
        ("2d.json", "h36m17"),
        ("2d.npy", "coco17"),
    ):  # the JSON's reader brings them there itself
        motion = read_predictions(path, Beside(tmp_path / name, (1280, 720), 25.0))
        assert motion.settings["keypoints"]["joints"] == layout
        np.testing.assert_allclose(motion.keypoints_2d[:, 13], pixels[:, 13], atol=1e-3)  # LWrist
        hips = pixels[:, [1, 4]].mean(axis=1)
        np.testing.assert_allclose(motion.keypoints_2d[:, 0], hips, atol=1e-3)


def test_normalised_2d_joints_are_refused(
    body: np.ndarray, beside: Beside, seen: Callable[..., Motion], tmp_path: Path
) -> None:
    np.save(tmp_path / "X3D.npy", body)
    np.save(tmp_path / "2d.npy", seen().keypoints_2d / 640 - 1)
    with pytest.raises(InputError, match="are no pixels of a picture of 1280x720"):
        read_predictions(tmp_path / "X3D.npy", Beside(tmp_path / "2d.npy", (1280, 720), 25.0))
    with pytest.raises(InputError, match="are no pixels of a picture of 128x72"):
        read_predictions(tmp_path / "X3D.npy", Beside(beside.keypoints, (128, 72), 25.0))


def test_a_pose_mirrored_in_depth_is_refused_by_its_knees(
    body: np.ndarray, beside: Beside, tmp_path: Path
) -> None:
    """It projects onto the 2D joints as well as the true one."""
    np.save(tmp_path / "X3D.npy", body * (1, 1, -1))
    with pytest.raises(InputError, match=r"knees of .* bend backwards, by \d+% of the leg .*negate it"):
        read_predictions(tmp_path / "X3D.npy", beside)


def test_our_own_file_needs_nothing(seen: Callable[..., Motion], tmp_path: Path) -> None:
    path = save_npz(seen(), tmp_path / "ours.npz")
    assert np.array_equal(read_predictions(path).joints_3d, seen().joints_3d)
    with pytest.raises(UsageError, match="leave out --keypoints"):
        read_predictions(path, Beside(rate=30.0))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda a: a.astype(object), "pickled Python objects"),
        (lambda a: a[:, :16], r"must have shape \(T, 17, 3\), Human3.6M's 17 joints, not \(90, 16, 3\)"),
        (lambda a: a[..., :2], r"must have shape \(T, 17, 3\)"),
        (lambda a: a[:0], r"must have shape \(T, 17, 3\)"),
        (lambda a: np.stack([a, a]), "holds 2 people; keep one"),
        (
            lambda a: np.where(np.arange(90)[:, None, None] == 7, np.nan, a),
            "frame 7 holds numbers that are not finite",
        ),
        (lambda a: a[:80], "has 80 frames, but .*keypoints.npz 90"),
        (lambda a: a * [1, -1, 1], "do not project onto the 2D joints"),
        (lambda a: a * [-1, 1, 1], "do not project onto the 2D joints"),
        (lambda a: np.roll(a, 1, axis=1), "do not project onto the 2D joints"),
        (lambda a: a.astype("U8"), "must hold real numbers"),
        (lambda a: a * 0, "do not project onto the 2D joints"),
        (lambda a: a * 1e40, "holds numbers beyond 1e\\+06"),
    ],
    ids=[
        "objects",
        "16 joints",
        "2D",
        "empty",
        "people",
        "nan",
        "length",
        "y up",
        "mirrored",
        "order",
        "text",
        "zero",
        "huge",
    ],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_bad_arrays_are_refused(
    break_it: Callable[[np.ndarray], np.ndarray],
    says: str,
    ending: str,
    body: np.ndarray,
    beside: Beside,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"preds.{ending}"
    with path.open("wb") as file:
        (np.save if ending == "npy" else np.savez)(file, break_it(body))
    with pytest.raises(InputError, match=says) as caught:
        read_predictions(path, beside)
    assert "\n" not in str(caught.value)


def test_nothing_is_executed_and_nothing_is_allocated(
    beside: Beside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bombs = {
        "a.npy": pickle.dumps(Bomb()),
        "b.npz": pickle.dumps(Bomb()),
        "c.npz": b"PK\x03\x04",
        "d.npy": b"",
        "e.json": b"[" * 99_999,
    }
    for name, content in bombs.items():
        Path(name).write_bytes(content)
    np.save("f.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez("g.npz", reconstruction=np.array([Bomb()], dtype=object))
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000, 17, 3)}".ljust(117)
        + b"\n"
    )
    Path("h.npy").write_bytes(header)
    Path("i.npy").write_bytes(header.replace(b"(10000000000", b"(1000000    "))
    Path("j.npy").write_bytes(header.replace(b"}", b" "))
    Path("k.npy").write_bytes(
        header.replace(b"(10000000000, 17, 3)", b"(0, 2**70)".replace(b"2**70", str(2**70).encode()))
    )
    np.savez("l.npz", reconstruction=np.zeros((2, 17, 3)))
    Path("l.npz").write_bytes(Path("l.npz").read_bytes().replace(b"PK\x01\x02", b"PK\x01\x02\x63", 1))
    for name in (
        *bombs,
        "f.npy",
        "g.npz",
        "h.npy",
        "i.npy",
        "j.npy",
        "k.npy",
        "l.npz",
        "absent.npy",
        "absent.json",
        ".",
    ):
        with pytest.raises(InputError) as caught:
            read_predictions(Path(name), beside)
        assert "\n" not in str(caught.value), name
    assert not Path("executed").exists()
    monkeypatch.setattr(foreign_files, "MAX_JSON_BYTES", 10)
    with pytest.raises(InputError, match="MiB of JSON are read"):
        read_predictions(Path("e.json"), beside)


@pytest.mark.parametrize(
    ("rate", "exact"),
    [
        (29.97, 30000 / 1001),
        (23.976, 24000 / 1001),
        (23.98, 24000 / 1001),
        (30, 30),
        (12.5, 12.5),
        (2, 2),
        (5, 5),
    ],
)
def test_rates_of_television_are_meant_exactly(
    rate: float, exact: float, body: np.ndarray, beside: Beside, tmp_path: Path
) -> None:
    np.save(tmp_path / "X3D.npy", body)
    motion = read_predictions(tmp_path / "X3D.npy", Beside(beside.keypoints, (1280, 720), rate))
    np.testing.assert_allclose(motion.timestamps_s, np.arange(90) / exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "instance_info is missing or empty"),
        ({"instance_info": []}, "instance_info is missing or empty"),
        ({"instance_info": [3]}, "frame 0 has no list of instances"),
        ({"instance_info": [{"instances": [{}, {}]}]}, "frame 0 holds 2 people"),
        ({"instance_info": [{"instances": [{"keypoints": "abc"}]}]}, "frame 0 are not numbers"),
        ({"instance_info": [{"instances": [{"keypoints": [[1, 2, 3]]}]}]}, r"shape \(1, 3\), not \(17, 3\)"),
        ({"instance_info": [{"instances": [{"keypoints": [[1, 2, float("nan")]] * 17}]}]}, "not finite"),
        (
            {"instance_info": [{"instances": [{"keypoints": [["1", "2", "3"]] * 17}]}]},
            "frame 0 are not numbers",
        ),
        (
            {"instance_info": [{"instances": [{"keypoints": [[10**400, 2, 3]] * 17}]}]},
            "frame 0 are not numbers",
        ),
        ({"instance_info": [{"instances": [{"keypoints": [[1e300, 2, 3]] * 17}]}]}, "numbers beyond 1e"),
        ({"instance_info": [{"instances": []}]}, "nobody is in any of its 1 frames"),
    ],
)
def test_bad_json_is_refused(document: Any, says: str, beside: Beside, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=says):
        read_predictions(tmp_path / "x.json", beside)


def test_what_is_missing_is_named(body: np.ndarray, beside: Beside, tmp_path: Path) -> None:
    np.save(tmp_path / "X3D.npy", body)
    for given, says in (
        (Beside(), "give --keypoints FILE, --image-size WIDTHxHEIGHT, --fps RATE too"),
        (Beside(beside.keypoints), "give --image-size WIDTHxHEIGHT, --fps RATE too"),
        (Beside(beside.keypoints, (1280, 720)), "give --fps RATE too"),
    ):
        with pytest.raises(PosecliError, match=says):
            read_predictions(tmp_path / "X3D.npy", given)
    np.savez(tmp_path / "two.npz", a=body, b=body)
    with pytest.raises(InputError, match="holds a, b; an array called reconstruction or X3D"):
        read_predictions(tmp_path / "two.npz", beside)
    for wrong in ({"image_size": (0, 5)}, {"rate": 0.0}, {"height_m": 180.0}):
        with pytest.raises(UsageError):
            Beside(**wrong)  # type: ignore[arg-type]


def test_2d_joints_of_videopose3d(
    body: np.ndarray, beside: Beside, seen: Callable[..., Motion], tmp_path: Path
) -> None:
    """Its custom data are pickled dictionaries, which are read as data."""
    np.save(tmp_path / "X3D.npy", body)
    positions = {"video": {"custom": [seen().keypoints_2d]}}
    layout = {"layout_name": "h36m", "num_joints": 17}
    np.savez(
        tmp_path / "data_2d_custom_me.npz",
        positions_2d=np.array(positions, object),
        metadata=np.array(layout, object),
    )
    given = Beside(tmp_path / "data_2d_custom_me.npz", (1280, 720), 25.0)
    motion = read_predictions(tmp_path / "X3D.npy", given)
    np.testing.assert_allclose(motion.joints_3d, body, atol=1e-5)
    np.testing.assert_allclose(motion.keypoints_2d, seen().keypoints_2d, atol=1e-3)


def test_2d_joints_all_in_one_place_show_nothing(body: np.ndarray, beside: Beside, tmp_path: Path) -> None:
    np.save(tmp_path / "X3D.npy", body)
    np.save(tmp_path / "2d.npy", np.full((90, 17, 2), 300.0))
    with pytest.raises(InputError, match="do not project onto the 2D joints"):
        read_predictions(tmp_path / "X3D.npy", Beside(tmp_path / "2d.npy", (1280, 720), 25.0))


def test_a_lifter_that_was_not_known_can_be_named_later(seen: Callable[..., Motion], tmp_path: Path) -> None:
    path = save_npz(seen(settings={"method": "unknown"}), tmp_path / "a.npz")
    assert read_predictions(path, Beside(base="ddhpose")).settings["method"] == "ddhpose"
