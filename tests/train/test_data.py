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
from posecli.train.data import Feed, Mixed, WindowSet

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
