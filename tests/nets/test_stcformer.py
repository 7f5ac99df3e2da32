"""STCFormer's criss-cross attention against textbook attention, values and gradients, in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from posecli.nets.stcformer import PART_SHARE, CrissCross, STCFormerNet

B, T, J, C, HEADS = 2, 4, 5, 12, 3
PARTS = (0, 1, 1, 2, 0)


def textbook(block: CrissCross, x: torch.Tensor) -> torch.Tensor:
    """One head and one line of tokens at a time."""
    half, d = C // 2, C // 2 // HEADS
    y = F.layer_norm(x, (C,), block.norm.weight, block.norm.bias, 1e-5)
    q, k, v = F.linear(y, block.qkv.weight, block.qkv.bias).split(C, dim=-1)
    heads = []
    for head in range(HEADS):
        for axis, conv, share, first in (
            ("joints", block.near_s, PART_SHARE[0], 0),
            ("frames", block.near_t, PART_SHARE[1], half),
        ):
            part = slice(first + head * d, first + (head + 1) * d)
            out = torch.zeros(B, T, J, d, dtype=x.dtype)
            for b in range(B):
                for line in range(T if axis == "joints" else J):
                    at = (b, line) if axis == "joints" else (b, slice(None), line)
                    logits = q[at][..., part] @ k[at][..., part].T / half**0.5
                    out[at] = logits.softmax(-1) @ v[at][..., part]
            padded = F.pad(v[..., part], (0, 0, 1, 1, 1, 1))  # a frame and a joint of zeros all round
            for i in range(d):
                kernel = conv.weight[head * d + i, 0]
                near = sum(
                    kernel[m, n] * padded[:, m : m + T, n : n + J, i] for m in range(3) for n in range(3)
                )
                out[..., i] = out[..., i] + near + conv.bias[head * d + i]
            heads.append(out + share * block.part_emb.weight[list(PARTS)])
    return F.linear(torch.cat(heads, dim=-1), block.proj.weight, block.proj.bias)


def test_criss_cross_equals_textbook_attention() -> None:
    torch.manual_seed(0)
    block = CrissCross(width=C, heads=HEADS, parts=PARTS).double().eval()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():
        block.part_emb.weight *= 1e4  # or its share could not be seen
    x = torch.randn(B, T, J, C, dtype=torch.float64, requires_grad=True)
    results = []
    for function in (block, lambda x: textbook(block, x)):
        y = function(x)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        results.append((y, torch.autograd.grad((y * weights).sum(), [x, *block.parameters()])))
    torch.testing.assert_close(results[0][0], results[1][0])
    for fast, plain in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize("frames", [1, 2, 9, 70])
def test_any_length(frames: int) -> None:
    net = STCFormerNet(parts=(0, 1, 2), width=8, depth=2, heads=2).eval()
    pose = net(torch.randn(2, frames, 3, 2))
    assert pose.shape == (2, frames, 3, 3) and torch.isfinite(pose).all()


def test_dropout_draws_from_the_generator() -> None:
    net = STCFormerNet(parts=PARTS, width=8, depth=2, heads=2, dropout=0.3).train()
    x2d = torch.randn(2, T, J, 2)
    first, again, other = (net(x2d, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
