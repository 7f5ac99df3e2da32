"""HRST's exact linear map against the published table, and the tree's derived facts."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
import torch

from posecli.nets.hierarchy import chains, child_average, hrst_map, hrst_rules, levels
from posecli.skeleton import H36M17, MPI3DHP17, Skeleton

# methods.md, appendix A: changed entry = sum of coefficient * original entry
H36M_TABLE = """
(1, 2) = 1/2*(1, 2) + 1/2*(0, 1)
(2, 1) = 1/2*(2, 1) + 1/2*(0, 1)
(2, 3) = 1/2*(2, 3) + 1/4*(1, 2) + 1/4*(0, 1)
(3, 2) = 1/2*(3, 2) + 1/4*(1, 2) + 1/4*(0, 1)
(4, 5) = 1/2*(4, 5) + 1/2*(0, 4)
(5, 4) = 1/2*(5, 4) + 1/2*(0, 4)
(5, 6) = 1/2*(5, 6) + 1/4*(4, 5) + 1/4*(0, 4)
(6, 5) = 1/2*(6, 5) + 1/4*(4, 5) + 1/4*(0, 4)
(7, 8) = 7/8*(0, 7) + 1/8*(7, 8)
(8, 7) = 7/8*(0, 7) + 1/8*(8, 7)
(8, 9) = 1/2*(8, 9) + 1/4*(7, 8) + 1/4*(0, 7)
(8, 11) = 1/2*(8, 11) + 3/8*(0, 7) + 1/8*(7, 8)
(8, 14) = 1/2*(8, 14) + 7/16*(0, 7) + 1/16*(7, 8)
(9, 8) = 1/2*(9, 8) + 1/4*(7, 8) + 1/4*(0, 7)
(9, 10) = 1/2*(9, 10) + 1/4*(8, 9) + 1/8*(7, 8) + 1/8*(0, 7)
(10, 9) = 1/2*(10, 9) + 1/4*(8, 9) + 1/8*(7, 8) + 1/8*(0, 7)
(11, 8) = 1/2*(11, 8) + 3/8*(0, 7) + 1/8*(7, 8)
(11, 12) = 1/2*(11, 12) + 1/4*(8, 11) + 3/16*(0, 7) + 1/16*(7, 8)
(12, 11) = 1/2*(12, 11) + 1/4*(8, 11) + 3/16*(0, 7) + 1/16*(7, 8)
(12, 13) = 1/2*(12, 13) + 1/4*(11, 12) + 1/8*(8, 11) + 3/32*(0, 7) + 1/32*(7, 8)
(13, 12) = 1/2*(13, 12) + 1/4*(11, 12) + 1/8*(8, 11) + 3/32*(0, 7) + 1/32*(7, 8)
(14, 8) = 1/2*(14, 8) + 7/16*(0, 7) + 1/16*(7, 8)
(14, 15) = 1/2*(14, 15) + 1/4*(8, 14) + 7/32*(0, 7) + 1/32*(7, 8)
(15, 14) = 1/2*(15, 14) + 1/4*(8, 14) + 7/32*(0, 7) + 1/32*(7, 8)
(15, 16) = 1/2*(15, 16) + 1/4*(14, 15) + 1/8*(8, 14) + 7/64*(0, 7) + 1/64*(7, 8)
(16, 15) = 1/2*(16, 15) + 1/4*(14, 15) + 1/8*(8, 14) + 7/64*(0, 7) + 1/64*(7, 8)
"""
MPI3DHP_TABLE = """
(0, 1) = 1/2*(0, 1) + 1/4*(15, 1) + 1/4*(14, 15)
(1, 0) = 1/2*(1, 0) + 1/4*(15, 1) + 1/4*(14, 15)
(1, 2) = 1/2*(1, 2) + 3/8*(14, 15) + 1/8*(15, 1)
(1, 5) = 1/2*(1, 5) + 7/16*(14, 15) + 1/16*(15, 1)
(1, 15) = 15/16*(14, 15) + 1/16*(1, 15)
(1, 16) = 1/2*(1, 16) + 15/32*(14, 15) + 1/32*(15, 1)
(2, 1) = 1/2*(2, 1) + 3/8*(14, 15) + 1/8*(15, 1)
(2, 3) = 1/2*(2, 3) + 1/4*(1, 2) + 3/16*(14, 15) + 1/16*(15, 1)
(3, 2) = 1/2*(3, 2) + 1/4*(1, 2) + 3/16*(14, 15) + 1/16*(15, 1)
(3, 4) = 1/2*(3, 4) + 1/4*(2, 3) + 1/8*(1, 2) + 3/32*(14, 15) + 1/32*(15, 1)
(4, 3) = 1/2*(4, 3) + 1/4*(2, 3) + 1/8*(1, 2) + 3/32*(14, 15) + 1/32*(15, 1)
(5, 1) = 1/2*(5, 1) + 7/16*(14, 15) + 1/16*(15, 1)
(5, 6) = 1/2*(5, 6) + 1/4*(1, 5) + 7/32*(14, 15) + 1/32*(15, 1)
(6, 5) = 1/2*(6, 5) + 1/4*(1, 5) + 7/32*(14, 15) + 1/32*(15, 1)
(6, 7) = 1/2*(6, 7) + 1/4*(5, 6) + 1/8*(1, 5) + 7/64*(14, 15) + 1/64*(15, 1)
(7, 6) = 1/2*(7, 6) + 1/4*(5, 6) + 1/8*(1, 5) + 7/64*(14, 15) + 1/64*(15, 1)
(8, 9) = 1/2*(8, 9) + 1/2*(14, 8)
(9, 8) = 1/2*(9, 8) + 1/2*(14, 8)
(9, 10) = 1/2*(9, 10) + 1/4*(8, 9) + 1/4*(14, 8)
(10, 9) = 1/2*(10, 9) + 1/4*(8, 9) + 1/4*(14, 8)
(11, 12) = 1/2*(11, 12) + 1/2*(14, 11)
(12, 11) = 1/2*(12, 11) + 1/2*(14, 11)
(12, 13) = 1/2*(12, 13) + 1/4*(11, 12) + 1/4*(14, 11)
(13, 12) = 1/2*(13, 12) + 1/4*(11, 12) + 1/4*(14, 11)
(15, 1) = 15/16*(14, 15) + 1/16*(15, 1)
(16, 1) = 1/2*(16, 1) + 15/32*(14, 15) + 1/32*(15, 1)
"""
TABLES = [pytest.param(H36M17, H36M_TABLE, id="h36m"), pytest.param(MPI3DHP17, MPI3DHP_TABLE, id="3dhp")]


def parse(table: str) -> dict[tuple[int, int], dict[tuple[int, int], Fraction]]:
    entry = r"\((\d+), (\d+)\)"
    rules = {}
    for line in table.strip().splitlines():
        target, _, terms = line.partition(" = ")
        r, c = re.fullmatch(entry, target).groups()
        rules[int(r), int(c)] = {
            (int(a), int(b)): Fraction(w) for w, a, b in re.findall(rf"([\d/]+)\*{entry}", terms)
        }
    return rules


@pytest.mark.parametrize(("skeleton", "table"), TABLES)
def test_hrst_rules_are_the_published_ones(skeleton: Skeleton, table: str) -> None:
    rules = hrst_rules(skeleton.parents)
    assert rules == parse(table)
    assert len(rules) == 26
    assert all(sum(sources.values()) == 1 for sources in rules.values())


@pytest.mark.parametrize(("skeleton", "table"), TABLES)
def test_hrst_map_equals_the_papers_loop(skeleton: Skeleton, table: str) -> None:
    joints = skeleton.num_joints
    attention = torch.randn(5, joints, joints, generator=torch.Generator().manual_seed(0)).double()
    looped = attention.clone()
    for chain in chains(skeleton.parents):  # algorithm 1, in place
        for g, p, c in zip(chain, chain[1:], chain[2:], strict=False):
            looped[:, p, c] = (looped[:, p, c] + looped[:, g, p]) / 2
            looped[:, c, p] = (looped[:, c, p] + looped[:, g, p]) / 2
    at, matrix = hrst_map(skeleton.parents)
    mapped = attention.flatten(1)
    mapped[:, at] = mapped[:, at] @ matrix.double().T
    torch.testing.assert_close(mapped.view_as(looped), looped)


def test_levels_and_chains_are_the_papers() -> None:
    level = levels(H36M17.parents)
    groups = [[j for j in range(17) if level[j] == k] for k in range(6)]
    assert groups == [[0], [1, 4, 7], [2, 5, 8], [3, 6, 9, 11, 14], [10, 12, 15], [13, 16]]
    assert chains(H36M17.parents) == [
        [0, 1, 2, 3], [0, 4, 5, 6], [0, 7, 8, 9, 10], [0, 7, 8, 11, 12, 13], [0, 7, 8, 14, 15, 16],
    ]  # fmt: skip
    level = levels(MPI3DHP17.parents)
    groups = [[j for j in range(17) if level[j] == k] for k in range(6)]
    assert groups == [[14], [8, 11, 15], [1, 9, 12], [0, 2, 5, 10, 13, 16], [3, 6], [4, 7]]
    assert chains(MPI3DHP17.parents) == [
        [14, 8, 9, 10], [14, 11, 12, 13], [14, 15, 1, 0], [14, 15, 1, 2, 3, 4], [14, 15, 1, 5, 6, 7],
        [14, 15, 1, 16],
    ]  # fmt: skip


def test_child_average() -> None:
    matrix = child_average(H36M17.parents)
    torch.testing.assert_close(matrix.sum(1), torch.ones(17))
    assert matrix[8].nonzero().flatten().tolist() == [8, 9, 11, 14] and matrix[8, 8] == 0.25
    assert matrix[10].nonzero().flatten().tolist() == [10]
