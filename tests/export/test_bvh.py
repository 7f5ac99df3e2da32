"""BVH: analytic poses, noise, uneven times, and what other programs read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posecli.corpus.bvh import read_bvh
from posecli.errors import NobodyError, OutputError, UsageError
from posecli.export.bvh import euler_zxy, save_bvh
from posecli.export.world import Y_UP_FROM_CAMERA
from posecli.motion import Motion
from posecli.skeleton import H36M17

Make = Callable[..., Motion]
L = {name: k for k, name in enumerate(H36M17.joint_names)}


def swing_arm(
    pose: np.ndarray, elbow: tuple[float, float, float], wrist: tuple[float, float, float]
) -> np.ndarray:
    """The left arm along two directions (camera frame), lengths kept."""
    pose = pose.copy()
    upper, fore = np.array(elbow), np.array(wrist)
    pose[L["LElbow"]] = pose[L["LShoulder"]] + 0.28 * upper / np.linalg.norm(upper)
    pose[L["LWrist"]] = pose[L["LElbow"]] + 0.25 * fore / np.linalg.norm(fore)
    return pose


def test_t_pose_is_the_rest_pose(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    """Facing the camera is facing +z, the left side is at +x, all limbs stand still in centimetres."""
    straight = t_pose.copy()
    straight[[L["Neck/Nose"], L["Head"]], 2] = 0
    report = save_bvh(make_motion(np.stack([straight] * 3)), tmp_path / "a.bvh")
    assert report.mean_mm < 1e-3 and report.max_mm < 1e-3
    bvh = read_bvh((tmp_path / "a.bvh").read_bytes())
    assert np.abs(bvh.values[:, 3:]).max() < 1e-4
    posed = bvh.pose()
    np.testing.assert_allclose(posed.at("Hips")[0], (0, 96, 0), atol=1e-4)  # ankles 8 cm over the floor
    np.testing.assert_allclose(posed.at("LeftHand")[0], (70, 146, 0), atol=1e-4)
    np.testing.assert_allclose(posed.at("RightForeArm")[0], (-45, 146, 0), atol=1e-4)
    np.testing.assert_allclose(posed.at("LeftFoot.end")[0], (13, 0, 15), atol=1e-4)  # toes forward, sole at 0
    np.testing.assert_allclose(posed.at("Head.end")[0], (0, 179, 0), atol=1e-4)


def test_a_raised_left_arm_stays_left(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    raised = swing_arm(t_pose, (0, -1, 0), (0, -1, 0))
    report = save_bvh(make_motion(np.stack([raised])), tmp_path / "a.bvh", units="m")
    assert report.max_mm < 1e-3
    posed = read_bvh((tmp_path / "a.bvh").read_bytes()).pose()
    np.testing.assert_allclose(posed.at("LeftHand")[0], (0.17, 1.46 + 0.53, 0), atol=1e-5)
    np.testing.assert_allclose(posed.at("RightHand")[0], (-0.70, 1.46, 0), atol=1e-5)


def test_the_way_to_y_up_does_not_mirror() -> None:
    assert np.linalg.det(Y_UP_FROM_CAMERA) == pytest.approx(1)


def test_elbow_flexes_about_its_hinge_only(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    """Upper arm out to the left, forearm at right angles, upwards: a turn of 90° about the arm, then the hinge."""
    bent = swing_arm(t_pose, (1, 0, 0), (0, -1, 0))
    save_bvh(make_motion(np.stack([bent] * 5)), tmp_path / "a.bvh")
    bvh = read_bvh((tmp_path / "a.bvh").read_bytes())
    turn = dict(zip(bvh.names, np.moveaxis(bvh.pose().rotations, 1, 0), strict=True))
    upper = Rotation.from_matrix(turn["LeftArm"][2]).as_rotvec(degrees=True)
    np.testing.assert_allclose(upper, (-90, 0, 0), atol=0.01)
    elbow = Rotation.from_matrix(turn["LeftArm"][2].T @ turn["LeftForeArm"][2]).as_rotvec(degrees=True)
    np.testing.assert_allclose(elbow, (0, -90, 0), atol=0.01)


def test_straight_limbs_do_not_twist_under_noise(
    tmp_path: Path, t_pose: np.ndarray, make_motion: Make
) -> None:
    """10 mm of noise turn a 28 cm bone by 2.9° per axis and the thorax, whose roll arms inherit, by 3.2°.

    So the steps of a joint have an RMS near 8°; a plane through a straight limb would turn by up to 180°.
    """
    rng = np.random.default_rng(1)
    hanging = swing_arm(t_pose, (0.1, 1, 0), (0.1, 1, 0))
    joints = hanging + rng.normal(0, 0.01, (300, 17, 3))
    save_bvh(make_motion(joints), tmp_path / "a.bvh")
    posed = read_bvh((tmp_path / "a.bvh").read_bytes()).pose()
    for name in ("LeftArm", "LeftForeArm", "RightArm", "RightForeArm", "LeftUpLeg", "RightLeg"):
        turn = posed.turn(name)
        step = np.rad2deg(Rotation.from_matrix(turn[:-1].swapaxes(1, 2) @ turn[1:]).magnitude())
        assert np.sqrt(np.mean(step**2)) < 10, name
        assert step.max() < 25, name


def test_twist_is_held_through_a_straight_phase(
    tmp_path: Path, t_pose: np.ndarray, make_motion: Make
) -> None:
    """The arm is bent upwards, straight for a second (with noise), then bent upwards again: no twist in between."""
    rng = np.random.default_rng(2)
    bend = np.deg2rad(
        np.concatenate([np.full(30, 90), np.linspace(90, 0, 15), np.zeros(30), np.linspace(0, 90, 15)])
    )
    joints = np.stack([swing_arm(t_pose, (1, 0, 0), (np.cos(b), -np.sin(b), 0)) for b in bend])
    joints[:, [L["LElbow"], L["LWrist"]]] += rng.normal(0, 0.005, (len(bend), 2, 3))
    save_bvh(make_motion(joints), tmp_path / "a.bvh")
    turn = read_bvh((tmp_path / "a.bvh").read_bytes()).pose().turn("LeftArm")
    about_x = np.rad2deg(np.arctan2(turn[:, 2, 1], turn[:, 1, 1]))
    np.testing.assert_allclose(about_x, -90, atol=12)


def test_bones_are_constant_and_symmetric(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    """Lengths are medians over time and mean of both sides, whatever the points do."""
    joints = np.stack([t_pose] * 5)
    joints[:, L["LKnee"], 1] = 0.47  # left thigh 47 cm, right 45
    joints[:, L["LAnkle"], 1] = 0.90
    joints[4] *= 1.5
    save_bvh(make_motion(joints), tmp_path / "a.bvh")
    for joint in read_bvh((tmp_path / "a.bvh").read_bytes()).joints:
        if joint.name in ("LeftLeg", "RightLeg"):
            np.testing.assert_allclose(joint.offset, (0, -46, 0), atol=1e-5)


def test_header(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    """What the readers of other programs need, see `posecli.export.bvh`."""
    save_bvh(make_motion(np.stack([t_pose] * 3), rate=30000 / 1001), tmp_path / "a.bvh")
    text = (tmp_path / "a.bvh").read_text()
    assert text.startswith(
        "HIERARCHY\nROOT Hips\n{\n\tOFFSET 0.000000 0.000000 0.000000\n"
        "\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n\tJOINT LeftUpLeg\n"
    )
    assert "\nMOTION\nFrames: 3\nFrame Time: 0.03336667\n" in text
    assert text.count("position") == 3
    ends = re.findall(r"End Site\n\s*{\n\s*OFFSET (\S+) (\S+) (\S+)", text)
    assert len(ends) == 5 and all(np.linalg.norm([float(v) for v in end]) > 1 for end in ends)
    names = re.findall(r"(?:ROOT|JOINT) (\w+)\n", text)
    assert len(set(names)) == len(names) == 20


def test_euler_angles_are_continuous() -> None:
    """A joint that keeps turning, also past the pole (x = 90°): no step larger than the turn can explain."""
    turns = np.linspace(0, 4 * np.pi, 241)
    rotations = np.stack(
        [
            Rotation.from_rotvec(np.outer(turns, axis)).as_matrix()
            for axis in ((0, 0, 1.0), (1.0, 0, 0), (0, 1.0, 0), (0.6, 0.0, 0.8))
        ],
        axis=1,
    )
    angles = euler_zxy(rotations.copy())
    back = Rotation.from_euler("ZXY", angles.reshape(-1, 3)).as_matrix().reshape(rotations.shape)
    np.testing.assert_allclose(back, rotations, atol=1e-9)
    assert (
        np.rad2deg(np.abs(np.diff(angles, axis=0))).max() < 12
    )  # 3° a frame; up to four times that near the pole
    np.testing.assert_allclose(angles[-1, 0], (4 * np.pi, 0, 0), atol=1e-9)
    np.testing.assert_allclose(angles[-1, 1], (0, 4 * np.pi, 0), atol=1e-9)


def test_uneven_times_are_resampled(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    """The root moves 1 m/s to the camera's right; with frames missing it still does."""
    times = np.delete(np.arange(40) / 25, [7, 8, 9, 20, 31])
    path = np.stack([times, 0 * times, 3 + 0 * times], axis=1).astype(np.float32)
    motion = make_motion(np.stack([t_pose] * 35), timestamps_s=times, root_path=path)
    report = save_bvh(motion, tmp_path / "a.bvh")
    assert report.resampled and report.frames == 40 and report.fps == pytest.approx(25)
    assert report.max_mm < 25 and "resampled" in str(report)
    hips = read_bvh((tmp_path / "a.bvh").read_bytes()).pose().at("Hips")
    np.testing.assert_allclose(hips[:, 0], np.arange(40) / 25 * 100, atol=1e-3)
    np.testing.assert_allclose(hips[:, 2], 0, atol=1e-3)


