"""The corpus file gives back what went in, within half a step."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from posecli.corpus.store import (
    ACKNOWLEDGEMENT,
    LINKED_SUBJECTS,
    POINT_NAMES,
    Clip,
    load_corpus,
    resample,
    split_of,
    write_corpus,
)
from posecli.errors import InputError
from posecli.skeleton import BLAZEPOSE33, H36M17


def clip(rng: np.random.Generator, frames: int, subject: int) -> Clip:
    # Jumps of many metres between frames: differences overflow sixteen bits and must come back all the same.
    points = rng.uniform(-15, 15, (frames, 28, 3)).astype(np.float32)
    return Clip(points, 120.0, subject, 4, "A", 7, "walk, “slowly”", subject != 1, 0.5)


@pytest.mark.parametrize("step_mm", [0.5, 1.0])
def test_round_trip(tmp_path: Path, step_mm: float) -> None:
    rng = np.random.default_rng(0)
    clips = [clip(rng, frames, subject) for frames, subject in ((1, 1), (300, 2), (77, 9))]
    write_corpus(tmp_path / "c.h5", clips, step_mm)
    back = load_corpus(tmp_path / "c.h5")
    assert [len(c) for c in back] == [1, 300, 77]
    for a, b in zip(clips, back, strict=True):
        assert b.points.dtype == np.float32
        assert np.abs(a.points - b.points).max() <= step_mm / 2000 + 2e-6  # plus float32 rounding at 15 m
        assert (a.fps, a.subject, a.trial, a.tier, a.first_frame, a.description, a.flat_floor, a.weight) == (
            b.fps, b.subject, b.trial, b.tier, b.first_frame, b.description, b.flat_floor, b.weight,
        )  # fmt: skip
    assert [c.subject for c in load_corpus(tmp_path / "c.h5", "test")] == [2]
    assert [c.subject for c in load_corpus(tmp_path / "c.h5", "val")] == [9]
    assert [p.name for p in tmp_path.iterdir()] == ["c.h5"]
    with h5py.File(tmp_path / "c.h5") as file:
        assert file.attrs["acknowledgement"] == ACKNOWLEDGEMENT


def test_points_are_the_named_ones() -> None:
    assert POINT_NAMES[:17] == H36M17.joint_names
    assert len(POINT_NAMES) == 28 and set(POINT_NAMES[17:]) <= set(BLAZEPOSE33.joint_names)


def test_split_never_divides_a_person() -> None:
    assert {s for s in range(1, 150) if split_of(s) == "test"} == {2, 12, 49, 86, 131}
    assert {s for s in range(1, 150) if split_of(s) == "val"} == {5, 9, 10}
    for group in ((16, 17), (7, 8), (64, 124), (93, 127, 14, 1)):
        assert group in LINKED_SUBJECTS
        assert len({split_of(subject) for subject in group}) == 1


def test_damaged_files_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good.h5"
    write_corpus(good, [clip(np.random.default_rng(0), 400, 3)])
    with pytest.raises(InputError, match="no corpus at"):
        load_corpus(tmp_path / "absent.h5")
    data = good.read_bytes()
    for k, broken in enumerate((b"", b"not HDF5 at all", data[: len(data) // 2])):
        path = tmp_path / f"broken{k}.h5"
        path.write_bytes(broken)
        with pytest.raises(InputError, match=path.name):
            load_corpus(path)
    for k, change in enumerate(("schema", "start", "deltas", "type", "holes", "fps", "weight", "step")):
        path = tmp_path / f"changed{k}.h5"
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            if change == "schema":
                file.attrs["schema"] = 99
            elif change == "start":
                file["clips/start"][:] = 10_000
            elif change in ("fps", "weight"):
                file[f"clips/{change}"][:] = np.nan if change == "fps" else -1
            elif change == "step":
                file.attrs["step_mm"] = -1.0
            elif change == "deltas":
                del file["deltas"]
            elif change == "type":
                del file["deltas"]
                file["deltas"] = np.zeros((84, 400))
            else:
                del file["clips/trial"]
                file["clips/trial"] = np.zeros(0, np.int32)
        with pytest.raises(InputError, match=path.name):
            load_corpus(path)


def test_resampling_follows_the_motion() -> None:
    t = np.arange(241) / 120
    wave = np.stack([np.sin(2 * t), np.cos(3 * t)], axis=-1).astype(np.float32)[:, None]
    halved = resample(wave, 120, 60)
    np.testing.assert_array_equal(halved, wave[::2])
    for rate in (25.0, 29.97, 48.0, 240.0):
        got = resample(wave, 120, rate)
        at = np.arange(len(got)) / rate
        assert 2 - 1 / rate < at[-1] <= 2 + 1e-9
        np.testing.assert_allclose(got[:, 0], np.stack([np.sin(2 * at), np.cos(3 * at)], -1), atol=2e-5)
