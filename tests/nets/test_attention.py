"""The fast attention against textbook attention, values and gradients, in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from posecli.nets import attention
from posecli.nets.attention import Block, drop_path
from posecli.nets.ddhpose import HSTDenoiser
from posecli.nets.hierarchy import hrst_map
from posecli.skeleton import H36M17

T, N, J, C, HEADS = 5, 3, 17, 12, 3


def textbook(block: Block, x, extra, logit_map):
    """x + Attention + MLP with the tokens of one sequence at a time."""
    y = F.layer_norm(x, (C,), block.norm1.weight, block.norm1.bias, 1e-6)
    q, k, v = block.qkv(y).split(C, dim=-1)
    if extra is not None:
        k = k + block.kc(extra * block.norm1.weight + block.norm1.bias)
    out = torch.zeros_like(x)
    for n in range(N):
        for group in range(T if block.axis == "joints" else J):
            tokens = (group, n, slice(None)) if block.axis == "joints" else (slice(None), n, group)
            for head in range(HEADS):
                part = slice(head * C // HEADS, (head + 1) * C // HEADS)
                logits = q[tokens][:, part] @ k[tokens][:, part].T / (C / HEADS) ** 0.5
                if logit_map is not None:
                    at, matrix = logit_map
                    flat = logits.flatten()
                    logits = flat.index_copy(0, at, matrix @ flat[at]).view_as(logits)
                out[(*tokens, part)] = logits.softmax(-1) @ v[tokens][:, part]
    x = x + block.proj(out)
    y = F.layer_norm(x, (C,), block.norm2.weight, block.norm2.bias, 1e-6)
    return x + block.fc2(F.gelu(block.fc1(y)))


@pytest.mark.parametrize("kind", ["joints", "frames", "hrst", "hrtt"])
def test_block_equals_textbook_attention(kind: str) -> None:
    torch.manual_seed(0)
    axis = {"hrst": "joints", "hrtt": "frames"}.get(kind, kind)
    block = Block(width=C, heads=HEADS, hidden=2 * C, axis=axis, extra_keys=kind == "hrtt").double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(T, N, J, C, dtype=torch.float64, requires_grad=True)
    extra = torch.randn(T, N, J, C, dtype=torch.float64, requires_grad=True) if kind == "hrtt" else None
    logit_map = None
    if kind == "hrst":
        at, matrix = hrst_map(H36M17.parents)
        logit_map = at, matrix.double()
    inputs = [x, *block.parameters(), *([extra] if extra is not None else [])]
    results = []
    for function in (block, lambda *a: textbook(block, *a)):
        y = function(x, extra, logit_map)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        results.append((y, torch.autograd.grad((y * weights).sum(), inputs)))
    torch.testing.assert_close(results[0][0], results[1][0])
    for fast, plain in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(fast, plain)


def test_long_sequences_take_the_fused_kernel_to_the_same_result(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 81, 8, generator=generator) for _ in range(3))
    fused = attention.attend(q, k, v)
    monkeypatch.setattr(attention, "SHORT", 81)
    torch.testing.assert_close(attention.attend(q, k, v), fused, rtol=1e-5, atol=1e-6)


def test_drop_path_drops_whole_branches_and_keeps_the_mean() -> None:
    x = torch.ones(4000, 3)
    dropped = drop_path(x, 0.25, (4000, 1), torch.Generator().manual_seed(0))
    assert sorted(dropped.unique().tolist()) == pytest.approx([0, 1 / 0.75])
    assert (dropped == dropped[:, :1]).all()
    assert abs(dropped.mean().item() - 1) < 0.03


def denoiser(layout: str) -> HSTDenoiser:
    return HSTDenoiser(parents=H36M17.parents, frames=5, width=8, depth=2, heads=2, hrtt_layout=layout)


def test_hrtt_layouts() -> None:
    """Released: within a clip, joint j at time k gets the child token with time-major number j·T + k."""
    x = torch.randn(5, 3, J, 8, generator=torch.Generator().manual_seed(0))
    paper, official = denoiser("paper")._child_tokens(x), denoiser("official")._child_tokens(x)
    for n in range(3):
        for j in range(J):
            for k in range(5):
                frame, joint = divmod(j * 5 + k, J)
                assert torch.equal(official[k, n, j], paper[frame, n, joint])
    mean = x[:, :, [8, 9, 11, 14]].mean(2)
    torch.testing.assert_close(paper[:, :, 8], F.layer_norm(mean, (8,), eps=1e-6))
