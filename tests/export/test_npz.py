"""The .npz comes back as it was, and a file from anywhere is checked before it is believed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posecli.errors import InputError
from posecli.export.npz import load_npz, save_npz
from posecli.motion import Motion

Make = Callable[..., Motion]


@pytest.fixture
def motion(t_pose: np.ndarray, make_motion: Make) -> Motion:
    rng = np.random.default_rng(0)
    joints = t_pose + rng.normal(0, 0.01, (6, 17, 3)).astype(np.float32)
    joints[2] = np.nan
    valid = np.array([True, True, False, True, True, True])
    return make_motion(
        joints,
        timestamps_s=np.array([0.0, 0.0334, 0.0667, 0.1001, 0.15, 0.2]),
        valid=valid,
        root_path=np.where(valid[:, None], rng.normal(size=(6, 3)), np.nan).astype(np.float32),
        hypotheses=np.stack([joints, joints + 0.01]),
        settings={"method": "ddhpose", "seed": 7, "name": "Zoë"},
    )


@pytest.mark.parametrize("optional", [True, False])
def test_round_trip(
    tmp_path: Path, motion: Motion, t_pose: np.ndarray, make_motion: Make, optional: bool
) -> None:
    before = motion if optional else make_motion(np.stack([t_pose]))
    after = load_npz(save_npz(before, tmp_path / "a.npz"))
    for name, value in vars(before).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(after, name), value, err_msg=name)
            assert getattr(after, name).dtype == value.dtype
        else:
            assert getattr(after, name) == value, name


def test_numpy_alone_can_read_it(tmp_path: Path, motion: Motion) -> None:
    with np.load(save_npz(motion, tmp_path / "a.npz"), allow_pickle=False) as data:
        assert int(data["schema_version"]) == 1
        assert data["joint_names"][11] == "LShoulder" and data["parents"][11] == 8
        assert data["hypotheses"].shape == (2, 6, 17, 3)
        assert (str(data["frame"]), str(data["units"]), str(data["scale_source"])) == ("camera", "m", "prior")
        assert json.loads(str(data["settings_json"]))["seed"] == 7


def test_same_motion_same_bytes(tmp_path: Path, motion: Motion) -> None:
    assert (
        save_npz(motion, tmp_path / "a.npz").read_bytes() == save_npz(motion, tmp_path / "b.npz").read_bytes()
    )


DROP = object()
WRONG: list[tuple[str, Any, str]] = [
    ("valid", DROP, "valid missing"),
    (
        "joints_3d",
        np.zeros((6, 16, 3), np.float32),
        r"joints_3d must have shape \(6, 17, 3\), not \(6, 16, 3\)",
    ),
    ("valid", np.zeros(5, bool), r"valid must have shape \(6\), not \(5,\)"),
    ("valid", np.ones(6, np.uint8), "valid must be bool, not uint8"),
    ("parents", np.zeros(17), "parents must be integer, not float64"),
    ("joint_names", np.array(["x"] * 17), "joint_names and parents are none of"),
    ("joint_names", np.array(["x"] * 17, object), "joint_names holds Python objects"),
    ("schema_version", np.int64(2), "schema version 2, this posecli reads 1; update posecli"),
    ("frame", np.array("world"), 'frame must be "camera"'),
    ("settings_json", np.array("[" * 100_000), "settings_json is not a JSON object"),
    ("timestamps_s", np.array([0.0, 0.1, np.nan, 0.3, 0.4, 0.5]), "timestamps_s must be finite and in order"),
    (
        "joints_3d",
        np.full((6, 17, 3), np.nan, np.float32),
        "joints_3d has frames that are valid but not finite",
    ),
    ("scale_source", np.frombuffer(b"\xff" * 4, "<U1")[0:1].reshape(()), "scale_source is not text"),
    ("image_size", np.array([0, 10]), "image_size must be positive"),
    ("settings_json", np.array('{"method": "\\ud800"}'), "settings_json is not a JSON object"),
    (
        "hypotheses",
        np.full((2, 6, 17, 3), np.nan, np.float32),
        "hypotheses has frames that are valid but not finite",
    ),
    ("joints_3d", np.full((6, 17, 3), 1e300), "joints_3d has frames that are valid but not finite"),
    ("timestamps_s", np.linspace(0, 1e300, 6), "timestamps_s must be seconds below 1e\\+08"),
    ("timestamps_s", np.arange(6) * 1e-9, "timestamps_s must be seconds .* 1e-05 apart or more"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG, ids=[f"{w[0]}-{w[2][:20]}" for w in WRONG])
def test_what_is_wrong_is_named(tmp_path: Path, motion: Motion, name: str, value: Any, message: str) -> None:
    with np.load(save_npz(motion, tmp_path / "a.npz")) as data:
        arrays = dict(data)
    arrays.pop(name, None)
    if value is not DROP:
        arrays[name] = value
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        load_npz(tmp_path / "b.npz")
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, motion: Motion) -> None:
    """A header that claims 20 GB, and one that says less than the member holds."""
    good = save_npz(motion, tmp_path / "a.npz")
    for shape, message in (
        ((2, 50_000_000, 17, 3), "must have shape|claims|cut short"),
        ((1, 6, 17, 3), "cut short"),
    ):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        with (
            zipfile.ZipFile(good) as old,
            zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for item in old.namelist():
                data = old.read(item)
                new.writestr(item, header.getvalue() + bytes(1 << 20) if item == "hypotheses.npy" else data)
        with pytest.raises(InputError, match=message):
            load_npz(tmp_path / "b.npz")


def test_damaged_files(tmp_path: Path, motion: Motion) -> None:
    """Cut anywhere or with any byte changed: an InputError, or the same kind of motion, never anything else."""
    data = save_npz(motion, tmp_path / "a.npz").read_bytes()
    broken = tmp_path / "b.npz"
    rng = np.random.default_rng(0)
    for cut in rng.integers(0, len(data), 30):
        broken.write_bytes(data[:cut])
        with pytest.raises(InputError):
            load_npz(broken)
    for place in rng.integers(0, len(data), 300):
        changed = bytearray(data)
        changed[place] ^= int(rng.integers(1, 256))
        broken.write_bytes(changed)
        with suppress(InputError):
            load_npz(broken)


def test_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_npz(tmp_path / "none.npz")
    with pytest.raises(InputError, match="cannot read"):
        load_npz(tmp_path)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        load_npz(tmp_path / "text.npz")


def test_numbers_in_frames_without_a_pose_are_none(tmp_path: Path, motion: Motion) -> None:
    with np.load(save_npz(motion, tmp_path / "a.npz")) as data:
        arrays = dict(data)
    arrays["valid"] = np.arange(6) != 2
    arrays["joints_3d"] = np.nan_to_num(arrays["joints_3d"])
    np.savez(tmp_path / "b.npz", **arrays)
    assert np.isnan(load_npz(tmp_path / "b.npz").joints_3d[2]).all()
