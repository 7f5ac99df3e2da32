"""ASF/AMC and BVH: small skeletons whose poses can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posecli.corpus.asf_amc import read_amc, read_asf
from posecli.corpus.bvh import read_bvh
from posecli.corpus.kinematics import euler_matrices
from posecli.errors import InputError

INCHES = 0.0254 / 0.45  # metres in a unit of length of these files

ASF = b"""# a comment
:version 1.10
:name TEST
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
     id 1
     name trunk
     direction 0 1 0
     length 10
     axis 0 0 0 XYZ
  end
  begin
     id 2
     name arm
     direction 1 0 0
     length 2
     axis 0 0 90 XYZ
     dof rx
     limits (-10.0 10.0)
  end
  begin
     id 3
     name neck
     direction 0 1 0
     length 3
     axis 0 0 0 XYZ
     dof rx rz
     limits (-10.0 10.0)
            (-10.0 10.0)
  end
:hierarchy
  begin
    root trunk
    trunk arm neck
  end
"""

AMC = b"""#!OML:ASF C:\\TEST.ASF
:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
arm 0
neck 0 0
2
root 1 2 3 0 0 0
arm 90
neck 90 90
3
root 0 0 0 90 0 90
arm 9e+001
neck 0 0
"""


def test_asf_pose_by_hand() -> None:
    skeleton = read_asf(ASF)
    posed = skeleton.pose(read_amc(AMC, skeleton))
    places = {name: posed.at(name) / INCHES for name in ("root", "trunk", "arm", "neck")}
    np.testing.assert_allclose(places["root"], [[1, 2, 3], [1, 2, 3], [0, 0, 0]], atol=1e-9)
    # Frame 1 is the rest pose.
    np.testing.assert_allclose(places["trunk"][0], [1, 12, 3], atol=1e-9)
    np.testing.assert_allclose(places["arm"][0], [3, 12, 3], atol=1e-9)
    # Frame 2. The arm's own x axis is the world's y: a quarter turn about it takes x to -z, far over its limit
    # of 10°. The neck turns about x first (y to z), then about z (which leaves z alone).
    np.testing.assert_allclose(places["arm"][1], [1, 12, 1], atol=1e-9)
    np.testing.assert_allclose(places["neck"][1], [1, 12, 6], atol=1e-9)
    # Frame 3: the root turns about x, then z: y → z, z → x (by -y), x → y. The arm, at -z of the trunk, ends
    # 2 along -(z turned) = -x.
    np.testing.assert_allclose(places["trunk"][2], [0, 0, 10], atol=1e-9)
    np.testing.assert_allclose(places["arm"][2], [-2, 0, 10], atol=1e-9)


def test_asf_axis_order_is_honoured() -> None:
    skeleton = read_asf(ASF.replace(b"length 3\n     axis 0 0 0 XYZ", b"length 3\n     axis 0 0 0 ZYX"))
    neck = skeleton.pose(read_amc(AMC, skeleton)).at("neck")[1] / INCHES
    np.testing.assert_allclose(neck, [1 - 3, 12, 3], atol=1e-9)  # about z first: y → -x, which x leaves alone


def test_amc_drops_a_last_frame_cut_short() -> None:
    skeleton = read_asf(ASF)
    for cut in (AMC.rindex(b"neck"), AMC.rindex(b"root"), AMC.rindex(b"90 0 90")):
        assert len(read_amc(AMC[:cut], skeleton)["root"]) == 2


def test_amc_may_start_at_any_frame() -> None:
    skeleton = read_asf(ASF)
    later = AMC.replace(b"\n1\n", b"\n700\n").replace(b"\n2\n", b"\n701\n").replace(b"\n3\n", b"\n702\n")
    np.testing.assert_array_equal(read_amc(later, skeleton)["root"], read_amc(AMC, skeleton)["root"])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"arm 90", b"arm ninety", "frame 2 has a bad line for 'arm'"),
        (b"neck 90 90", b"neck 90", "frame 2 has a bad line for 'neck'"),
        (b"arm 90\n", b"", "damaged"),
        (b"arm 90", b"arm nan", "not finite"),
        (b"arm 0", b"tail 0", "no bone 'tail'"),
        (AMC, b"", "no motion"),
        (AMC, bytes(range(256)) * 20, "no motion"),
    ],
)
def test_damaged_amc_is_named(old: bytes, new: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_amc(AMC.replace(old, new), read_asf(ASF), "x.amc")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b":hierarchy", b":hier"),
        (b"length 10", b"length ten"),
        (b"length 0.45", b"length 0"),
        (b"direction 1 0 0", b"direction 1 0"),
        (b"root trunk", b"root trunk ghost"),
        (b"trunk arm neck", b"trunk arm neck\n neck trunk"),
        (b"root trunk", b""),
        (b"0 0 90 XYZ", b"0 0 90 XXZ"),
        (b"dof rx\n", b"dof tx\n"),
    ],
)
def test_damaged_asf_is_named(old: bytes, new: bytes) -> None:
    assert old in ASF
    with pytest.raises(InputError, match=r"x\.asf"):
        read_asf(ASF.replace(old, new), "x.asf")


BVH = b"""HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest
  {
    OFFSET 0 1 0
    CHANNELS 3 Xrotation Zrotation Yrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
  JOINT Leg
  {
    OFFSET 0 -3 0
    CHANNELS 1 Xrotation
    End Site
    {
      OFFSET 0 -4 0
    }
  }
}
MOTION
Frames: 2
Frame Time: .0083333
5 6 7 0 0 0 90 90 0 0
5 6 7 90 90 0 0 0 0 90
"""


def test_bvh_pose_by_hand() -> None:
    bvh = read_bvh(BVH)
    assert bvh.frame_time == pytest.approx(1 / 120, abs=1e-7)
    assert bvh.names == ("Hips", "Chest", "Chest.end", "Leg", "Leg.end")
    posed = bvh.pose()
    np.testing.assert_allclose(posed.at("Hips"), [[5, 6, 7]] * 2, atol=1e-9)
    # Frame 1, chest R = Rx(90)·Rz(90): y → -x, which x leaves alone.
    np.testing.assert_allclose(posed.at("Chest")[0], [5, 7, 7], atol=1e-9)
    np.testing.assert_allclose(posed.at("Chest.end")[0], [3, 7, 7], atol=1e-9)
    # Frame 2, hips R = Rz(90)·Rx(90): y → z, which z leaves alone; the leg turns about its own x: -y → -z, and
    # the hips take that to -(Rz·Rx z) = -(Rz·(-y)) = -x.
    np.testing.assert_allclose(posed.at("Chest.end")[1], [5, 6, 10], atol=1e-9)
    np.testing.assert_allclose(posed.at("Leg")[1], [5, 6, 4], atol=1e-9)
    np.testing.assert_allclose(posed.at("Leg.end")[1], [1, 6, 4], atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"HIERARCHY", b"HIER"),
        (b"MOTION", b"MOT"),
        (b"Frames: 2", b"Frames: 3"),
        (b"Frames: 2", b"Frames: many"),
        (b"90 90 0 0\n5", b"90 90 0\n5"),
        (b"90 90 0 0\n5", b"90 90 0 zero\n5"),
        (b"90 90 0 0\n5", b"90 90 0 inf\n5"),
        (b"OFFSET 0 2 0", b"OFFSET 0 2"),
        (BVH[BVH.index(b"1 Xrotation") : BVH.index(b"MOTION")], b"9 "),
        (b"Zrotation Yrotation", b"Zrotation Wrotation"),
        (b"}\nMOTION", b"MOTION"),
        (b"JOINT Leg", b"} ROOT Leg"),
        (BVH, b""),
    ],
)
def test_damaged_bvh_is_named(old: bytes, new: bytes) -> None:
    assert old in BVH
    with pytest.raises(InputError, match=r"x\.bvh"):
        read_bvh(BVH.replace(old, new), "x.bvh")


@pytest.mark.parametrize("axes", ["xyz", "zxy", "yzx", "zy", "x"])
def test_euler_angles_agree_with_scipy(axes: str) -> None:
    angles = np.random.default_rng(0).uniform(-180, 180, (50, len(axes)))
    expected = Rotation.from_euler(axes.upper(), angles, degrees=True).as_matrix()
    np.testing.assert_allclose(euler_matrices(angles, axes), expected, atol=1e-12)
