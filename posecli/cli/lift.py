"""`posecli lift`: the main job."""

from __future__ import annotations

import typer

from posecli import defaults
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import summarise

EPILOG = f"""[bold]Examples[/bold]

  posecli lift video.mp4

  posecli lift video.mp4 --start 2 --end 8 --out results --export bvh

  posecli lift video.mp4 --hypotheses 5 --steps 5 --height 1.75 --out sampled

  posecli lift posecli_out/video.detections.h5 --seed 7 --overwrite

The last detects nothing: it lifts what an earlier run detected.

{ANYWHERE}"""


def lift(
    context: typer.Context,
    video: o.Source,
    method: o.Method = defaults.METHOD,
    out: o.Out = defaults.OUT,
    export: o.Export = defaults.EXPORT,
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    hypotheses: o.Hypotheses = 1,
    steps: o.Steps = None,
    keep_hypotheses: o.KeepHypotheses = False,
    fov: o.Fov = None,
    height: o.Height = None,
    max_gap: o.MaxGap = 0.5,
    smooth: o.Smooth = "5",
    fixed_bones: o.FixedBones = True,
    detector: o.Detector = defaults.DETECTOR,
    weights: o.Weights = None,
    device: o.Device = "auto",
    seed: o.Seed = 0,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Lift a video to 3D motion: <stem>.npz, .bvh, .mp4 and .detections.h5 in the folder given by --out.

    The motion is relative to the pelvis, in metres, in the camera's frame (x right, y down, z forward), \
with an estimated path of the pelvis through space. Frames with nobody are marked, not invented.
    """
    from posecli import pipeline
    from posecli.camera import DEFAULT_FOV_DEG
    from posecli.lifting import LiftConfig

    say: Output = context.obj
    config = LiftConfig(
        hypotheses=hypotheses, steps=steps, seed=seed, max_gap_s=max_gap, height_m=height,
        keep_hypotheses=keep_hypotheses, smooth_hz=o.smoothing(smooth),
        fixed_bones=fixed_bones, fov_deg=DEFAULT_FOV_DEG if fov is None else fov,
    )  # fmt: skip
    outcome = pipeline.lift_to_files(
        video, out=out, exports=[kind.strip() for kind in export.split(",") if kind.strip()],
        overwrite=overwrite, method=method, weights=weights, detector=detector, start=start, end=end, fps=fps,
        config=config, device=device, offline=offline, reporter=say,
    )  # fmt: skip
    summarise(say, outcome)