def test_millisecond_times_are_even(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    """Matroska rounds to milliseconds; 29.97 must not become 30.3."""
    times = np.round(np.arange(100) * 1.001 / 30, 3)
    report = save_bvh(make_motion(np.stack([t_pose] * 100), timestamps_s=times), tmp_path / "a.bvh")
    assert not report.resampled and report.fps == pytest.approx(29.97, abs=5e-3)


@pytest.mark.parametrize("drop", [[], [3]])
def test_nobody_holds_the_last_pose(
    tmp_path: Path, t_pose: np.ndarray, make_motion: Make, drop: list[int]
) -> None:
    joints = np.stack(
        [swing_arm(t_pose, (1, 0, 0), (np.cos(a), 0, -np.sin(a))) for a in np.linspace(0, 2, 21)]
    )
    valid = np.ones(21, bool)
    valid[[0, 10, 11, 12]] = False
    joints[~valid] = np.nan
    keep = np.delete(np.arange(21), drop)
    times = keep / 20
    motion = make_motion(joints[keep], timestamps_s=times, valid=valid[keep])
    report = save_bvh(motion, tmp_path / "a.bvh")
    assert report.frames == 21 and report.resampled == bool(drop)
    np.testing.assert_allclose(report.held, [(0.0, 0.05), (0.5, 0.65)])
    assert "held at 0.00-0.05 s, 0.50-0.65 s" in str(report)
    hand = read_bvh((tmp_path / "a.bvh").read_bytes()).pose().at("LeftHand")
    np.testing.assert_allclose(hand[0], hand[1], atol=1e-3)
    np.testing.assert_allclose(hand[10:13], hand[[9, 9, 9]], atol=1e-3)
    assert np.linalg.norm(hand[13] - hand[12]) > 5


def test_one_frame(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    report = save_bvh(make_motion(np.stack([t_pose])), tmp_path / "a.bvh")
    assert report.frames == 1 and report.fps == pytest.approx(30)


def test_refusals_leave_nothing(tmp_path: Path, t_pose: np.ndarray, make_motion: Make) -> None:
    motion = make_motion(np.stack([t_pose] * 3))
    target = tmp_path / "a.bvh"
    with pytest.raises(NobodyError, match="no frame holds a person"):
        save_bvh(make_motion(np.full((3, 17, 3), np.nan), valid=np.zeros(3, bool)), target)
    with pytest.raises(UsageError, match="units must be one of cm, m"):
        save_bvh(motion, target, units="inch")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="cut it with --start and --end"):
        save_bvh(make_motion(np.stack([t_pose] * 4), timestamps_s=np.array([0, 0.001, 0.002, 1e5])), target)
    with pytest.raises(OutputError):
        save_bvh(motion, "/proc/none/a.bvh")
    assert list(tmp_path.iterdir()) == []
