"""What each ingredient buys: small networks that differ in one thing, trained and measured alike, as one table.

    python scripts/ablations.py --data corpus.h5 --pairs pairs.h5 --out ablations --only noise cameras

Rows are in `ablations.toml`. Each is a `posecli train` and then two measurements through the whole of lifting: the
open benchmark, and what BlazePose said of rendered validation subjects (`--pairs`). Equal settings are trained once,
whatever groups they are in. `--seeds 1 2` trains all of it again from other random numbers: the table has the means of
what there is, and tells by how much runs of one row differ. Stopped at any moment, the same line goes on where it was;
several may run at a time in one folder. The table, `ablations.md` in it, is written after every row; a row that was not
measured is not in it. A folder is for one corpus, one paired set and one version of posecli: use another for others.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ablation_rows import SEEDS, Bench, Row, Settings, read_rows, result_file, write
from ablation_table import write_table

from posecli.errors import PosecliError

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="corpus of `posecli data build`")
    parser.add_argument("--pairs", type=Path, required=True, help="paired set of `posecli data pairs`")
    parser.add_argument("--out", type=Path, default=Path("ablations"))
    parser.add_argument("--rows", type=Path, default=HERE / "ablations.toml")
    parser.add_argument(
        "--only", nargs="+", metavar="GROUP", help="groups to run, in this order; all by default"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0], help="of the trainings, one after the other"
    )
    parser.add_argument("--steps", type=int, help="of every training, instead of what the rows say")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table anew")
    options = parser.parse_args()
    groups = read_rows(options.rows, options.steps)
    chosen = options.only or list(groups)
    if unknown := set(chosen) - set(groups):
        parser.error(f"no group {min(unknown)!r}; there are: {', '.join(groups)}")
    bench = Bench(options.data.resolve(), options.pairs.resolve(), options.out.resolve())
    bench.out.mkdir(parents=True, exist_ok=True)
    if not set(options.seeds) <= set(SEEDS):
        parser.error(f"seeds lie between 0 and {SEEDS[-1]}")
    failed = 0
    rows = [(row, seed) for seed in options.seeds for name in chosen for row in groups[name].rows]
    for row, seed in [] if options.table else rows:
        try:
            print(f"{row.group}: {row.name}, seed {seed}", flush=True)
            measured(row, bench, seed)
        except (RuntimeError, PosecliError) as error:  # goes on: the other rows do not need this one
            failed += 1
            print(f"  {error}", file=sys.stderr, flush=True)
        write_table(groups, bench)
    write_table(groups, bench)
    return 1 if failed else 0


def measured(row: Row, bench: Bench, seed: int = 0) -> None:
    """Train what the row asks for and measure it, unless that was done. Raises RuntimeError in words."""
    target = result_file(row, bench, seed)
    if target.exists() or (row.weights and seed):
        return
    weights = row.weights or str(trained(row, bench, seed))
    target.parent.mkdir(parents=True, exist_ok=True)
    result = measure(row.method, weights, dict(row.bench), bench.pairs)
    write(target, json.dumps(result, indent=1))


def trained(row: Row, bench: Bench, seed: int = 0) -> Path:
    """The weights of a row, made if they are not there."""
    folder = bench.out / "runs" / row.run(seed)
    weights, record = folder / f"{row.method}-cmu.safetensors", folder / "made.json"
    if record.exists() and weights.exists():  # results alone may have come from another machine
        return weights
    asked = row.asked(seed)
    if row.before is not None:
        asked["init"] = str(trained(row.before, bench))
    elif asked.get("init", "").endswith(".safetensors"):
        asked["init"] = str(HERE / asked["init"])
    with only_one(folder) as lock:
        fresh = not (folder / "checkpoint.pt").exists()
        write(folder / "config.toml", toml(asked))
        corpus = bench.data if not row.tiers else of_tiers(bench, row.tiers)
        command = [
            "train",
            row.method,
            "--data",
            corpus,
            "--pairs",
            bench.pairs,
            "--config",
            folder / "config.toml",
        ]
        seconds = posecli([*map(str, command), "--device", "cpu", "--out", str(folder)], lock)
        # The time of a run that was stopped in between is not known, and is not guessed.
        write(
            record, json.dumps({"cpu_s": round(seconds, 1) if fresh else None, "settings": asked}, indent=1)
        )
    return weights


def posecli(arguments: list[str], lock: int) -> float:
    """Run a command; returns the seconds of processor time it took. Raises RuntimeError with its last word.

    lock: an open file that the command holds as well, so that it is free only when the command has ended too.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "posecli", "--quiet", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=(lock,),
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"posecli {arguments[0]} {arguments[1]}: {' '.join(said.split())[-300:]}")
    return used.ru_utime + used.ru_stime


def measure(method: str, weights: str, bench: Settings, pairs: Path) -> dict[str, Any]:
    """Accuracy of weights on the open benchmark and on the paired set's validation subjects, lifted whole."""
    import torch

    from posecli.bench.open import evaluate, open_samples, pair_samples
    from posecli.bench.open_data import load_benchmark
    from posecli.lifting import LiftConfig
    from posecli.loaded import Lifting

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    changed = dict(bench)
    flip = changed.pop("flip", True)
    if changed.get("smooth_hz") == 0:
        changed["smooth_hz"] = None
    lifting = Lifting(method, weights, "cpu", LiftConfig(**changed))
    if not flip:
        lifting.model.sample = partial(lifting.model.sample, flip=False)
    figures: dict[str, Any] = {}
    for name, samples in (("open", open_samples(load_benchmark())), ("paired", pair_samples(pairs, "val"))):
        scores = evaluate(samples, lifting).overall
        figures[name] = {k: scores.to_dict()[k] for k in ("mpjpe_mm", "p_mpjpe_mm", "jitter")}
    return {
        **figures,
        "parameters": sum(p.numel() for p in lifting.model.parameters()),
        "sha256": lifting.record["weights_hash"],
        "hypotheses": lifting.config.hypotheses,
        "steps": lifting.config.steps,
    }


def of_tiers(bench: Bench, tiers: tuple[str, ...]) -> Path:
    """The corpus with only these tiers to train on; who validates and tests stays."""
    from posecli.corpus.store import load_corpus, write_corpus

    path = bench.out / f"corpus-{'-'.join(sorted(tiers))}.h5"
    if not path.exists():
        clips = load_corpus(bench.data)
        write_corpus(path, [clip for clip in clips if clip.split != "train" or clip.tier in tiers])
    return path


@contextmanager
def only_one(folder: Path) -> Iterator[int]:
    """Two processes never train into one folder; gives the lock's file. Raises RuntimeError where another one does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"{folder.name} is being trained by another process; run this line again"
            ) from None
        yield lock.fileno()


def toml(values: Settings, heading: str = "") -> str:
    """Settings as TOML: what JSON and TOML write alike, tables below the rest."""
    flat = [f"{name} = {json.dumps(value)}" for name, value in values.items() if not isinstance(value, dict)]
    tables = [
        f"\n[{heading}{name}]\n" + toml(value, f"{heading}{name}.")
        for name, value in values.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*flat, *tables]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
