"""PoseDenoiser: the size the paper's settings give, what reaches its output."""

from __future__ import annotations

import torch

from posecli.nets.d3prefiner import PoseDenoiser

PARTS = (0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4)


def small() -> PoseDenoiser:
    torch.manual_seed(0)
    net = PoseDenoiser(parts=PARTS, width=16, depth=2, heads=2).eval()
    torch.nn.init.normal_(net.out.weight)
    return net


def test_the_papers_settings() -> None:
    """Four blocks of two criss-cross modules (qkv, projection, two 3x3 depthwise, norm, parts), a step, an MLP."""
    net = PoseDenoiser(parts=PARTS, width=256, depth=4, heads=8)
    module = 2 * 256 + 256 * 768 + 768 + 256 * 256 + 256 + 2 * (128 * 9 + 128) + 5 * 16
    block = 2 * module + (256 * 256 + 256) + 2 * 256 + 2 * 256 * 1024
    ends = (5 * 256 + 256) + 2 * (256 * 256 + 256) + (256 * 3 + 3)
    assert sum(p.numel() for p in net.parameters()) == 4 * block + ends
    x2d, state = torch.randn(2, 7, 17, 2), torch.randn(2, 7, 17, 3)
    error = net.eval()(x2d, state, torch.tensor([49, 24]))
    assert error.shape == (2, 7, 17, 3) and (error == 0).all()  # before training it changes nothing


def test_everything_it_is_given_counts() -> None:
    net = small().requires_grad_(False)
    g = torch.Generator().manual_seed(1)
    x2d, state = torch.randn(1, 9, 17, 2, generator=g), torch.randn(1, 9, 17, 3, generator=g)
    t = torch.tensor([24])
    before = net(x2d, state, t)
    for other in (
        net(x2d + 0.1, state, t),
        net(x2d, state + 0.1, t),
        net(x2d, state, torch.tensor([49])),
    ):
        assert float((other - before).abs().max()) > 1e-3
    # One joint in one frame reaches joints and frames far from it.
    moved = state.clone()
    moved[0, 0, 3] += 1.0
    change = (net(x2d, moved, t) - before).abs().amax(dim=-1)[0]
    assert change[8, 16] > 0 and change[0, 13] > 0 and change[8, 3] > 0


def test_reach_is_a_filter_over_neighbouring_frames() -> None:
    """With the criss-cross modules silenced the network is linear in what the first layer sees, so it can say by how
    much a frame lies off the mean of the five around it; beyond the ends the last frames go on."""
    net = PoseDenoiser(parts=PARTS, width=16, depth=1, heads=2, reach=2).eval()
    (block,) = net.blocks
    with torch.no_grad():
        for p in (
            *block.first.proj.parameters(),
            *block.second.proj.parameters(),
            *block.step.parameters(),
            block.fc2.weight,
        ):
            p.zero_()
        net.embed.weight.zero_()
        net.embed.bias.zero_()
        for axis in range(3):  # x, y, z of the four neighbours' differences, in decimetres
            net.embed.weight[axis, [5 * k + axis for k in range(1, 5)]] = -0.1 / 5
            net.out.weight[axis, axis] = 1.0
        state = torch.randn(1, 6, 17, 3, generator=torch.Generator().manual_seed(0))
        off = net(torch.zeros(1, 6, 17, 2), state, torch.tensor([49]))
    padded = torch.cat([state[:, :1], state[:, :1], state, state[:, -1:], state[:, -1:]], dim=1)
    mean = torch.stack([padded[:, k : k + 6] for k in range(5)]).mean(dim=0)
    torch.testing.assert_close(off, state - mean, atol=1e-5, rtol=0)
