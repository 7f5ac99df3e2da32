"""The open benchmark: its file, and that what is scored is what the lifter said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from posecli.bench.open import evaluate, open_samples, run_open
from posecli.bench.open_data import FILE, OpenBenchmark, hash_file, load_benchmark, write_benchmark
from posecli.camera import Pinhole
from posecli.corpus.store import TEST_SUBJECTS
from posecli.errors import InputError, UsageError
from posecli.facing import face_windows
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.loaded import Lifting
from posecli.skeleton import H36M17, LIMBS, Skeleton

WINDOW, STRIDE = 30, 15


@pytest.fixture(scope="module")
def benchmark_() -> OpenBenchmark:
    return load_benchmark()


def test_every_action_meets_every_viewpoint_equally_often(benchmark_: OpenBenchmark) -> None:
    cells = Counter((c.action, c.viewpoint) for c in benchmark_.clips)
    assert len(cells) == 8 * 4 and set(cells.values()) == {2}
    assert {c.subject for c in benchmark_.clips} <= TEST_SUBJECTS
    assert FILE.stat().st_size < 3e6


def test_cameras_truth_and_keypoints_agree(benchmark_: OpenBenchmark) -> None:
    """Limbs through the stated camera are where the perfect detector sees them, within the rounding."""
    for clip in benchmark_.clips:
        uvw = (clip.joints + clip.root[:, None]) @ clip.K.T
        off = (uvw[..., :2] / uvw[..., 2:] - clip.true)[:, list(LIMBS)]
        assert np.abs(off).max() < 0.6
        assert (clip.joints[:, 0] == 0).all() and np.isfinite(clip.detected).all()
        person = np.ptp(clip.true[..., 1], axis=1).mean()
        assert 0 < np.linalg.norm(clip.detected - clip.true, axis=-1).mean() < 0.15 * person


def test_a_round_trip_and_damage(benchmark_: OpenBenchmark, tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    digest = write_benchmark(path, benchmark_.clips[:3], "three")
    again = load_benchmark(path)
    assert again.sha256 == digest and again.about == "three"
    for one, other in zip(again.clips, benchmark_.clips, strict=False):
        np.testing.assert_array_equal(one.joints, other.joints)
        np.testing.assert_array_equal(one.detected, other.detected)
        assert (one.source, one.image_size, len(one)) == (other.source, other.image_size, len(other))
    assert write_benchmark(tmp_path / "twice.npz", again.clips, "three") == digest

    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged or changed.*reinstall posecli"):
        load_benchmark(path)
    hash_file(path).unlink()
    with pytest.raises(InputError, match="incomplete"):
        load_benchmark(path)


def test_missed_frames_survive_the_file(benchmark_: OpenBenchmark, tmp_path: Path) -> None:
    clip = benchmark_.clips[0]
    seen = clip.detected.copy()
    seen[4] = np.nan
    write_benchmark(tmp_path / "missed.npz", [replace(clip, detected=seen)], "")
    found = load_benchmark(tmp_path / "missed.npz").clips[0].keypoints().found
    assert np.flatnonzero(~found).tolist() == [4]


@dataclass
class Oracle:
    """Knows every window of some clips and answers with the truth."""

    x2d: Tensor  # (N, T, 17, 2)
    pose: Tensor  # (N, T, 17, 3), turned camera
    window: int = WINDOW
    skeleton: Skeleton = H36M17
    config: object = None

    @classmethod
    def of(cls, benchmark: OpenBenchmark) -> Oracle:
        flat, pose = [], []
        for clip in benchmark.clips:
            rays = Pinhole.from_fov(clip.image_size).rays(clip.true)[..., :2]
            for start in [*range(0, len(clip) - WINDOW, STRIDE), len(clip) - WINDOW]:
                flat.append(rays[start : start + WINDOW])
                pose.append(clip.joints[start : start + WINDOW])
        faced = face_windows(torch.from_numpy(np.stack(flat)).float())
        return cls(faced.x2d, faced.from_camera(torch.from_numpy(np.stack(pose)).float()))

    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        which = torch.cdist(x2d.flatten(1), self.x2d.flatten(1)).argmin(dim=1)
        return self.pose[which][:, None].expand(-1, hypotheses, -1, -1, -1)


def test_who_knows_the_truth_scores_nothing(benchmark_: OpenBenchmark) -> None:
    few = replace(benchmark_, clips=benchmark_.clips[::9])
    oracle = Oracle.of(few)
    config = LiftConfig(
        smooth_hz=None, fixed_bones=False
    )  # smoothing would take something from the truth as well
    result = evaluate(open_samples(few, "true"), lambda k: lift_keypoints(k, oracle, config))  # type: ignore[arg-type]
    overall = result.overall
    assert overall.mpjpe_mm < 0.01 and overall.p_mpjpe_mm < 0.01 and overall.mpjve_mm < 0.01
    assert overall.jitter == pytest.approx(1, abs=1e-3)
    assert overall.pck150_percent == 100 and overall.missed == 0
    assert result.errors[0] == result.errors.sum() == overall.frames * 16
    assert result.coverage is None  # neither hypotheses nor a validation error: no spread is stated


def test_the_same_numbers_twice_and_groups_agree(benchmark_: OpenBenchmark) -> None:
    few = replace(benchmark_, clips=(benchmark_.clips[0], benchmark_.clips[13]))
    config = LiftConfig(hypotheses=2)
    first, second = (run_open(config=config, benchmark=few, device="cpu") for _ in range(2))
    assert first.overall == second.overall
    np.testing.assert_array_equal(first.errors, second.errors)
    for label in ("action", "viewpoint"):
        groups = first.by(label)
        counts = Counter(getattr(c, label) for c in first.clips)
        mean = sum(groups[name].mpjpe_mm * counts[name] for name in groups) / 2
        assert mean == pytest.approx(first.overall.mpjpe_mm)
    made = first.to_dict()
    assert len(made["weights_sha256"]) == 64 and made["benchmark"]["sha256"] == few.sha256
    assert made["settings"]["hypotheses"] == 2 and made["settings"]["seed"] == 0 and made["device"] == "cpu"
    # What a user would get who lifts these very keypoints.
    motion = Lifting("ddhpose", None, "cpu", config)(few.clips[0].keypoints())
    error = np.linalg.norm(motion.joints_3d - few.clips[0].joints, axis=-1).mean() * 1000
    assert first.clips[0].scores.mpjpe_mm == pytest.approx(error, abs=0.01)


def test_wrong_use_is_one_line() -> None:
    with pytest.raises(UsageError, match="keypoints must be one of detected, true"):
        run_open(keypoints="perfect")
    with pytest.raises(UsageError, match="paired set"):
        run_open(keypoints="true", pairs="x.h5")
    with pytest.raises(InputError):
        run_open(pairs="absent.h5")
