"""`posecli lift`: the main job."""

from __future__ import annotations

from pathlib import Path

import typer

from posecli import defaults
from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import failure, summarise, summarise_many
from posecli.errors import UsageError

EPILOG = f"""[bold]Examples[/bold]

  posecli lift video.mp4

  posecli lift video.mp4 --start 2 --end 8 --out results --export bvh

  posecli lift video.mp4 --hypotheses 5 --steps 5 --height 1.75 --out sampled

  posecli lift posecli_out/video.detections.h5 --seed 7 --overwrite

The last detects nothing: it lifts what an earlier run detected.

  posecli lift video.mp4 --refine savgol --out refined

  posecli lift two_people.mp4 --person all

A set of results for everybody: two_people_p0.npz and so on. Otherwise whoever is largest over the clip is lifted.

  posecli lift *.mp4 --out results

Several inputs: the next follows where one fails, and what was finished before is skipped unless settings changed.

  posecli lift video.mp4 --detector onnx --det-model rtmpose.onnx

  posecli lift video.mp4 --detector mmpose --det-config hrnet.py --det-checkpoint hrnet.pth

  posecli lift video.mp4 --keypoints openpose_json/

  posecli lift --keypoints alphapose-results.json --fps 30 --size 1920x1080

What another tool detected: OpenPose, AlphaPose, COCO, MMPose, ViTPose, VideoPose3D, Halpe, CSV, TRC.

{ANYWHERE}"""


def lift(
    context: typer.Context,
    videos: o.Sources = None,
    keypoints: o.Keypoints = None,
    format: o.Format = "auto",
    size: o.Size = None,
    method: o.Method = None,
    out: o.Out = defaults.OUT,
    export: o.Export = defaults.EXPORT,
    start: o.Start = None,
    end: o.End = None,
    fps: o.Fps = None,
    hypotheses: o.Hypotheses = None,
    steps: o.Steps = None,
    aggregate: o.Aggregate = "mean",
    keep_hypotheses: o.KeepHypotheses = False,
    fov: o.Fov = None,
    height: o.Height = None,
    max_gap: o.MaxGap = 0.5,
    smooth: o.Smooth = "8",
    fixed_bones: o.FixedBones = True,
    refine: o.Refine = None,
    person: o.Person = defaults.PERSON,
    fix_swaps: o.FixSwaps = True,
    detector: o.Detector = defaults.DETECTOR,
    det_config: o.DetConfig = None,
    det_checkpoint: o.DetCheckpoint = None,
    det_model: o.DetModel = None,
    det_preprocessing: o.DetPreprocessing = None,
    det_people: o.DetPeople = None,
    weights: o.Weights = None,
    device: o.Device = "auto",
    seed: o.Seed = 0,
    offline: o.Offline = False,
    overwrite: o.Overwrite = False,
) -> None:
    """Lift a video to 3D motion: <stem>.npz, .bvh, .mp4 and .detections.h5 in the folder given by --out.

    Of several people one is lifted, see --person. \
The motion is relative to the pelvis, in metres, in the camera's frame (x right, y down, z forward), \
with an estimated path of the pelvis through space. Frames with nobody are marked, not invented.
    """
    from posecli import batch, pipeline
    from posecli.camera import DEFAULT_FOV_DEG
    from posecli.detect.backends import DetectorOptions
    from posecli.detect.swaps import SwapSettings
    from posecli.lifting import LiftConfig
    from posecli.seeing import SeeConfig

    say: Output = context.obj
    config = LiftConfig(
        hypotheses=hypotheses, steps=steps, seed=seed, max_gap_s=max_gap, height_m=height,
        keep_hypotheses=keep_hypotheses, aggregate=aggregate, smooth_hz=o.smoothing(smooth),
        fixed_bones=fixed_bones, fov_deg=DEFAULT_FOV_DEG if fov is None else fov,
    )  # fmt: skip
    options = DetectorOptions(det_config, det_checkpoint, det_model, det_preprocessing, det_people)
    swaps = SwapSettings(repair=fix_swaps)
    kinds = [kind.strip() for kind in export.split(",") if kind.strip()]
    inputs = list(dict.fromkeys(one for path in videos or [] for one in batch.expanded(path)))
    if not inputs and keypoints is None:
        raise UsageError("Missing argument 'VIDEO'; see: posecli lift --help")
    if keypoints is None and (format != "auto" or size is not None):
        raise UsageError("--format and --size are for --keypoints")
    if len(inputs) < 2:
        outcome = pipeline.lift_to_files(
            inputs[0] if inputs else None, keypoints=keypoints, keypoints_format=format, size=o.pixels(size),
            out=out, exports=kinds, overwrite=overwrite, method=method, weights=weights, detector=detector,
            detector_options=options, person=person, swaps=swaps, start=start, end=end, fps=fps, config=config,
            refine=refine, device=device, offline=offline, reporter=say,
        )  # fmt: skip
        summarise(say, outcome)
        return
    if keypoints is not None:
        raise UsageError("--keypoints belong to one video; lift the others in another call")

    if batch.only_pictures(inputs):
        say.note("each picture is lifted by itself; to lift them as one motion, give their folder")

    def begins(place: int, path: Path) -> None:
        say.note(f"[{place + 1}/{len(inputs)}] {path}")

    def ended(result: batch.Result) -> None:
        if result.error is not None:
            if context.find_root().params.get("debug"):
                raise result.error
            say.error(failure(result))

    results = batch.lift_many(
        inputs, out=out, exports=kinds, method=method, weights=weights, start=start, end=end, fps=fps, config=config,
        seeing=SeeConfig(detector, options, person, swaps, offline=offline, overwrite=overwrite), device=device,
        refine=refine, reporter=say, begins=begins, ended=ended,
    )  # fmt: skip
    summarise_many(say, results)
