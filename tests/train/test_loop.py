"""Training in miniature: what is killed goes on to the same weights, what cannot work is refused in one line."""

from __future__ import annotations

import csv
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posecli.corpus.store import Clip, load_corpus, write_corpus
from posecli.demo import shipped_motion
from posecli.errors import InputError, OutputError, PosecliError, UsageError
from posecli.train import TrainConfig, make_weights
from posecli.train.config import learning_rate_factor
from posecli.train.loop import Progress
from posecli.weights.format import load_weights

MODEL = {"frames": 9, "width": 16, "depth": 2, "heads": 2}
SETTINGS: dict[str, Any] = {
    "steps": 10, "batch": 4, "warmup": 2, "validate_every": 4, "validation_windows": 64, "model": MODEL,
}  # fmt: skip

RUN = """
import json, os, signal, sys
from pathlib import Path
import torch
from posecli.train import TrainConfig, make_weights

torch.set_num_threads(1)
data, folder, settings, die_at = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4])

def follow(progress):
    if progress.step == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

make_weights("ddhpose", data, TrainConfig(**settings), folder, progress=follow)
"""


def clip(subject: int, points: np.ndarray | None = None) -> Clip:
    points = shipped_motion().points if points is None else points
    return Clip(points, 30.0, subject, 1, "A", 0, "made for a test", True, 1.0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are made in the same order as in a process with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def table(log: Path) -> list[dict[str, str]]:
    """Rows of a log without the seconds in it."""
    rows = list(csv.DictReader(log.open(newline="")))
    return [{k: v for k, v in row.items() if k != "waiting"} for row in rows]


def state(folder: Path) -> dict[str, torch.Tensor]:
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {f"{part}/{k}": v for part in ("model", "ema", "best") for k, v in saved[part].items()}


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_goes_on_to_the_same_weights(corpus: Path, tmp_path: Path) -> None:
    whole, broken, config = tmp_path / "whole", tmp_path / "broken", TrainConfig(**SETTINGS)
    make_weights("ddhpose", corpus, config, whole)
    line = [sys.executable, "-c", RUN, str(corpus), str(broken), json.dumps(SETTINGS), "6"]
    assert subprocess.run(line, timeout=120, check=False).returncode == -signal.SIGKILL
    assert not list(broken.glob("*.safetensors")) and (broken / "checkpoint.pt").exists()
    # A row that was logged after the last checkpoint would be there twice.
    with (broken / "log.csv").open("a") as log:
        log.write("8,9,9,9,9,9\n")
    make_weights("ddhpose", corpus, config, broken)
    first, second = state(whole), state(broken)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    rows, again = (table(folder / "log.csv") for folder in (whole, broken))
    assert rows == again and [row["step"] for row in rows] == ["4", "8", "10"]
    (_, one, facts), (_, other, others) = (
        load_weights(f / "ddhpose-cmu.safetensors") for f in (whole, broken)
    )
    assert all(torch.equal(one.state_dict()[k], v) for k, v in other.state_dict().items())
    assert (
        facts == others and "waiting" not in facts
    )  # no time of day or duration: the files are the same bytes
    assert (whole / "ddhpose-cmu.safetensors").read_bytes() == (
        broken / "ddhpose-cmu.safetensors"
    ).read_bytes()


def test_weights_and_card(corpus: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    state_before = torch.get_rng_state()
    weights, card = make_weights(
        "ddhpose", corpus, TrainConfig(**{**SETTINGS, "steps": 3}), tmp_path / "run", progress=reports.append
    )
    assert torch.equal(torch.get_rng_state(), state_before)  # nobody else's random numbers are touched
    assert [r.step for r in reports] == [1, 2, 3] and reports[-1].validation is not None
    assert all(np.isfinite(r.loss) and 0 <= r.waiting <= 1 for r in reports)
    method, model, metadata = load_weights(weights)
    assert method == "ddhpose" and model.window == 9 and not model.training
    assert metadata["rate_hz"] == 30.0 and np.shape(metadata["error_std_m"]) == (17, 3)
    assert metadata["error_std_m"][0] == [0, 0, 0]  # the root is the origin
    x2d = torch.zeros(1, 9, 17, 2)
    pose = model.lift_windows(x2d, hypotheses=1, steps=1, generator=torch.Generator().manual_seed(0))
    assert pose.shape == (1, 1, 9, 17, 3)
    text = card.read_text()
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in text
    assert metadata["corpus_sha256"] == hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert "NSF EIA-0196217" in text and f"| {metadata['validation']['p_mpjpe_mm']:.1f} |" in text
    assert json.loads((tmp_path / "run" / "config.json").read_text())["steps"] == 3


def test_a_finished_run_gives_its_weights_again(corpus: Path, tmp_path: Path) -> None:
    config = TrainConfig(**{**SETTINGS, "steps": 2})
    before = make_weights("ddhpose", corpus, config, tmp_path)[0].read_bytes()
    assert make_weights("ddhpose", corpus, config, tmp_path)[0].read_bytes() == before


def test_checkpoints_of_other_runs_and_damaged_ones_are_refused(corpus: Path, tmp_path: Path) -> None:
    config = TrainConfig(**{**SETTINGS, "steps": 1})
    make_weights("ddhpose", corpus, config, tmp_path)
    with pytest.raises(UsageError, match="other settings"):
        make_weights("ddhpose", corpus, TrainConfig(**{**SETTINGS, "steps": 2}), tmp_path)
    other = tmp_path / "other.h5"
    write_corpus(other, [clip(16, shipped_motion().points[:100]), clip(5)])
    with pytest.raises(UsageError, match="other motion"):
        make_weights("ddhpose", other, config, tmp_path)
    moved = shipped_motion().points + np.float32(0.01)  # as long, yet other motion
    write_corpus(other, [clip(int(c.subject), moved) for c in load_corpus(corpus)])
    with pytest.raises(UsageError, match="other motion"):
        make_weights("ddhpose", other, config, tmp_path)
    file = tmp_path / "checkpoint.pt"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # inside a tensor: still a checkpoint to torch.load
    for content in (whole[:-500], b"", b"rubbish", bytes(flipped)):
        file.write_bytes(content)
        with pytest.raises(InputError, match="is damaged; delete it"):
            make_weights("ddhpose", corpus, config, tmp_path)


@pytest.mark.parametrize("part", ["ema", "best", "optimizer"])
def test_a_checkpoint_of_other_shapes_is_refused(corpus: Path, tmp_path: Path, part: str) -> None:
    """A number would spread over a whole table."""
    config = TrainConfig(**{**SETTINGS, "steps": 1})
    make_weights("ddhpose", corpus, config, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    tensors = state[part]["state"][0] if part == "optimizer" else state[part]
    name = "exp_avg" if part == "optimizer" else next(iter(tensors))
    tensors[name] = torch.ones(1)
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(UsageError, match="of a run with another network"):
        make_weights("ddhpose", corpus, config, tmp_path)


def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_stays(corpus: Path, tmp_path: Path) -> None:
    config = TrainConfig(**{**SETTINGS, "steps": 4})
    full = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing past the limit fails as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from pathlib import Path
from posecli.train import TrainConfig, make_weights
make_weights("ddhpose", Path({str(corpus)!r}), TrainConfig(**{asdict(config)!r}), Path({str(tmp_path)!r}))
"""
    ended = subprocess.run([sys.executable, "-c", full], capture_output=True, text=True)
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith(f"posecli.errors.OutputError: cannot write {tmp_path / 'checkpoint.pt'}")
    assert "Exception in thread" not in ended.stderr and not (tmp_path / "checkpoint.pt").exists()


def test_a_corpus_with_one_side_only_and_a_folder_that_is_a_file(corpus: Path, tmp_path: Path) -> None:
    config = TrainConfig(**{**SETTINGS, "steps": 1})
    write_corpus(tmp_path / "one.h5", [clip(16)])
    with pytest.raises(InputError, match="no clips"):
        make_weights("ddhpose", tmp_path / "one.h5", config, tmp_path / "run")
    with pytest.raises(OutputError, match="cannot make the folder"):
        make_weights("ddhpose", corpus, config, tmp_path / "one.h5")
    with pytest.raises(UsageError, match="unknown method 'nothing'; one of: ddhpose"):
        make_weights("nothing", corpus, config, tmp_path / "run")
    with pytest.raises(UsageError, match=r"settings of ddhpose.*no_such"):
        make_weights("ddhpose", corpus, TrainConfig(model={"no_such": 1}), tmp_path / "run")


def test_a_loss_that_is_no_number_stops_the_run(corpus: Path, tmp_path: Path) -> None:
    config = TrainConfig(**{**SETTINGS, "learning_rate": 1e30, "precision": "32-true", "warmup": 0})
    with pytest.raises(PosecliError, match="lower learning_rate"):
        make_weights("ddhpose", corpus, config, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepps = 3", "unknown setting 'stepps'"),
        ("steps = 0", "at least 1"),
        ("weight_decay = nan", "must not be negative"),
        ("learning_rate = 1e300", "at most 1e[+]30"),
        ("validation_windows = 10_000_000_000", "must be at most 100000"),
        ("[simulator]\nsize_exponent = 1.5", r"size_exponent must lie in \[0, 1\]"),
        ('steps = "many"', "steps must be a whole number, not 'many'"),
        ("steps = 1.5", "steps must be a whole number"),
        ("steps = true", "steps must be a whole number"),
        ('precision = "16"', "precision must be one of bf16-mixed, 32-true, not '16'"),
        ('schedule = "linear"', "schedule must be one of cosine, constant"),
        ("init = 3", "init must be a text"),
        ("pairs_share = 1.5", "pairs_share must lie in"),
        ("batch = 16\npairs_share = 0.01", "at least one of the 16 windows"),
        ("model = 3", "model must be a table"),
        ("learning_rate = 0", "must be positive"),
        ("learning_rate = nan", "must be positive"),
        ("ema = 1", "ema must lie"),
        ("final_share = 1.1", "final_share"),
        ("seed = -1", "seed"),
        ("warmup = -1", "must not be negative"),
        ("[simulator]\nsped = [1, 2]", "unknown simulator setting 'sped'"),
        ("[simulator]\nspeed = [2, 1]", "speed must be a lower and an upper limit"),
        ("[simulator]\nstill = 'yes'", "still must be a number"),
        ("steps = ", "is not TOML"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(PosecliError, match=message) as caught:
        TrainConfig.from_toml(path)
    assert "\n" not in str(caught.value)


def test_settings_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("steps = 7\nlearning_rate = 1\n[simulator]\nspeed = [1, 2]\n[model]\nwidth = 16\n")
    config = TrainConfig.from_toml(path)
    assert (config.steps, config.learning_rate, config.model) == (7, 1, {"width": 16})
    with pytest.raises(InputError, match="cannot read"):
        TrainConfig.from_toml(tmp_path / "absent.toml")


def test_the_learning_rate_rises_then_falls() -> None:
    config = TrainConfig(steps=1000, warmup=100)
    rates = [learning_rate_factor(step, config) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01) and rates[99] == rates[100] == 1.0
    assert rates[550] == pytest.approx(0.505) and rates[1000] == pytest.approx(0.01)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    steady = TrainConfig(steps=1000, warmup=100, schedule="constant")
    assert [learning_rate_factor(step, steady) for step in (0, 99, 100, 999)] == [0.01, 1, 1, 1]
