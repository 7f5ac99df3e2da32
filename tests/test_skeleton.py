"""Joint sets and the table that turns detectors' joints into Human3.6M-17."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from posecli.skeleton import (
    BLAZEPOSE33,
    COCO17,
    H36M17,
    H36M_RULES,
    HALPE26,
    LIMBS,
    OPENPOSE18,
    OPENPOSE25,
    SKELETONS,
    Skeleton,
    h36m_weights,
    scores_to_h36m17,
    to_h36m17,
)

SOURCES = [SKELETONS[name] for name in H36M_RULES]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
def test_pairs_follow_the_names(skeleton: Skeleton) -> None:
    for left, right in zip(skeleton.left, skeleton.right, strict=True):
        a, b = skeleton.joint_names[left], skeleton.joint_names[right]
        assert b in (a.replace("left", "right"), "R" + a[1:])
    order = np.array(skeleton.mirror)
    assert (order[order] == np.arange(skeleton.num_joints)).all()
    unpaired = set(range(skeleton.num_joints)) - {*skeleton.left, *skeleton.right}
    assert not [skeleton.joint_names[j] for j in unpaired if "left" in skeleton.joint_names[j]]


def test_human36m_is_that_of_videopose3d() -> None:
    assert H36M17.parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
    assert H36M17.root == 0 and len(H36M17.bones) == 16
    assert [H36M17.joint_names[j][1:] for j in LIMBS] == [
        "Hip", "Knee", "Ankle", "Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist", "Shoulder", "Elbow", "Wrist",
    ]  # fmt: skip


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.name)
def test_rows_of_the_table_sum_to_one_and_commute_with_mirrors(source: Skeleton) -> None:
    weights = h36m_weights(source)
    assert weights.shape == (17, source.num_joints)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_array_equal(weights[list(H36M17.mirror)][:, list(source.mirror)], weights)


def test_built_joints_of_blazepose() -> None:
    points = RNG.normal(size=(4, 33, 2))
    made, named = to_h36m17(points, BLAZEPOSE33), BLAZEPOSE33.index
    hips = (points[:, named("left_hip")] + points[:, named("right_hip")]) / 2
    shoulders = (points[:, named("left_shoulder")] + points[:, named("right_shoulder")]) / 2
    np.testing.assert_allclose(made[:, 0], hips)
    np.testing.assert_allclose(made[:, 8], shoulders)
    np.testing.assert_allclose(made[:, 7], (hips + shoulders) / 2)
    np.testing.assert_allclose(made[:, 9], points[:, named("nose")])
    np.testing.assert_allclose(made[:, 13], points[:, named("left_wrist")])
    ears = (points[:, 7] + points[:, 8]) / 2
    up = (points[:, 2] + points[:, 5] - points[:, 9] - points[:, 10]) / 2
    np.testing.assert_allclose(made[:, 10], ears + 1.7 * up)


@pytest.mark.parametrize("source", [COCO17, OPENPOSE18, OPENPOSE25, HALPE26], ids=lambda s: s.name)
def test_built_joints_of_other_detectors(source: Skeleton) -> None:
    """Limbs and trunk as from BlazePose, whatever the order; the head from ears, nose and shoulders, or as it is."""
    every = {name: RNG.normal(size=(4, 2)) for name in (*BLAZEPOSE33.joint_names, *source.joint_names)}
    made = to_h36m17(np.stack([every[n] for n in source.joint_names], axis=1), source)
    same = to_h36m17(np.stack([every[n] for n in BLAZEPOSE33.joint_names], axis=1), BLAZEPOSE33)
    rest = [j for j in range(17) if j != H36M17.index("Head")]
    np.testing.assert_allclose(made[:, rest], same[:, rest])
    ears = (every["left_ear"] + every["right_ear"]) / 2
    head = every.get("head", 1.75 * ears - 0.15 * every["nose"] - 0.6 * same[:, H36M17.index("Thorax")])
    np.testing.assert_allclose(made[:, H36M17.index("Head")], head)


def test_a_missing_joint_spoils_only_what_is_built_from_it() -> None:
    points = RNG.normal(size=(33, 3)).astype(np.float32)
    points[BLAZEPOSE33.index("left_wrist")] = np.nan
    points[BLAZEPOSE33.index("left_pinky")] = np.nan
    made = to_h36m17(points, BLAZEPOSE33)
    assert made.dtype == np.float32
    assert np.flatnonzero(np.isnan(made).any(axis=-1)).tolist() == [H36M17.index("LWrist")]


def test_a_built_joint_is_as_sure_as_its_least_sure_part() -> None:
    scores = np.linspace(0.5, 0.9, 33)
    scores[BLAZEPOSE33.index("mouth_right")] = 0.1  # has a negative weight in the head
    made = scores_to_h36m17(scores, BLAZEPOSE33)
    assert made[H36M17.index("Head")] == 0.1
    assert made[H36M17.index("Hip")] == scores[23]
    assert made[H36M17.index("RAnkle")] == scores[28]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joint_names": ("a", "b")}, "names"),
        ({"left": (1,)}, "pairs"),
        ({"left": (1, 1), "right": (2, 0)}, "two pairs"),
        ({"left": (1,), "right": (7,)}, "there are not"),
        ({"parents": (-1, -1, 0)}, "root"),
        ({"parents": (0, 0, 0)}, "root"),
        ({"parents": (-1, 2, 1)}, r"\[1, 2\] do not hang on the root"),
    ],
)
def test_broken_skeletons_are_refused(change: dict[str, Any], message: str) -> None:
    whole = Skeleton("s", ("a", "b", "c"), (-1, 0, 0), (), ())
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(whole, **change)
