"""`posecli refine`: better what any lifter said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posecli.cli import options as o
from posecli.cli.console import ANYWHERE, Output
from posecli.cli.summary import written
from posecli.errors import UsageError

EPILOG = f"""[bold]Examples[/bold]

  posecli refine posecli_out/video.npz --method savgol

  posecli refine posecli_out/video.npz --weights d3prefiner.safetensors --out better.npz

  posecli refine X3D.npy --keypoints 2d.npz --image-size 1920x1080 --fps 30 --method one-euro

  posecli export better.npz --to bvh,mp4

{ANYWHERE}"""


def refine(
    context: typer.Context,
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="posecli's NPZ, another lifter's .npy or .npz of shape (T, 17, 3), or MMPose's JSON.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method", "-m", metavar="NAME", help="d3prefiner, or a filter: savgol, one-euro, lowpass."
        ),
    ] = "d3prefiner",
    weights: o.Weights = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.npz",
            help="Result; <stem>.refined.npz beside the input if not given.",
        ),
    ] = None,
    keypoints: Annotated[
        Path | None,
        typer.Option(
            "--keypoints", metavar="FILE", help="2D joints that a foreign file was lifted from, in pixels."
        ),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option("--image-size", metavar="WxH", help="Picture of a foreign file, such as 1920x1080."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option("--fps", metavar="RATE", help="Frames a second of a foreign file.")
    ] = None,
    height: o.Height = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="NAME", help="Lifter that made a foreign file, where known."),
    ] = None,
    device: o.Device = "auto",
    overwrite: o.Overwrite = False,
) -> None:
    """Refine 3D motion that exists already, with the unrefined joints kept beside it in the NPZ.

    Weights of d3prefiner go by the lifter that made the file; the filters need none. Foreign files hold \
Human3.6M's 17 joints in the camera's axes. Frames without a pose stay without one.
    """
    from posecli.refine.files import refine_file
    from posecli.refine.foreign import Beside

    say: Output = context.obj
    made = refine_file(
        predictions, out=out, method=method, weights=weights, device=device, overwrite=overwrite, reporter=say,
        beside=Beside(keypoints=keypoints, image_size=_size(image_size), rate=fps, height_m=height, base=base),
    )  # fmt: skip
    motion = made.motion
    say.fact("frames", f"{len(motion)}, {int(motion.valid.sum())} with a pose")
    say.fact(
        "method",
        ", then ".join(str(r.get("method")) for r in motion.settings["refinements"] if isinstance(r, dict)),
    )
    say.fact("moved", f"joints by {made.moved_mm:.1f} mm (median)")
    say.fact("refiner", made.refiner)
    written(say, [made.file])


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"--image-size takes WIDTHxHEIGHT, such as 1920x1080, not {text!r}")
    return int(width), int(height)
