"""Clouds of training windows: where they lie, what makes them wide, mirrors, gaps and the order of batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from posecli.camera import Pinhole
from posecli.corpus import pairs as module
from posecli.corpus.landmarks_seen import LANDMARK_NAMES, SEEN_COLUMNS, SEEN_POINTS
from posecli.corpus.pair_clouds import Places, pack
from posecli.corpus.paired_windows import PairedClipClouds, cloud_bank, paired_batches
from posecli.corpus.pairs import MISSED, XY_STEPS, Pairs, load_pairs
from posecli.corpus.simulate import Simulator, SimulatorConfig
from posecli.corpus.store import Clip
from posecli.corpus.window_clouds import CloudBank, MixedClouds, PairedClouds
from posecli.demo import shipped_motion
from posecli.detect.heatmaps import HeatmapFormat
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import UsageError
from posecli.methods.common import mirrored
from posecli.skeleton import BLAZEPOSE33, H36M17

SIZE, CELL, CORNER, STD = (720, 1280), 8.0, np.array([180.0, 420.0]), 0.7
LEFT, RIGHT = LANDMARK_NAMES.index("left_ankle"), LANDMARK_NAMES.index("right_ankle")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bump(cell: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:64, :64]
    return np.exp(-((columns - cell[0]) ** 2 + (rows - cell[1]) ** 2) / (2 * STD**2))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """A window of 12 frames: exact but for the left ankle, said to be at the right one in the second half, where its
    heatmap has both places; nobody is found in frames 3 and 4."""
    frames = 12
    points = shipped_motion().points[:frames].astype(float)
    points = (points - points[:, :1].mean(axis=0)) * [1, -1, -1] + [0.4, 0.1, 4.0]
    focal = Pinhole.from_fov(SIZE).focal
    pixels = (points[..., :2] / points[..., 2:] * focal + np.array(SIZE) / 2)[:, SEEN_POINTS]
    said = pixels.copy()
    said[6:, LEFT] = pixels[6:, RIGHT]
    maps = np.stack([[bump(at) for at in frame] for frame in (said - CORNER) / CELL])
    maps[6:, LEFT] = 0.6 * maps[6:, LEFT] + 0.4 * np.stack(
        [bump(at) for at in (pixels[6:, LEFT] - CORNER) / CELL]
    )
    places = pack(maps.reshape(-1, 64, 64), HeatmapFormat(("a",), "probability", "msra"))
    xy = np.zeros((frames, 33, 2))
    xy[:, SEEN_COLUMNS] = said
    lost = np.array([3, 4])
    affine = np.array([[CELL, 0, CORNER[0]], [0, CELL, CORNER[1]]], np.float32)
    columns: module.Columns = {
        "split": np.array([0], np.uint8), "viewpoint": np.array([0], np.uint8), "subject": np.array([5], np.int32),
        "size": np.array([SIZE], np.int32), "focal": np.array([focal], np.float32),
        "up": np.array([[0, -1, 0]], np.float32), "xy": np.round(xy * XY_STEPS).astype(np.int16)[None],
        "scores": np.full((1, frames, 33), 255, np.uint8),
        "points": np.round(points * 2000).astype(np.int16)[None],
        "heatmaps": np.zeros((1, frames, 19, 7), np.float16), "to_image": np.tile(affine, (1, frames, 1, 1)),
        "places": places.reshape(1, frames, 19, 4, 6),
    }  # fmt: skip
    columns["xy"][:, lost], columns["places"][:, lost] = MISSED, 0
    columns["to_image"][:, lost] = np.nan
    path = tmp_path_factory.mktemp("pairs") / "p.h5"
    module._write(path, [columns], {"frames": frames})
    return load_pairs(path)


def test_paired_clouds_lie_about_the_joints_as_wide_as_their_heatmaps(pairs: Pairs) -> None:
    (batch,) = paired_batches(pairs, 6, clouds=True)
    frames = torch.tensor([[0, 3, 4, 5], [0, 1, 2, 5]])
    cloud = batch.clouds.draw(frames, 4000, seeded(0))
    assert cloud.shape == (2, 4, 17, 4000, 2)
    joints = [j for j in range(17) if j != H36M17.index("LAnkle")]
    x2d = batch.x2d[torch.arange(2)[:, None], frames]
    off = cloud.mean(dim=3) - x2d  # cells are 8 pixels, of which the bytes know a quarter
    assert off[:, :, joints].abs().max() < 0.05
    # A cell in units of x2d; the spine is a mean of four landmarks.
    cell = CELL / Pinhole.from_fov(SIZE).focal * batch.faced.shown
    wrist = cloud[:, :, H36M17.index("RWrist")].std(dim=2) / cell[:, None, None]
    expected = (STD**2 + 1 / 12) ** 0.5
    torch.testing.assert_close(wrist, torch.full_like(wrist, expected), rtol=0.15, atol=0)
    # Frames 3 and 4 are missed: the cloud of the nearest one is taken along with the joint.
    torch.testing.assert_close(
        cloud[0, 2] - x2d[0, 2][:, None], cloud[0, 3] - x2d[0, 3][:, None], atol=0.02, rtol=0
    )
    # Two places of the left ankle, in the second window.
    both = batch.x2d[1, 0, [H36M17.index("LAnkle"), H36M17.index("RAnkle")]]
    truth = batch.faced.x2d.new_tensor(0.4)
    there = cloud[1, 0, H36M17.index("LAnkle")]
    other = (there - both[1]).norm(dim=-1) > 2.2 * cell[1]  # the feet are 4.6 cells apart
    torch.testing.assert_close(other.float().mean(), truth, atol=0.05, rtol=0)


def test_mirrored_windows_have_mirrored_clouds(pairs: Pairs) -> None:
    (batch,) = paired_batches(pairs, 6, clouds=True)
    assert isinstance(batch.clouds, PairedClouds)
    frames = torch.tensor([[0, 5], [2, 1]])
    straight = batch.clouds.draw(frames, 50, seeded(0))
    turned = batch.clouds.mirrored(torch.tensor([True, False])).draw(frames, 50, seeded(0))
    torch.testing.assert_close(turned[1], straight[1])
    expected = mirrored(straight[0].transpose(1, 2), H36M17.mirror).transpose(1, 2)
    torch.testing.assert_close(turned[0], expected)


def test_sets_without_clouds_say_so(pairs: Pairs) -> None:
    assert paired_batches(pairs, 6)[0].clouds is None
    with pytest.raises(UsageError, match="keeps no clouds"):
        paired_batches(replace(pairs, places=None), 6, clouds=True)


def test_simulated_landmarks_get_clouds_of_equally_wrong_ones(pairs: Pairs) -> None:
    """Right ones narrow ones; one that is at the other leg has its second place where it should be, whichever way."""
    bank = cloud_bank(pairs)
    assert bank.size.shape == (19, 10)
    assert (bank.size[LEFT, 5:] > 0.1).all() and bank.size[RIGHT].max() < 0.01
    wrong = float(bank.size[LEFT, 7])
    error = torch.zeros(200, 19, 2)
    error[:, LEFT] = wrong * torch.tensor([-0.6, 0.8])  # nobody was wrong that way: it is turned
    places = bank.like(error, seeded(0))
    drawn = places.draw(
        torch.rand(19, 300, generator=seeded(1)), torch.randn(19, 300, 2, generator=seeded(2))
    )
    right = drawn[:, LANDMARK_NAMES.index("right_wrist")]
    assert right.mean((0, 1)).abs().max() < 0.02 and right.std(dim=1).max() < 0.06
    left = drawn[:, LEFT]
    at_truth = (left @ torch.tensor([0.6, -0.8])) > wrong / 2
    assert at_truth.float().mean().item() == pytest.approx(0.4, abs=0.06)
    back = left[at_truth].mean(0) / wrong
    torch.testing.assert_close(back, torch.tensor([0.6, -0.8]), atol=0.1, rtol=0)


def test_clouds_of_simulated_windows_go_with_their_joints(pairs: Pairs) -> None:
    points = shipped_motion().points
    clips = [Clip(points, 30.0, 1, 1, "A", 0, "", True, 1.0)]
    config = SimulatorConfig(viewpoint="studio", mixed=0, sitting=0, reaching=0)
    with_clouds = Simulator(clips, 6, config, clouds=cloud_bank(pairs)).draw(5, seeded(3))
    without = Simulator(clips, 6, config).draw(5, seeded(3))
    assert torch.equal(with_clouds.x2d, without.x2d) and without.clouds is None
    frames = torch.tensor([[1, 4]]).expand(5, -1)
    cloud = with_clouds.clouds.draw(frames, 500, seeded(0))
    seen = with_clouds.x2d[:, [1, 4]]
    off = (cloud.mean(dim=3) - seen).norm(dim=-1)
    assert off[..., H36M17.index("RWrist")].median() < 0.1
    part = with_clouds.clouds.of(slice(1, 3)).draw(frames[1:3], 500, seeded(0))
    assert part.shape == (2, 2, 17, 500, 2)
    off = (part.mean(dim=3) - seen[1:3]).norm(dim=-1)
    assert off[..., H36M17.index("RWrist")].median() < 0.1


def test_batches_from_two_sources_keep_their_order() -> None:
    class Numbered:
        def __init__(self, first: int) -> None:
            self.first = first

        def draw(self, frames: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
            window = self.first + torch.arange(len(frames))
            return (100 * window[:, None] + frames).float()[..., None, None, None]

    order = torch.tensor([3, 0, 4, 2, 1])
    mixed = MixedClouds(((Numbered(0), 2), (Numbered(2), 3)), order)  # type: ignore[arg-type]
    frames = torch.arange(10).view(5, 2)
    drawn = mixed.draw(frames, 1, seeded(0))[..., 0, 0, 0]
    torch.testing.assert_close(drawn, (100 * order[:, None] + frames).float())
    some = mixed.of(slice(1, 3)).draw(frames[1:3], 1, seeded(0))[..., 0, 0, 0]
    torch.testing.assert_close(some, drawn[1:3])


def test_a_bank_keeps_examples_in_their_own_units() -> None:
    """Twice as near a person: twice the error and the cloud, the same example."""
    seen = torch.randn(1, 19, 2, generator=seeded(0))
    true = seen + 0.1 * torch.randn(1, 19, 2, generator=seeded(1))
    places = Places(
        torch.ones(1, 19, 1), (seen + 0.05)[:, :, None], 0.02 * torch.eye(2).expand(1, 19, 1, 2, 2)
    )
    near = Places(places.weights, 2 * places.means, 2 * places.factors)
    one, two = CloudBank.of(seen, true, places), CloudBank.of(2 * seen, 2 * true, near)
    torch.testing.assert_close(one.size, two.size)
    torch.testing.assert_close(one.places.means, two.places.means)
    torch.testing.assert_close(one.places.factors, two.places.factors)


def test_a_clip_s_clouds_are_those_of_its_windows_in_pixels(pairs: Pairs) -> None:
    """And all frames share their draws: sample by sample, clouds move about as their joints do."""
    keypoints = Keypoints2D(
        xy=pairs.xy[0], scores=pairs.scores[0], found=pairs.found[0], timestamps_s=np.arange(12) / 30,
        skeleton=BLAZEPOSE33, image_size=SIZE,
    )  # fmt: skip
    clouds = PairedClipClouds(pairs, 0, keypoints)
    assert clouds.warning is None
    drawn = clouds.draw([0, 1, 7], 4000, seeded(0))
    assert drawn.shape == (3, 17, 4000, 2)
    for joint, column in (("RWrist", "right_wrist"), ("LShoulder", "left_shoulder")):
        cloud = drawn[:, H36M17.index(joint)]
        at = torch.from_numpy(pairs.xy[0, [0, 1, 7]][:, BLAZEPOSE33.index(column)])
        torch.testing.assert_close(cloud.mean(1), at, atol=0.2 * CELL, rtol=0)
        wide = torch.full((3, 2), CELL * (STD**2 + 1 / 12) ** 0.5)
        torch.testing.assert_close(cloud.std(1), wide, rtol=0.15, atol=0)
        steps = cloud[1] - cloud[0] - (at[1] - at[0])
        assert steps.abs().median() < 0.3 * CELL
    ankle = drawn[2, H36M17.index("LAnkle")]
    said = torch.from_numpy(pairs.xy[0, 7, BLAZEPOSE33.index("left_ankle")])
    true = torch.from_numpy(pairs.projections()[0, 7, SEEN_POINTS[LEFT]])
    nearer = (ankle - true).norm(dim=-1) < (ankle - said).norm(dim=-1)
    assert nearer.float().mean().item() == pytest.approx(0.4, abs=0.05)
    with pytest.raises(UsageError, match="keeps no clouds"):
        PairedClipClouds(replace(pairs, places=None), 0, keypoints)
