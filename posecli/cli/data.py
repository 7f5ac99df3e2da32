"""`posecli data`: corpora for training, and whether a data set of others is complete."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.cli.console import Output
from posecli.cli.summary import written
from posecli.errors import InputError, UsageError

app = typer.Typer(
    help="Motion capture corpora for training, and checks of other data sets.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Motion capture corpora for training, and checks of other data sets."""


@app.command(epilog="[bold]Example[/bold]\n\n  posecli data build cmu cmu_raw.tar.xz --out corpus.h5")
def build(
    context: typer.Context,
    corpus: Annotated[str, typer.Argument(help="Which corpus: cmu.")],
    raw: Annotated[Path, typer.Argument(help="Folder or .tar.xz of the ASF/AMC and BVH files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The corpus file to write.")] = Path("corpus.h5"),
    overwrite: o.Overwrite = False,
) -> None:
    """Read raw motion capture into one HDF5 file: joints and landmarks, cleaned and split by subject."""
    from posecli.corpus.build import build_corpus
    from posecli.files import claim

    say: Output = context.obj
    if corpus != "cmu":
        raise UsageError(f"unknown corpus {corpus!r}; one of: cmu")
    claim(out, inputs=[raw], overwrite=overwrite)
    with say.stage("build", None, "clips") as advance:
        summary = build_corpus(raw, out, progress=lambda done, total: advance(done))
    for name, why in summary.skipped:
        say.warn(f"left out {why if why.startswith(name) else f'{name}: {why}'}")
    say.say(f"{summary}")
    written(say, [out])


@app.command(epilog="[bold]Example[/bold]\n\n  posecli data pairs corpus.h5 --out pairs.h5")
def pairs(
    context: typer.Context,
    corpus: Annotated[Path, typer.Argument(help="Corpus file of 'posecli data build'.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of pairs to write.")] = Path("pairs.h5"),
    windows: Annotated[int, typer.Option(help="How many windows, in rounds of 14.")] = 448,
    frames: Annotated[int, typer.Option(help="Frames of a window, at 30 a second.")] = 45,
    seed: Annotated[int, typer.Option(help="Of motion, cameras, clothes and light.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="For the detector's networks.")] = 2,
    offline: Annotated[bool, typer.Option("--offline", help="Never fetch the detector.")] = False,
) -> None:
    """Render corpus motion as mannequins and run the real detector on it: what it said beside the truth.

    Saved every 14 windows; an interrupted run goes on when started again.
    """
    from posecli.corpus.pairs import make_pairs
    from posecli.corpus.store import load_corpus
    from posecli.detect.blazepose import BlazePose

    say: Output = context.obj
    clips = load_corpus(corpus)
    detector = BlazePose(threads=threads, offline=offline)
    with say.stage("pairs", windows, "windows") as advance:
        count = make_pairs(
            clips, out, windows=windows, frames=frames, seed=seed, detector=detector,
            progress=lambda done, total: advance(done),
        )  # fmt: skip
    say.say(f"{count} windows of {frames} frames")
    written(say, [out])


@app.command(epilog="[bold]Example[/bold]\n\n  posecli data fit pairs.h5 --out detector_model.json")
def fit(
    context: typer.Context,
    pairs: Annotated[Path, typer.Argument(help="File of 'posecli data pairs'.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The JSON file of fitted numbers to write.")
    ] = Path("detector_model.json"),
    overwrite: o.Overwrite = False,
) -> None:
    """Fit the model of the detector's errors, from which training draws, to the training side of a paired set.

    To train with it: detector_model = "detector_model.json" under \\[simulator] of `posecli train --config`. Report of
    how well it describes the errors: scripts/fit_detector.py of posecli's source.
    """
    import json

    from posecli.corpus.detector_fit import fit_detector_model
    from posecli.corpus.pairs import load_pairs
    from posecli.files import atomic_write, claim

    say: Output = context.obj
    claim(out, inputs=[pairs], overwrite=overwrite)
    train = load_pairs(pairs, "train")
    model = fit_detector_model(
        train, f"{len(train)} windows of {train.xy.shape[1]} frames, {pairs.name}, train side"
    )
    with atomic_write(out) as temporary:
        temporary.write_text(json.dumps(model.to_dict(), indent=0) + "\n", encoding="utf-8")
    say.say(model.source)
    written(say, [out])


@app.command(
    epilog="[bold]Examples[/bold]\n\n  posecli data check h36m FOLDER\n\n  posecli data check 3dhp FOLDER"
)
def check(
    context: typer.Context,
    dataset: Annotated[str, typer.Argument(help="Which data set: h36m, 3dhp or humaneva.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where its files lie.")],
) -> None:
    """Say which files of a licensed data set are there, which are missing and who gives them; exits non-zero where
    posecli bench could not use it or its totals are not those of the papers."""
    from posecli.datasets.check import check as look
    from posecli.datasets.check import complete

    say: Output = context.obj
    findings = look(dataset, folder)
    for finding in findings:
        if finding.ok is None:
            say.fact("--", f"{finding.subject}: {finding.text}")
        else:
            say.check(finding.ok, finding.subject, finding.text)
    if not complete(findings):
        bad = [f.subject for f in findings if f.ok is False]
        raise InputError(f"{folder} is not {dataset} as the papers used it: {', '.join(bad)}")
