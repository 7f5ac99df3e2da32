"""Measure shipped weights on test data and write the tables into their cards.

    python scripts/measure_cards.py --videos ../shared/data/videos --keep detections --out measured

A lifter's card gets what `posecli bench open` says of it, and `posecli bench open --video`; a refiner's what `posecli
bench refine` says, with and without `--video`, for the lifter that it was fitted to, or for all. Everything else in a
card stays. Results are kept in OUT as JSON, by the hash of the weights; a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from posecli.bench import report, report_refined
from posecli.bench.clips import run_video
from posecli.bench.open import run_open
from posecli.bench.refined import run_refine
from posecli.bench.report import Table
from posecli.files import atomic_write
from posecli.methods import METHODS
from posecli.weights import store
from posecli.weights.format import read_header

OPEN = "By `posecli bench open`: held-out people, simulated detections, through the whole of lifting."
CLIPS = "By `posecli bench open --video`: the whole pipeline; errors over 12 limb joints."
TEST = """By `posecli bench refine`: the clips of `posecli bench open`, people that neither lifter nor refiner ever saw.
In brackets the change against what `posecli lift` answers."""
REFINED_CLIPS = (
    "By `posecli bench refine --video`: the whole pipeline; errors over 12 limb joints about the hips."
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="of shipped weights; all by default")
    parser.add_argument("--videos", type=Path, required=True, help="clips with a ref.npz beside them")
    parser.add_argument("--keep", type=Path, help="detections of earlier runs")
    parser.add_argument("--out", type=Path, default=Path("measured"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.videos, options.keep, options.out)
    for weights in store.shipped():
        if options.names and weights.name not in options.names:
            continue
        print(weights.name, flush=True)
        sections = bench.lifter(weights) if weights.method in METHODS else bench.refiner(weights)
        card = weights.card.read_text(encoding="utf-8")
        for heading, (words, table) in sections.items():
            card = with_section(card, heading, f"{words}\n\n{table.markdown()}")
        write(weights.card, card)
    return 0


class Bench:
    def __init__(self, videos: Path, keep: Path | None, out: Path) -> None:
        self.videos, self.keep, self.out = videos, keep, out

    def lifter(self, weights: store.ShippedWeights) -> dict[str, tuple[str, Table]]:
        def on_clips() -> tuple[dict[str, Any], Table]:
            clips = run_video(self.videos, weights=weights.path, keep=self.keep)
            return clips.to_dict(), report.video_table(clips)

        def on_benchmark() -> tuple[dict[str, Any], Table]:
            result = run_open(weights=weights.path)
            return result.to_dict(), report.open_table(result)

        return {
            "Two clips with motion capture": (CLIPS, self.kept("clips", [weights], on_clips)),
            "Open benchmark": (OPEN, self.kept("open", [weights], on_benchmark)),
        }

    def refiner(self, weights: store.ShippedWeights) -> dict[str, tuple[str, Table]]:
        """Of its own lifter's shipped weights; for any, of every lifter's."""
        bases = read_header(weights.path)["metadata"]["bases"]
        lifters = [w for w in store.shipped() if w.method in bases]
        if len(bases) == 1:
            lifters = [w for w in lifters if store.sha256(w.path) in bases.values()]
        return {
            "Two clips with motion capture": (REFINED_CLIPS, self.refined(weights, lifters, self.videos)),
            "Test subjects": (TEST, self.refined(weights, lifters, None)),
        }

    def refined(
        self, weights: store.ShippedWeights, lifters: Sequence[store.ShippedWeights], video: Path | None
    ) -> Table:
        """The rows of `weights` and of what needs none. A lifter is measured once, with all its refiners."""
        tables = []
        for lifter in lifters:
            networks = [w for w in store.shipped() if w.method == "d3prefiner" and fits(w, lifter)]

            def measure(
                lifter: store.ShippedWeights = lifter, networks: list[store.ShippedWeights] = networks
            ) -> tuple[dict[str, Any], Table]:
                names = [str(w.path) for w in networks]
                keep = self.keep if video is not None else None
                result = run_refine([str(lifter.path)], names, video=video, keep=keep)
                return result.to_dict(), report_refined.table(result)

            kind = "refine" if video is None else "refine-clips"
            tables.append(self.kept(kind, [lifter, *networks], measure))
        rows = [row for t in tables for row in t.rows if row[2] == "–" or row[1] == weights.name]
        return Table(tables[0].headings, tuple(rows))

    def kept(
        self,
        kind: str,
        weights: Sequence[store.ShippedWeights],
        measure: Callable[[], tuple[dict[str, Any], Table]],
    ) -> Table:
        """What `measure` found for these weights, from OUT if it was measured before."""
        path = self.out / f"{kind}-{weights[0].name}.json"
        hashes = {w.name: store.sha256(w.path) for w in weights}
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["weights"] == hashes:
                return Table(tuple(found["headings"]), tuple(map(tuple, found["rows"])))
        content, table = measure()
        said = {"weights": hashes, "headings": table.headings, "rows": table.rows, "result": content}
        write(path, json.dumps(said, indent=1, ensure_ascii=False) + "\n")
        return table


def fits(network: store.ShippedWeights, lifter: store.ShippedWeights) -> bool:
    """Whether the refiner was fitted to these weights of the lifter, or to any."""
    about = read_header(network.path)["metadata"]
    return about["base"] == "any" or about["bases"].get(lifter.method) == store.sha256(lifter.path)


def with_section(card: str, heading: str, body: str) -> str:
    """The card with this section's text in the place of what it held, or at its end."""
    section = f"## {heading}\n\n{body}\n"
    found = re.search(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", card, re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{card.rstrip()}\n\n{section}"
    rest = card[found.end() :]
    return card[: found.start()] + section + (f"\n{rest}" if rest else "")


def write(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
