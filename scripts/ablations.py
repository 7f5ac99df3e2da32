"""What each ingredient buys: small networks that differ in one thing, trained and measured alike, as one table.

    python scripts/ablations.py --data corpus.h5 --pairs pairs.h5 --out ablations --only noise cameras

Rows are in `ablations.toml`. Each is a `posecli train` and then two measurements through the whole of lifting: the
open benchmark, and what BlazePose said of rendered validation subjects (`--pairs`). Equal settings are trained once,
whatever groups they are in. Stopped at any moment, the same line goes on where it was; several may run at a time in
one folder. The table, `ablations.md` in it, is written after every row; a row that was not measured is not in it. A
folder is for one corpus, one paired set and one version of posecli: use another for others.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from posecli.errors import PosecliError

HERE = Path(__file__).resolve().parent
OURS = ("name", "method", "tiers", "weights", "bench", "paper")  # what a row has that is no training setting
SAME = 2.0  # times the spread of a difference between seeds; what is less is called nothing

Settings = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of the table. settings: of the training, complete; None: `weights` are measured as they are.
    before: whose weights the training begins with."""

    group: str
    name: str
    method: str
    settings: Settings | None
    tiers: tuple[str, ...] = ()
    weights: str = ""
    bench: tuple[tuple[str, Any], ...] = ()
    paper: tuple[float, ...] = ()
    before: Row | None = None

    def run(self) -> str:
        """Name of the training's folder: equal trainings have equal names."""
        before = self.before.run() if self.before else ""
        said = json.dumps([self.method, self.settings, self.tiers, before], sort_keys=True)
        return f"{self.method}-{hashlib.sha256(said.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Group:
    name: str
    issue: int
    question: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Bench:
    """Where everything is."""

    data: Path
    pairs: Path
    out: Path


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
    parser.add_argument("--steps", type=int, help="of every training, instead of what the rows say")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table anew")
    options = parser.parse_args()
    groups = read_rows(options.rows, options.steps)
    chosen = options.only or list(groups)
    if unknown := set(chosen) - set(groups):
        parser.error(f"no group {min(unknown)!r}; there are: {', '.join(groups)}")
    bench = Bench(options.data.resolve(), options.pairs.resolve(), options.out.resolve())
    bench.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for row in [] if options.table else [row for name in chosen for row in groups[name].rows]:
        try:
            print(f"{row.group}: {row.name}", flush=True)
            measured(row, bench)
        except (RuntimeError, PosecliError) as error:  # goes on: the other rows do not need this one
            failed += 1
            print(f"  {error}", file=sys.stderr, flush=True)
        write_table(groups, bench)
    write_table(groups, bench)
    return 1 if failed else 0


def read_rows(path: Path, steps: int | None = None) -> dict[str, Group]:
    """The groups of a file like `ablations.toml`; ValueError for a row of a method without base."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    bases, groups = content["base"], {}

    def row(group: str, method: str, said: Settings) -> Row:
        if method not in bases:
            raise ValueError(f"{path}: there is no [base.{method}]")
        base = bases[method]
        bench = tuple(sorted({**base.get("bench", {}), **said.get("bench", {})}.items()))
        paper = tuple(said.get("paper", ()))
        if "weights" in said:
            return Row(group, said["name"], method, None, weights=said["weights"], bench=bench, paper=paper)
        asked, before = settings(base, said, steps), None
        if str(asked.get("init", "")).startswith("of "):
            before = row("", asked["init"].removeprefix("of "), {"name": "before"})
        tiers = tuple(said.get("tiers", ()))
        return Row(group, said["name"], method, asked, tiers, "", bench, paper, before)

    for about in content["group"]:
        rows = (row(about["name"], said.get("method", about["method"]), said) for said in about["rows"])
        groups[about["name"]] = Group(about["name"], about["issue"], about["question"], tuple(rows))
    return groups


def settings(base: Settings, said: Settings, steps: int | None) -> Settings:
    """The training's settings: the base's, and over them what the row says."""
    merged: Settings = {}
    for name, value in [*base.items(), *said.items()]:
        if name not in OURS:
            merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    if steps is not None:  # the shape of the run stays: warm-up and validation keep their share of it
        scale = steps / merged["steps"]
        merged |= {name: max(1, round(scale * merged[name])) for name in ("warmup", "validate_every")}
        merged["steps"] = steps
    return merged


# Running --------------------------------------------------------------------------------------------------------


def measured(row: Row, bench: Bench) -> None:
    """Train what the row asks for and measure it, unless that was done. Raises RuntimeError in words."""
    if result_file(row, bench).exists():
        return
    weights = row.weights or str(trained(row, bench))
    result_file(row, bench).parent.mkdir(parents=True, exist_ok=True)
    result = measure(row.method, weights, dict(row.bench), bench.pairs)
    write(result_file(row, bench), json.dumps(result, indent=1))


def trained(row: Row, bench: Bench) -> Path:
    """The weights of a row, made if they are not there."""
    assert row.settings is not None
    folder = bench.out / "runs" / row.run()
    weights, record = folder / f"{row.method}-cmu.safetensors", folder / "made.json"
    if record.exists():
        return weights
    asked = dict(row.settings)
    if row.before is not None:
        asked["init"] = str(trained(row.before, bench))
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


# Table ----------------------------------------------------------------------------------------------------------


def result_file(row: Row, bench: Bench) -> Path:
    """Where the figures of a row are kept; given weights are told by their content. InputError where there are none."""
    from posecli.weights import store

    network = store.sha256(store.find(row.method, row.weights)) if row.weights else row.run()
    said = json.dumps([network, row.bench], sort_keys=True)
    return bench.out / "measured" / f"{row.method}-{hashlib.sha256(said.encode()).hexdigest()[:10]}.json"


FIGURES = tuple((where, key) for where in ("open", "paired") for key in ("mpjpe_mm", "p_mpjpe_mm"))
HEADS = (
    "",
    "open",
    "difference",
    "paired",
    "difference",
    "parameters",
    "steps",
    "H, W",
    "CPU (s)",
    "weights",
)
ABOUT = """# Ablations

