"""Options that several commands share, written once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from posecli.errors import UsageError

Source = Annotated[
    Path,
    typer.Argument(
        metavar="VIDEO",
        help="Video, picture, folder of pictures, or a .detections.h5 that posecli wrote.",
        show_default=False,
    ),
]
Sources = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="VIDEO",
        help="Video, picture, folder of pictures, or a .detections.h5 that posecli wrote; or several. No webcams and "
        "no streams.",
        show_default=False,
    ),
]
Keypoints = Annotated[
    Path | None,
    typer.Option(
        "--keypoints",
        "-k",
        metavar="FILE",
        help="2D joints that another tool found, in place of detecting; with the video, or with --fps and --size.",
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="Of --keypoints: auto, openpose, alphapose, coco, mmpose, vitpose, vp3d, halpe, csv or trc.",
    ),
]
Size = Annotated[
    str | None,
    typer.Option("--size", metavar="WxH", help="Pixels of the pictures, of --keypoints without a video."),
]
Video = Annotated[
    Path,
    typer.Argument(metavar="VIDEO", help="Video, picture or folder of pictures.", show_default=False),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")]
Method = Annotated[
    str | None,
    typer.Option(
        "--method",
        "-m",
        metavar="NAME",
        help="Lifter, as posecli methods lists them; that of --weights, or ddhpose, if not given.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", "-w", metavar="FILE", help="Weights file, or the name of shipped ones."),
]
Detector = Annotated[
    str, typer.Option("--detector", metavar="NAME", help="2D detector; posecli detectors lists them.")
]
DetConfig = Annotated[
    Path | None,
    typer.Option(
        "--det-config",
        metavar="FILE",
        help="Of --detector mmpose: the model's config. It is a Python program, and is run: trust where it comes from.",
    ),
]
DetCheckpoint = Annotated[
    Path | None, typer.Option("--det-checkpoint", metavar="FILE", help="Of --detector mmpose: its weights.")
]
DetModel = Annotated[
    Path | None, typer.Option("--det-model", metavar="FILE", help="Of --detector onnx: the network.")
]
DetPreprocessing = Annotated[
    Path | None,
    typer.Option(
        "--det-preprocessing",
        metavar="FILE",
        help="Of --detector onnx: a TOML that says how pictures go in, for a network that does not tell.",
    ),
]
DetPeople = Annotated[
    Path | None,
    typer.Option(
        "--det-people",
        metavar="FILE",
        help="Of --detector mmpose or onnx: an ONNX network that finds the people, YOLOX or RTMDet.",
    ),
]
Person = Annotated[
    str,
    typer.Option(
        "--person",
        "-p",
        metavar="WHO",
        help="Of several people: largest (over the clip), longest, first (seen), all, or a number that posecli inspect "
        "lists.",
    ),
]
FixSwaps = Annotated[
    bool,
    typer.Option(
        "--fix-swaps/--keep-swaps", help="Left taken for right: put right what is sure, or only report it."
    ),
]
Export = Annotated[str, typer.Option("--export", metavar="KINDS", help="What to write, of: npz, bvh, mp4.")]
Start = Annotated[float | None, typer.Option("--start", metavar="SECONDS", help="Begin here.")]
End = Annotated[float | None, typer.Option("--end", metavar="SECONDS", help="Stop before here.")]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        metavar="RATE",
        help="Pictures a second, of a folder of pictures or of --keypoints without a video.",
    ),
]
Hypotheses = Annotated[
    int | None,
    typer.Option(
        "--hypotheses",
        "-H",
        metavar="N",
        min=1,
        help="Poses sampled per frame, then averaged; the method's own if not given.",
    ),
]
Aggregate = Annotated[
    str,
    typer.Option(
        "--aggregate",
        metavar="KIND",
        help="One pose from several hypotheses: mean; reproject (each joint of the hypothesis seen nearest to the 2D "
        "joint, by the assumed camera and the estimated path: an extension of D3DP's J-Agg); none, the first alone.",
    ),
]
KeepHypotheses = Annotated[bool, typer.Option("--keep-hypotheses", help="Put every hypothesis in the NPZ.")]
Steps = Annotated[
    int | None,
    typer.Option("--steps", "-W", metavar="N", min=1, help="Denoising steps; the method's own if not given."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Of all random numbers.")]
Fov = Annotated[
    float | None,
    typer.Option(
        "--fov",
        metavar="DEGREES",
        help="Field of view along the image's longer side; 69.4 (a phone's main camera) if not given.",
    ),
]
Height = Annotated[
    float | None,
    typer.Option("--height", metavar="METRES", help="The person's height, to set the scale."),
]
MaxGap = Annotated[
    float, typer.Option("--max-gap", metavar="SECONDS", help="Bridge absences up to this long.")
]
Smooth = Annotated[
    str,
    typer.Option(
        "--smooth",
        metavar="HZ|off",
        help="Calm trembling: what moves to and fro faster than this many times a second is taken out. "
        "Lower is calmer, higher keeps quick strikes and kicks, off changes nothing.",
    ),
]
FixedBones = Annotated[
    bool,
    typer.Option(
        "--fixed-bones/--free-bones",
        help="Bones keep one length through the clip, left and right alike; or as the lifter gives them.",
    ),
]
Refine = Annotated[
    str | None,
    typer.Option(
        "--refine",
        metavar="NAME",
        help="Refine the motion too: d3prefiner, a file of its weights, or a filter, savgol, one-euro or lowpass. The "
        "joints from before it stay beside in the NPZ.",
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never fetch anything.")]


def smoothing(value: str) -> float | None:
    """What --smooth asks for: Hz, None for "off". Raises UsageError for anything else."""
    if value.strip().lower() == "off":
        return None
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"--smooth takes a number of Hz, such as 8, or off, not {value!r}") from None


def pixels(value: str | None) -> tuple[int, int] | None:
    """What --size says, as width and height. Raises UsageError for anything but "1920x1080"."""
    if value is None:
        return None
    sides = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})", value.strip())
    if sides is None:
        raise UsageError(f"--size takes width and height in pixels, such as 1920x1080, not {value!r}")
    return int(sides[1]), int(sides[2])
