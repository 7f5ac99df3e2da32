"""The rows of `ablations.toml`, and where what was found of each is kept."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posecli.files import atomic_write
from posecli.weights import store

OURS = ("name", "method", "tiers", "weights", "bench", "paper")  # what a row has that is no training setting
SEEDS = range(100)

Settings = dict[str, Any]
Result = dict[str, Any]


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

    def asked(self, seed: int) -> Settings:
        """The training's settings, with its seed. What it begins with is that of seed 0 for all."""
        assert self.settings is not None
        return {**self.settings, "seed": seed} if seed else dict(self.settings)

    def run(self, seed: int = 0) -> str:
        """Name of the training's folder: equal trainings have equal names."""
        before = self.before.run() if self.before else ""
        settings = None if self.settings is None else self.asked(seed)
        said = json.dumps([self.method, settings, self.tiers, before], sort_keys=True)
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
        every = about.get("with", {})
        rows = (
            row(about["name"], said.get("method", about["method"]), merged(every, said))
            for said in about["rows"]
        )
        groups[about["name"]] = Group(about["name"], about["issue"], about["question"], tuple(rows))
    return groups


def settings(base: Settings, said: Settings, steps: int | None) -> Settings:
    """The training's settings: the base's, and over them what the row says."""
    asked = {name: value for name, value in merged(base, said).items() if name not in OURS}
    if steps is not None:  # the shape of the run stays: warm-up and validation keep their share of it
        scale = steps / asked["steps"]
        asked |= {name: max(1, round(scale * asked[name])) for name in ("warmup", "validate_every")}
        asked["steps"] = steps
    return asked


def merged(first: Settings, then: Settings) -> Settings:
    """Both; what `then` says counts, inside of tables too."""
    both = dict(first)
    for name, value in then.items():
        both[name] = {**both.get(name, {}), **value} if isinstance(value, dict) else value
    return both


def result_file(row: Row, bench: Bench, seed: int = 0) -> Path:
    """Where the figures of a row are kept; given weights are told by their content. InputError where there are none."""
    network = store.sha256(store.find(row.method, row.weights)) if row.weights else row.run(seed)
    said = json.dumps([network, row.bench], sort_keys=True)
    return bench.out / "measured" / f"{row.method}-{hashlib.sha256(said.encode()).hexdigest()[:10]}.json"


def results_of(row: Row, bench: Bench) -> dict[int, Result]:
    """By seed, what was measured."""
    found = {seed: read(result_file(row, bench, seed)) for seed in (SEEDS[:1] if row.weights else SEEDS)}
    return {seed: result for seed, result in found.items() if result is not None}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write(path: Path, text: str) -> None:
    with atomic_write(path) as partial_file:
        partial_file.write_text(text, encoding="utf-8")