By `python scripts/ablations.py`, rows in `scripts/ablations.toml`: small networks, barely trained, one run each,
through the whole of lifting. Errors in mm, MPJPE / P-MPJPE, on `posecli bench open` (test subjects) and on what
BlazePose said of rendered validation subjects; after them the difference to the first row of the group. CPU: seconds of
processor time that the training took."""


def write_table(groups: dict[str, Group], bench: Bench) -> None:
    """Everything that was measured so far, as Markdown."""
    spread, parts = noise_of(groups, bench), [ABOUT]
    if spread is not None:
        a, b, c, d = spread
        parts.append(
            f"Runs of {groups['seed'].rows[0].method} that differ in nothing but the seed: standard deviation "
            f"{a:.2f} / {b:.2f} mm open, {c:.2f} / {d:.2f} paired; of few runs, so itself uncertain. A difference "
            f"between two trainings below {SAME:g}·√2 of that is marked ≈: one run of each cannot tell it from nothing."
        )
    for group in groups.values():
        if lines := group_lines(group, bench, spread):
            table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
            parts.append(f"## {group.name} (issue {group.issue})\n\n{group.question}.\n\n{table}")
    write(bench.out / "ablations.md", "\n\n".join(parts) + "\n")


def group_lines(group: Group, bench: Bench, spread: tuple[float, ...] | None) -> list[list[str]]:
    """Headings, rule and a line per measured row of the group; none where nothing was measured."""
    found = [(row, read(result_file(row, bench))) for row in group.rows]
    shown = [(row, result) for row, result in found if result is not None]
    (zero, first), paper = found[0], any(row.paper for row, _ in shown)
    heads = [*HEADS, "paper, H36M", "as the paper?"] if paper else [*HEADS]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)] if shown else []
    for row, result in shown:
        # Two measurements of the same weights differ by what was asked for and by nothing else.
        same = (row.run(), row.weights) == (zero.run(), zero.weights)
        least = [0.0] * 4 if same else [SAME * math.sqrt(2) * s for s in spread or (math.inf,) * 4]
        apart = [] if row == zero or first is None else [result[w][k] - first[w][k] for w, k in FIGURES]
        said = [
            f"{mm:+.1f}{' ≈' if abs(mm) < limit else ''}" for mm, limit in zip(apart, least, strict=False)
        ]
        made = read(bench.out / "runs" / row.run() / "made.json") if row.settings else None
        line = [
            row.name,
            *(text for at, where in ((0, "open"), (2, "paired")) for text in (
                f"{result[where]['mpjpe_mm']:.1f} / {result[where]['p_mpjpe_mm']:.1f}", " / ".join(said[at : at + 2]))),
            f"{result['parameters']:,}", str(row.settings["steps"]) if row.settings else "",
            f"{result['hypotheses']}, {result['steps']}", f"{made['cpu_s']:.0f}" if made and made["cpu_s"] else "",
            f"`{result['sha256'][:12]}`",
        ]  # fmt: skip
        if paper:
            line.append(" / ".join(f"{v:g}" for v in row.paper))
            line.append(verdict(apart[0], least[0], row, zero) if apart and row.paper and zero.paper else "")
        lines.append(line)
    return lines


def noise_of(groups: dict[str, Group], bench: Bench) -> tuple[float, ...] | None:
    """Standard deviations of `FIGURES` over seeds; None where fewer than two were run."""
    found = [read(result_file(row, bench)) for row in groups["seed"].rows] if "seed" in groups else []
    runs = [result for result in found if result is not None]
    return tuple(statistics.stdev(r[w][k] for r in runs) for w, k in FIGURES) if len(runs) > 1 else None


def verdict(mm: float, least: float, row: Row, zero: Row) -> str:
    """Whether MPJPE on the open benchmark moves as the paper says."""
    if abs(mm) < least:
        return "not seen"
    return "yes" if (mm > 0) == (row.paper[0] > zero.paper[0]) else "NO, the other way"


# Files ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write(path: Path, text: str) -> None:
    from posecli.files import atomic_write

    with atomic_write(path) as partial_file:
        partial_file.write_text(text, encoding="utf-8")


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
