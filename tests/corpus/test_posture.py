"""Changed postures: bones keep their lengths, only what should move moves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posecli.corpus import posture
from posecli.corpus.store import POINT_NAMES
from posecli.demo import shipped_motion
from posecli.skeleton import H36M17

PARENTS = (*H36M17.parents, *(10,) * 7, 6, 3, 6, 3)
ARMS = [H36M17.index(n) for n in ("LElbow", "LWrist", "RElbow", "RWrist")]


def windows(batch: int = 16, frames: int = 27) -> Tensor:
    points = torch.from_numpy(shipped_motion().points)
    starts = torch.linspace(0, len(points) - frames, batch).long()
    return torch.stack([points[s : s + frames] for s in starts])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lengths(points: Tensor) -> Tensor:
    """(B, T, 27): distance of every point but the root to its parent."""
    return torch.linalg.vector_norm(points[:, :, 1:] - points[:, :, list(PARENTS[1:])], dim=-1)


CHANGES = [posture.sit, posture.reach, posture.mix_bodies, posture.tumble]


@pytest.mark.parametrize("change", CHANGES)
def test_a_share_of_nothing_changes_nothing(change) -> None:
    points = windows()
    assert torch.equal(change(points, 0.0, seeded()), points)


@pytest.mark.parametrize("change", CHANGES)
def test_a_seed_repeats_and_the_input_is_left_alone(change) -> None:
    points = windows()
    kept = points.clone()
    first, second = (change(points, 0.5, seeded(7)) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(points, kept)
    assert not torch.equal(first, change(points, 0.5, seeded(8)))


@pytest.mark.parametrize("change", [posture.sit, posture.reach])
def test_bones_keep_their_lengths(change) -> None:
    for seed in range(5):
        points = windows()
        moved = change(points, 1.0, seeded(seed))
        torch.testing.assert_close(lengths(moved), lengths(points), atol=2e-5, rtol=0)
        assert (moved - points).abs().max() > 0.1


def test_shares_are_met() -> None:
    points = windows(400, 3)
    moved = (posture.sit(points, 0.3, seeded()) - points).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert 0.22 < moved.float().mean() < 0.38


def test_reaching_moves_the_arms_alone_and_steadily() -> None:
    points = windows()
    moved = posture.reach(points, 1.0, seeded())
    others = [j for j in range(28) if j not in ARMS]
    assert torch.equal(moved[:, :, others], points[:, :, others])
    step = torch.linalg.vector_norm(moved[:, 1:] - moved[:, :-1], dim=-1)
    assert step.max() < 0.25  # 7.5 m/s at 30 Hz: a fast hand, no jump


def test_sitting_bends_hips_and_knees() -> None:
    """From standing: thighs of 0.43 m bend by 55° and more, forwards; half of the windows are seated throughout."""
    points = windows()[:1, :1].expand(64, 27, -1, -1).contiguous()
    moved = posture.sit(points, 1.0, seeded())
    pelvis = [0, 1, 4]
    assert torch.equal(moved[:, :, pelvis], points[:, :, pelvis])
    thigh = moved[:, :, POINT_NAMES.index("LKnee")] - moved[:, :, POINT_NAMES.index("LHip")]
    seated = (thigh[..., 1] > -0.43 * 0.8).all(dim=1)
    assert 0.4 < seated.float().mean() < 0.8
    toes = points[0, 0, POINT_NAMES.index("left_foot_index")] - points[0, 0, POINT_NAMES.index("left_heel")]
    assert (thigh[seated] @ toes > 0).all()
    head = [POINT_NAMES.index(n) for n in ("Head", "left_ear", "right_ear", "nose")]
    torch.testing.assert_close(torch.cdist(moved[:, :, head], moved[:, :, head]),
                               torch.cdist(points[:, :, head], points[:, :, head]), atol=1e-3, rtol=0)  # fmt: skip


def test_a_mixed_body_has_the_legs_of_one_and_the_trunk_of_another() -> None:
    """Trunks are told apart by their size: the window's own, and the second's, half as large again."""
    points = windows(2)
    points[1] = points[1] * 1.5
    moved = next(
        m for s in range(20) if not torch.equal(m := posture.mix_bodies(points, 1.0, seeded(s)), points)
        and (m - points).abs().max() > 0.1
    )  # fmt: skip
    legs, upper = [1, 2, 3, 4, 5, 6, 24, 25, 26, 27], list(posture.UPPER)
    assert torch.equal(moved[:, :, legs], points[:, :, legs])
    child = [j - 1 for j in upper]
    torch.testing.assert_close(lengths(moved)[0][:, child], lengths(points)[1][:, child], atol=1e-4, rtol=0)
    torch.testing.assert_close(lengths(moved)[1][:, child], lengths(points)[0][:, child], atol=1e-4, rtol=0)


def test_mixing_with_itself_changes_nothing() -> None:
    points = windows(1).repeat(6, 1, 1, 1)
    torch.testing.assert_close(posture.mix_bodies(points, 1.0, seeded()), points, atol=1e-5, rtol=0)


def test_tumbling_turns_the_body_as_a_whole_and_leaves_it_on_the_floor() -> None:
    points = windows(64)
    turned = posture.tumble(points, 1.0, seeded(3))
    for one in (points, turned):
        one -= one[:, :, :1].mean(dim=1, keepdim=True) * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(torch.cdist(turned, turned), torch.cdist(points, points), atol=2e-3, rtol=0)
    torch.testing.assert_close(turned[..., 1].amin(dim=(1, 2)), points[..., 1].amin(dim=(1, 2)))
    up = torch.nn.functional.normalize(turned[:, 13, 8] - turned[:, 13, 0], dim=-1)[:, 1]
    lying, upside_down = up.abs() < 0.5, up < -0.5
    assert 0.3 < lying.float().mean() < 0.8 and 0.1 < upside_down.float().mean() < 0.5
