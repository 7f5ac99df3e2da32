"""Graph layers against what can be worked out by hand, and networks against the papers' sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from posecli.nets import graph
from posecli.nets.diffpose import GraFormerNoise
from posecli.nets.diffupose import DiffuPoseNet
from posecli.nets.graformer import GraFormer
from posecli.nets.mgcn import PostRefine
from posecli.skeleton import H36M16, H36M17

CHAIN = (-1, 0, 1)


def test_adjacency_of_a_chain() -> None:
    third, half = 1 / 3, 0.5
    expected = torch.tensor([[half, half, 0], [third, third, third], [0, half, half]])
    torch.testing.assert_close(graph.adjacency(CHAIN, self_loops=True), expected)
    expected = torch.tensor([[1, 1, 0], [half, 1, half], [0, 1, 1]])
    torch.testing.assert_close(graph.adjacency(CHAIN, self_loops=False), expected)
    assert graph.adjacency((-1,), self_loops=False).tolist() == [[1.0]]  # no neighbours, no division by zero


def test_chebyshev_polynomials_act_on_eigenvalues_like_cosines() -> None:
    """T_k(cos a) = cos(k a), for a Laplacian with eigenvalues within [-1, 1]."""
    matrix = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)).double()
    matrix = matrix + matrix.T + 5 * torch.eye(5)  # heavy self loops: eigenvalues of the Laplacian below 1
    first, second, third = graph.chebyshev(matrix, 3)
    angles = torch.linalg.eigvalsh(first).acos()
    for k, polynomial in ((2, second), (3, third)):
        torch.testing.assert_close(
            torch.linalg.eigvalsh(polynomial).sort().values, (k * angles).cos().sort().values
        )
    with pytest.raises(ValueError, match="order"):
        graph.chebyshev(matrix, 0)


def test_laplacian_of_a_row_normalised_adjacency_is_one_minus_it() -> None:
    matrix = graph.adjacency(H36M17.parents, self_loops=True)
    torch.testing.assert_close(graph.chebyshev(matrix, 1)[0], torch.eye(17) - matrix)


def test_chebyshev_convolution_is_the_sum_it_says() -> None:
    polynomials = graph.chebyshev(graph.adjacency(CHAIN, self_loops=True), 2)
    layer = graph.ChebConv(polynomials, 4, 6)
    nn.init.normal_(layer.bias)
    pose = torch.randn(7, 3, 4)
    expected = layer.bias + pose @ layer.weight[0]
    for polynomial, weight in zip(polynomials, layer.weight[1:], strict=True):
        expected = expected + torch.einsum("ij,bjc,cd->bid", polynomial, pose, weight)
    actual = graph.joints_last(layer(graph.joints_first(pose)), (7,))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_learned_adjacency_is_normalised_by_sums_over_its_first_index() -> None:
    layer = graph.LearnedGraphMLP(2, 3, 5)
    with torch.no_grad():
        layer.adjacency.copy_(torch.tensor([[1.0, 3.0], [0.0, 1.0]]))  # column sums 1 and 4
    pose = torch.randn(6, 2, 3)
    root = torch.tensor([1.0, 4.0]).add(1e-5).rsqrt()
    matrix = torch.tensor([[1.0, 3.0], [0.0, 1.0]]) * root[:, None] * root
    expected = layer.fc2(matrix @ layer.fc1(matrix @ pose).relu())
    actual = graph.joints_last(layer(graph.joints_first(pose)), (6,))
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def test_std_norm_divides_by_the_unbiased_deviation() -> None:
    torch.testing.assert_close(
        graph.StdNorm(3)(torch.tensor([1.0, 2.0, 3.0])), torch.tensor([-1.0, 0.0, 1.0]), rtol=0, atol=2e-6
    )
    assert graph.StdNorm(3, eps=1.0)(torch.tensor([1.0, 2.0, 3.0])).tolist() == [-0.5, 0.0, 0.5]


def test_modulated_convolution_is_plain_with_equal_weights_and_symmetric_always() -> None:
    static = graph.adjacency(CHAIN, self_loops=False)
    layer = graph.ModulatedConv(static, 4, 5)
    with torch.no_grad():
        layer.weight[1] = layer.weight[0]
        layer.affinity.zero_()
    pose = torch.randn(6, 3, 4)
    matrix = (static + static.T) / 2
    actual = graph.joints_last(layer(graph.joints_first(pose)), (6,))
    torch.testing.assert_close(actual, matrix @ pose @ layer.weight[0], rtol=1e-5, atol=1e-5)
    with torch.no_grad():  # an affinity and its transpose are the same to it
        layer.affinity.copy_(torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        one = layer(graph.joints_first(pose))
        layer.affinity.copy_(layer.affinity.T.clone())
    torch.testing.assert_close(layer(graph.joints_first(pose)), one)


def test_non_local_block_begins_as_nothing_and_mixes_all_joints() -> None:
    block = graph.NonLocal(8).eval()
    tokens = torch.randn(17, 4, 8)
    assert torch.equal(block(tokens), tokens)
    nn.init.ones_(block.norm.weight)
    moved = tokens.clone()
    moved[16] += 1.0
    assert ((block(moved) - block(tokens))[:16].abs().amax(dim=(0, 2)) > 0).all()


def test_poses_of_a_batch_do_not_see_each_other() -> None:
    net = GraFormer(parents=H36M17.parents, width=16, depth=2).eval()
    x2d = torch.randn(3, 2, 17, 2)
    one = net(x2d[1:2, :1])
    torch.testing.assert_close(net(x2d)[1:2, :1], one, rtol=1e-5, atol=1e-6)
    assert one.shape == (1, 1, 17, 3)


def test_dropout_follows_its_generator() -> None:
    net = GraFormer(parents=H36M17.parents, width=16, depth=1, dropout=0.5, conv_dropout=0.5).train()
    x2d = torch.randn(4, 17, 2)
    first, again, other = (net(x2d, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_refinement_goes_from_one_pose_to_the_other() -> None:
    net = PostRefine(17, 8)
    pose, projected = torch.randn(2, 5, 17, 3)
    for bias, expected in ((50.0, pose), (-50.0, projected)):
        nn.init.zeros_(net.fc2.weight)
        nn.init.constant_(net.fc2.bias, bias)
        torch.testing.assert_close(net(pose, projected)[..., :2], expected[..., :2])
        assert torch.equal(net(pose, projected)[..., 2], pose[..., 2])


def _size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_sizes_are_those_of_the_releases() -> None:
    assert _size(GraFormer(parents=H36M17.parents)) == 654_344
    assert _size(GraFormerNoise(parents=H36M17.parents)) == 1_025_674


@pytest.mark.parametrize(
    ("parents", "width", "released"),
    [
        (H36M16.parents, 128, 377_749),
        (H36M16.parents, 256, 1_451_221),  # 1.45 M in the paper
        (H36M16.parents, 384, 3_223_061),  # 3.22 M in the paper
        (H36M17.parents, 384, 3_226_852),
    ],
)
def test_diffupose_has_the_released_size_less_a_block_that_is_never_used(
    parents: tuple[int, ...], width: int, released: int
) -> None:
    unused = 2 * width * (width // 2) + 2 * width
    assert _size(DiffuPoseNet(parents=parents, width=width)) == released - unused
