"""Two processes of `torchrun` are one run: each sees its own windows, all end with the same weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from posecli.methods import METHODS

SETTINGS: dict[str, Any] = {
    "frames": 5, "width": 16, "depth": 1, "heads": 2, "drop_path": 0.0,
}  # fmt: skip
STEPS, BATCH, RATE, DECAY, CLIP = 3, 4, 1e-3, 0.05, 0.5

RUN = f"""
import os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from posecli.corpus.store import load_corpus
from posecli.methods import METHODS
from posecli.train import TrainConfig
from posecli.train.loop import train

data, folder, rank = Path(sys.argv[1]), Path(sys.argv[2]), os.environ["RANK"]
torch.manual_seed(int(rank))  # what the second process begins with must not count
model = METHODS["mixste"].build({{**METHODS["mixste"].defaults, **{SETTINGS}}})
first = {{k: v.clone() for k, v in model.state_dict().items()}}
seen, loss = [], model.loss

def watched(x2d, pose, **rest):
    seen.append((x2d.clone(), pose.clone()))
    return loss(x2d, pose, **rest)

model.loss = watched
config = TrainConfig(
    steps={STEPS}, batch={BATCH}, learning_rate={RATE}, schedule="constant", warmup=0, weight_decay={DECAY},
    clip_norm={CLIP}, ema=0.0, precision="32-true", validate_every={STEPS}, validation_windows=64,
)
outcome = train(model, load_corpus(data, "train"), load_corpus(data, "val"), config, folder, device="cpu")
torch.save((outcome.processes, first, model.state_dict(), seen), folder / f"rank{{rank}}.pt")
"""


def test_two_processes_train_as_one_on_both_their_windows(corpus: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(script), str(corpus), str(tmp_path)],
        timeout=240, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    (processes, first, weights, seen), (_, _, others, seen_by_other) = ranks
    assert processes == 2
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert len(seen) == len(seen_by_other) == STEPS
    windows = torch.cat([x2d for x2d, _ in (*seen, *seen_by_other)])
    assert len(windows) == 2 * STEPS * BATCH and len(windows.unique(dim=0)) == len(windows)

    # The same by hand, in one process, with batches of both: means of means are the mean of all.
    model: Any = METHODS["mixste"].build({**METHODS["mixste"].defaults, **SETTINGS})
    model.load_state_dict(first)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    for step in zip(seen, seen_by_other, strict=True):
        x2d, pose = (torch.cat(parts) for parts in zip(*step, strict=True))
        optimizer.zero_grad()
        model.loss(x2d, pose, generator=torch.Generator()).objective().backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
    moved = max(float((first[k] - v).abs().max()) for k, v in weights.items())
    apart = max(float((model.state_dict()[k] - v).abs().max()) for k, v in weights.items())
    assert moved > RATE and apart < 0.1 * RATE
    assert (tmp_path / "log.csv").read_text().count("\n") == 2  # one writes: a heading and a row
