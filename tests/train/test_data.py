"""The windows of a step: fixed by seed, step and process; a share of them from the paired set; on one device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from posecli.corpus.simulate import Simulator
from posecli.corpus.store import load_corpus
from posecli.methods import METHODS
from posecli.methods.common import mirrored
from posecli.skeleton import H36M17
from posecli.train.data import Drawn, Feed, Mixed, WindowSet
from posecli.train.validation import lifted

CPU = torch.device("cpu")
SMALL = {"frames": 9, "width": 32, "depth": 2, "heads": 2, "components": 0}  # EM (DiffPose) looks at values


@pytest.fixture(scope="module")
def simulator(corpus: Path) -> Simulator:
    return Simulator(load_corpus(corpus, "train"), 9)


@pytest.fixture(scope="module")
def pairs() -> WindowSet:
    generator = torch.Generator().manual_seed(7)
    return WindowSet(
        torch.randn(20, 9, 17, 2, generator=generator), torch.randn(20, 9, 17, 3, generator=generator)
    )


def test_a_step_is_the_same_whenever_it_is_asked_for(simulator: Simulator) -> None:
    ahead, late = (Feed(simulator, 3, 5, CPU) for _ in range(2))
    ahead.prepare(7)
    (one, first), (other, second) = ahead.take(7), late.take(7)
    assert torch.equal(one.x2d, other.x2d) and torch.equal(one.pose, other.pose)
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=second))
    assert 0 < late.waited() < 60


def test_steps_processes_and_seeds_see_other_windows(simulator: Simulator) -> None:
    drawn = [
        Feed(simulator, 2, seed, CPU, rank).take(step)[0].x2d
        for seed, step, rank in ((0, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 0), (0, 1, 1))
    ]
    assert len(torch.cat(drawn).unique(dim=0)) == 10


def test_the_share_of_a_batch_that_is_paired(simulator: Simulator, pairs: WindowSet) -> None:
    def from_pairs(mixed: Mixed) -> int:
        drawn = mixed.draw(16, torch.Generator().manual_seed(0))
        assert drawn.x2d.shape == (16, 9, 17, 2) and drawn.pose.shape == (16, 9, 17, 3)
        both = torch.cat([pairs.x2d, mirrored(pairs.x2d, H36M17.mirror)])
        poses = torch.cat([pairs.pose, mirrored(pairs.pose, H36M17.mirror)])
        hits = (drawn.x2d[:, None] == both).all(-1).all(-1).all(-1)
        for row, column in hits.nonzero().tolist():  # 2D and truth stay together
            assert torch.equal(drawn.pose[row], poses[column])
        return int(hits.sum())

    assert [from_pairs(Mixed(simulator, pairs, count)) for count in (4, 16)] == [4, 16]


def test_pieces_of_a_set_are_all_of_it(pairs: WindowSet) -> None:
    pieces = pairs.batches(8)
    assert [len(p) for p in pieces] == [8, 8, 4]
    assert torch.equal(torch.cat([p.pose for p in pieces]), pairs.pose)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_everything_a_step_makes_lies_on_its_device(corpus: Path, method: str) -> None:
    """Tensors on "meta" have no values: code that mixes devices, or waits for a value, ends in an error."""
    defaults = METHODS[method].defaults
    settings = {key: value for key, value in SMALL.items() if key in defaults}
    model: Any = METHODS[method].build({**defaults, **settings}).to("meta").train()
    simulator = Simulator(load_corpus(corpus, "train"), model.window, device="meta")
    windows = simulator.draw(4, torch.Generator())
    assert windows.x2d.device.type == windows.pose.device.type == "meta"
    model.loss(windows.x2d, windows.pose, generator=torch.Generator(), final_share=0.5).objective().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(g.device.type == "meta" for g in gradients)


def test_a_heatmap_lifter_is_shown_the_clouds_of_its_windows(pairs: WindowSet) -> None:
    """A few windows at a time, each with its own clouds and all with the same draws."""

    class Looking:
        cloud_size, window, skeleton, config = 7, 9, H36M17, None

        def lift_windows(
            self, x2d: torch.Tensor, *, hypotheses: int, steps: int, generator: torch.Generator,
            cloud: torch.Tensor | None = None,
        ) -> torch.Tensor:  # fmt: skip
            assert cloud is not None and cloud.shape == (*x2d.shape[:3], 7, 2) and len(x2d) <= 24
            drawn = torch.rand(1, generator=generator)
            middle = cloud.mean(dim=3) + drawn
            return torch.cat([middle, middle[..., :1]], dim=-1)[:, None].expand(-1, hypotheses, -1, -1, -1)

    class About:
        def __init__(self, x2d: torch.Tensor) -> None:
            self.x2d = x2d

        def of(self, windows: slice) -> About:
            return About(self.x2d[windows])

        def draw(self, frames: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
            assert torch.equal(frames, torch.arange(9).expand(len(self.x2d), -1))
            return self.x2d[..., None, :].expand(-1, -1, -1, count, -1)

    many = torch.cat([pairs.x2d] * 3)
    windows = Drawn(many, torch.zeros(60, 9, 17, 3), About(many))
    generator = torch.Generator().manual_seed(3)
    expected = many + torch.rand(1, generator=torch.Generator().manual_seed(3))
    poses = lifted(Looking(), windows, hypotheses=2, steps=1, generator=generator)  # type: ignore[arg-type]
    assert poses.shape == (60, 2, 9, 17, 3)
    torch.testing.assert_close(poses[:, 1, ..., :2], expected)
