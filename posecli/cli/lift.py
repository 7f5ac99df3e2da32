"""`posecli lift`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli import pipeline
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.errors import UsageError
from posecli.lift import LiftConfig

EPILOG = f"""[bold]Examples[/bold]

  posecli lift video.mp4

  posecli lift video.mp4 --start 2 --end 8 --out results --export bvh

  posecli lift video.mp4 --hypotheses 5 --steps 5 --height 1.75

  posecli lift posecli_out/video.detections.h5 --seed 7 --overwrite   (detects nothing)

{ANYWHERE}"""


def lift(
    context: typer.Context,
    video: o.Source,
    method: o.Method = pipeline.DEFAULT_METHOD,
    out: o.Out = pipeline.DEFAULT_OUT,
    export: Annotated[
        str, typer.Option("--export", help="What to write, of: npz, bvh, mp4.")
    ] = "npz,bvh,mp4",
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    hypotheses: o.Hypotheses = 1,
    steps: o.Steps = 1,
    keep_hypotheses: Annotated[
        bool, typer.Option("--keep-hypotheses", help="Put every hypothesis in the NPZ.")
    ] = False,
    fov: o.Fov = o.FOV_DEFAULT,
    height: o.Height = None,
    max_gap: Annotated[
        float, typer.Option("--max-gap", metavar="SECONDS", min=0.0, help="Bridge absences up to this long.")
    ] = 0.5,
    detector: o.Detector = pipeline.DEFAULT_DETECTOR,
    weights: o.Weights = None,
    device: o.Device = "auto",
    seed: o.Seed = 0,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Lift a video to 3D motion: <stem>.npz, .bvh, .mp4 and .detections.h5 in the folder given by --out.

    The motion is relative to the pelvis, in metres, in the camera's frame (x right, y down, z forward), with an
    estimated path of the pelvis through space. Frames with nobody are marked, not invented.
    """
    say: Output = context.obj
    kinds = [kind.strip() for kind in export.split(",") if kind.strip()]
    if not kinds:
        raise UsageError("--export names nothing; one or more of: npz,bvh,mp4")
    outcome = pipeline.lift_to_files(
        video,
        out=out,
        exports=kinds,
        overwrite=overwrite,
        method=method,
        weights=weights,
        detector=detector,
        start=start,
        end=end,
        fps=fps,
        config=LiftConfig(
            hypotheses=hypotheses, steps=steps, seed=seed, max_gap_s=max_gap, fov_deg=fov, height_m=height,
            keep_hypotheses=keep_hypotheses,
        ),
        device=device,
        offline=offline,
        reporter=say,
    )  # fmt: skip
    summarise(say, outcome)


def summarise(say: Output, outcome: pipeline.Outcome) -> None:
    """Frames, people, seconds per stage, files."""
    motion = outcome.motion
    seconds = float(motion.timestamps_s[-1] - motion.timestamps_s[0]) if len(motion) > 1 else 0.0
    took = ", ".join(f"{name} {value:.1f} s" for name, value in outcome.seconds.items())
    say.say(f"frames   {len(motion)} over {seconds:.2f} s, {int(motion.valid.sum())} with a pose")
    say.say("people   1 (the one BlazePose follows)")
    say.say(
        f"method   {motion.settings['method']}, {motion.settings['weights']}, scale from {motion.scale_source}"
    )
    say.say(f"time     {took}")
    for kind, note in outcome.notes.items():
        say.say(f"{kind:<8} {note}")
    for file in outcome.files:
        say.say(f"file     {_short(file)}")
    if say.verbose:
        for key, value in motion.settings.items():
            say.say(f"  {key}: {value}")


def _short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
