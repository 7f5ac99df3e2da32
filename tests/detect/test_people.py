"""Several people: found, followed past each other, told apart, one of them chosen; and one is followed as before."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from detect_runs import as_frames
from numpy.typing import NDArray

from posecli.camera import Pinhole
from posecli.corpus.mannequin import Stage, Style
from posecli.corpus.mannequin_room import Ground
from posecli.demo import shipped_motion
from posecli.detect import BlazePose
from posecli.detect.people.choose import Presence, answers, chosen, described, record
from posecli.detect.people.crowd import Crowd, follow_everybody
from posecli.detect.people.shots import ShotCuts
from posecli.detect.people.tracker import parts_of
from posecli.errors import UsageError
from posecli.media import Frame, open_media
from posecli.skeleton import LIMBS

Image = NDArray[np.uint8]
LIMB_ROWS = list(LIMBS)


def test_one_person_is_followed_as_alone(blazepose: BlazePose, walk: list[Frame]) -> None:
    """Bit for bit what `detect` finds, through a loss of four frames too; the person stays the same."""
    black = np.zeros_like(walk[0].image)
    images = [f.image for f in walk[:14]] + [black] * 4 + [f.image for f in walk[20:30]]
    alone = blazepose.detect(as_frames(images), (720, 1280))
    crowd = follow_everybody(blazepose, as_frames(images), (720, 1280))
    assert (len(crowd.people), crowd.shots) == (1, 1)
    among = crowd.keypoints(0)
    for name in ("xy", "scores", "world", "found", "timestamps_s"):
        np.testing.assert_array_equal(getattr(among, name), getattr(alone, name), err_msg=name)
    assert crowd.people[0].presence.frames.tolist() == [*range(14), *range(18, 28)]


def test_two_copies_side_by_side(blazepose: BlazePose, shared_data: Path) -> None:
    """A man and his mirror image touch hands, 15 frames: two people, each with his own joints."""
    source = open_media(shared_data / "videos" / "sam2_juggle" / "video.mp4")
    single = [f.image[:, 480:1000] for f in islice(iter(source), 15)]
    alone = blazepose.detect(as_frames(single), (520, 720))
    crowd = follow_everybody(blazepose, as_frames(np.hstack([s, s[:, ::-1]]) for s in single), (1040, 720))
    assert [p.presence.frames.tolist() for p in crowd.people] == [list(range(15))] * 2
    left, right = sorted((crowd.keypoints(k) for k in (0, 1)), key=lambda k: float(k.xy[..., 0].mean()))
    assert np.median(np.linalg.norm(left.xy - alone.xy, axis=-1)) < 6
    mirrored = right.xy[:, list(right.skeleton.mirror)]
    mirrored[..., 0] = 1039 - mirrored[..., 0]
    assert np.median(np.linalg.norm(mirrored - alone.xy, axis=-1)) < 6
    assert left.xy[:, LIMB_ROWS, 0].max() < 520 < right.xy[:, LIMB_ROWS, 0].min()


def passing(count: int, size: tuple[int, int]) -> Iterator[tuple[Image, NDArray[np.float64]]]:
    """Two mannequins in the same clothes pass each other; pictures, and where their 17 joints are (2, 17, 2)."""
    points = shipped_motion().points[:count].astype(np.float64)
    points[..., [0, 2]] -= points[:, :1, [0, 2]]
    camera = Pinhole.from_fov(size, 69.4)
    stage = Stage(camera.matrix, size, Style(), Ground((0.0, -1.0, 0.0), -1.15), 3.0)
    room = stage.room
    for index, x in enumerate(np.linspace(-1.3, 1.3, count)):
        far = (points[index] - [0, 1.15, 0]) * [1, -1, -1] + [x, 0, 3.9]
        near = (points[(index + 20) % count] - [0, 1.15, 0]) * [1, -1, -1] + [-0.8 * x, 0, 3.1]
        stage.room = room
        stage.room = stage.render(far, seed=index)
        picture = stage.render(near, seed=index)
        joints = np.stack([far[:17], near[:17]])
        seen = joints[..., :2] / joints[..., 2:] * camera.matrix[[0, 1], [0, 1]] + camera.matrix[:2, 2]
        yield picture, seen


def test_people_who_pass_each_other_stay_who_they_are(blazepose: BlazePose) -> None:
    """The one behind is hidden for some frames, and is himself afterwards."""
    scene = list(passing(50, (640, 480)))
    truth = np.array([joints for _, joints in scene])  # (T, 2, 17, 2)
    crowd = follow_everybody(blazepose, as_frames(picture for picture, _ in scene), (640, 480))
    assert len(crowd.people) == 2
    owners = []
    for number in (0, 1):
        seen = crowd.keypoints(number).to_h36m17()
        apart = np.linalg.norm(seen.xy[:, None, LIMB_ROWS] - truth[:, :, LIMB_ROWS], axis=-1).mean(axis=-1)
        nearest = apart[seen.found].argmin(axis=1)
        assert len(np.unique(nearest)) == 1  # never the other
        assert np.median(apart[seen.found].min(axis=1)) < 10
        assert seen.found[:15].all() and seen.found[-10:].all()
        owners.append(int(nearest[0]))
    assert sorted(owners) == [0, 1]


def test_a_cut_begins_new_people(blazepose: BlazePose, walk: list[Frame], shared_data: Path) -> None:
    """A dark moment in a shot does not."""
    other = open_media(shared_data / "videos" / "sam2_juggle" / "video.mp4")
    shots = (
        [f.image for f in walk[:10]],
        [cv2.resize(f.image[:, 480:885], (720, 1280)) for f in islice(iter(other), 12)],
    )
    dark = np.zeros_like(walk[0].image)
    images = [*shots[0][:5], dark, *shots[0][5:], *shots[1]]
    cuts = ShotCuts()
    assert [k for k, image in enumerate(images) if cuts(image)] == [11]
    crowd = follow_everybody(blazepose, as_frames(images), (720, 1280))
    assert crowd.shots == 2
    frames = sorted(p.presence.frames.tolist() for p in crowd.people)
    assert frames == [[*range(5), *range(6, 11)], list(range(11, 23))]


def test_a_car_is_nobody(blazepose: BlazePose, shared_data: Path) -> None:
    """Enlarged, it looks like a person to both networks for nine frames, with presences up to 1.0."""
    source = open_media(shared_data / "videos" / "intel_car_noperson" / "video.mp4")
    assert follow_everybody(blazepose, islice(iter(source), 222, 252), (768, 432)).people == ()


def test_no_frames_and_nobody(blazepose: BlazePose) -> None:
    assert follow_everybody(blazepose, iter(()), (64, 48)).people == ()
    grey = np.full((48, 64, 3), 128, np.uint8)
    crowd: Crowd = follow_everybody(blazepose, as_frames([grey] * 3), (64, 48))
    assert crowd.people == () and len(crowd.times_s) == 3


@pytest.mark.parametrize("size", [(1920, 1080), (720, 1280), (640, 480), (500, 500), (4000, 300)])
def test_parts_cover_the_picture(size: tuple[int, int]) -> None:
    width, height = size
    covered = np.zeros((height, width), dtype=bool)
    parts = parts_of(width, height)
    for part in parts:
        half = part.side / 2
        top, left = max(0, round(part.y - half)), max(0, round(part.x - half))
        covered[top : round(part.y + half), left : round(part.x + half)] = True
    assert covered.all() and len(parts) in (2, 4)


def presence(frames: range, area: float) -> Presence:
    return Presence(np.array(frames), area, 100.0)


def test_whom_a_word_means() -> None:
    people = [presence(range(5, 9), 90), presence(range(2, 30), 80), presence(range(1, 4), 10)]
    asked = ("largest", "longest", "first", "all", "0", "2")
    assert [chosen(word, people) for word in asked] == [[0], [1], [2], [0, 1, 2], [0], [2]]
    with pytest.raises(UsageError, match="no person 3: there are 3 people, 0 to 2; `posecli inspect` lists"):
        chosen("3", people)
    for nonsense in ("biggest", "-1", "1.0", ""):
        with pytest.raises(UsageError, match="--person takes largest, longest, first, all or a number"):
            chosen(nonsense, people)
    made = record("longest", 1, people, 40)
    assert described(made) == "3; this is 1, the one seen in most frames, in 28 of 40 frames"
    assert [answers(made, word) for word in ("longest", "1", "largest", "0", "all")] == [
        True,
        True,
        *[False] * 3,
    ]
