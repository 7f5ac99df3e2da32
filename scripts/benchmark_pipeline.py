"""How fast a video becomes motion, beside a plain MediaPipe run of the same file; and how much memory it takes.

    python scripts/benchmark_pipeline.py VIDEO                      # speed, both programs on 2 cores
    python scripts/benchmark_pipeline.py VIDEO --memory             # and peak memory for 1 and 10 minutes
    python scripts/benchmark_pipeline.py VIDEO --memory --minutes 1 4 --repeats 0

Speed: `posecli.lift` (decode, detect, lift with one hypothesis and one step; nothing rendered, no file), and
`mediapipe==0.10.21`'s pose solution (complexity 1, video mode, OpenCV decoding), which detects only. The two
take turns; every run is a fresh process held to the same cores, and warms up on the first frames. Frames per
second count from opening the file to the motion; imports and the warm-up are not in it, loading the networks is.
Memory: peak resident memory of a process that lifts the clip, played in a loop for so many minutes, and keeps
detections and motion (npz) in files. Ends with status 1 below --min-fps or above --max-growth.

MediaPipe (about 660 MB) is installed into a virtual environment of its own on first use.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from compare_mediapipe import ROOT, environment

WARM_UP_S = 2.0
Run = dict[str, Any]
"""What one process measured: frames, found, seconds (stage → s), total_s, cpu_s, start_s, peak_mb, made_with;
decode_alone_s of posecli, where decoding runs beside detection and takes no time of its own."""


def main() -> int:
    options = arguments()
    cores = allowed_cores()[: options.cores]
    report: dict[str, Any] = {"video": describe(options.video), "machine": machine(cores)}
    print_table("video", report["video"])
    print_table("machine", report["machine"])
    passed = True
    if options.repeats:
        report["speed"] = speed(options, cores)
        passed &= report["speed"]["posecli"]["fps"]["median"] >= options.min_fps
    if options.memory:
        report["memory"] = memory(options, cores)
        passed &= report["memory"]["growth"] <= options.max_growth
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there")
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes of each; 0: no speed")
    parser.add_argument("--cores", type=int, default=2, help="CPU cores that a run may use")
    parser.add_argument("--detections", action="store_true", help="also write detections and motion (npz)")
    parser.add_argument(
        "--venv", type=Path, default=ROOT.parent / "env" / "mp", help="environment of mediapipe"
    )
    parser.add_argument("--min-fps", type=float, default=25.0)
    parser.add_argument("--memory", action="store_true", help="measure peak memory (takes minutes)")
    parser.add_argument("--minutes", type=float, nargs=2, default=(1.0, 10.0), metavar=("SHORT", "LONG"))
    parser.add_argument("--max-growth", type=float, default=1.2, help="peak memory, LONG over SHORT")
    options = parser.parse_args()
    if not options.video.is_file():
        parser.error(f"{options.video}: no such file")
    return options


# Speed -------------------------------------------------------------------------------------------------


def speed(options: argparse.Namespace, cores: list[int]) -> dict[str, Any]:
    """Runs of both programs in turn, and what they come to."""
    pythons = {"posecli": Path(sys.executable), "mediapipe": environment(options.venv)}
    runs: dict[str, list[Run]] = {who: [] for who in pythons}
    busy = []
    print(
        f"\n{'run':4} {'':10} {'frames':>6} {'found':>6} {'frames/s':>9} {'CPU ms/frame':>13} {'peak MB':>8}"
    )
    for repeat in range(options.repeats):
        # Whoever goes first finds the machine as the other left it: take turns in that, too.
        for who in sorted(pythons, reverse=repeat % 2 == 0):
            busy.append(busy_share(cores))
            run = child(pythons[who], who, options.video, cores, detections=options.detections)
            runs[who].append(run)
            print(
                f"{repeat + 1:<4} {who:10} {run['frames']:6} {run['found']:6} {fps(run):9.1f} "
                f"{1000 * run['cpu_s'] / run['frames']:13.1f} {run['peak_mb']:8.0f}",
                flush=True,
            )
    result: dict[str, Any] = {who: summary(of) for who, of in runs.items()}
    result["ratio"] = result["posecli"]["fps"]["median"] / result["mediapipe"]["fps"]["median"]
    result["busy_before_runs"] = max(busy)
    print()
    for who in pythons:
        print_table(who, result[who] | {"runs": None})
    print(f"posecli does {result['ratio']:.2f} times the frames per second of mediapipe")
    if max(busy) > 0.1:
        print(f"CAUTION: other programs took up to {max(busy):.0%} of these cores between the runs")
    return result


def fps(run: Run) -> float:
    return run["frames"] / run["total_s"]


def summary(runs: list[Run]) -> dict[str, Any]:
    stages = runs[0]["seconds"]
    return {
        "fps": spread([fps(run) for run in runs]),
        "cpu_ms_per_frame": spread([1000 * run["cpu_s"] / run["frames"] for run in runs]),
        "seconds": {name: spread([run["seconds"][name] for run in runs]) for name in stages},
        **{
            key: spread([run[key] for run in runs]) for key in ("decode_alone_s", "start_s") if key in runs[0]
        },
        "peak_mb": spread([run["peak_mb"] for run in runs]),
        "made_with": runs[0]["made_with"],
        "runs": runs,
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


# Memory ------------------------------------------------------------------------------------------------


def memory(options: argparse.Namespace, cores: list[int]) -> dict[str, Any]:
    """Peak memory for the short and the long video, and their ratio."""
    peaks, rows = [], []
    with tempfile.TemporaryDirectory(prefix="posecli-benchmark-") as folder:
        for minutes in options.minutes:
            looped = Path(folder) / f"loop{options.video.suffix}"
            seconds = loop(options.video, looped, 60 * minutes)
            run = child(Path(sys.executable), "posecli", looped, cores, detections=True, warm_up=False)
            looped.unlink()
            peaks.append(run["peak_mb"])
            rows.append({"video_s": seconds, **run})
            print(
                f"memory: {seconds / 60:.2f} minutes, {run['frames']} frames: peak {run['peak_mb']:.0f} MB, "
                f"{fps(run):.1f} frames/s",
                flush=True,
            )
    growth = peaks[1] / peaks[0]
    print(
        f"memory: {growth:.3f} times as much for {options.minutes[1] / options.minutes[0]:g} times the length"
    )
    return {"growth": growth, "runs": rows}


def loop(source: Path, target: Path, at_least_s: float) -> float:
    """The packets of `source`, over and over, without coding anything anew; returns the seconds written."""
    import av

    with av.open(str(target), "w") as out:
        copy, shift, written = None, 0, 0.0
        while written < at_least_s:
            with av.open(str(source)) as container:
                stream = container.streams.video[0]
                copy = copy or out.add_stream_from_template(stream)
                base, first, end = stream.time_base or Fraction(1, 90_000), None, shift
                for packet in container.demux(stream):
                    if packet.pts is None or packet.dts is None:
                        continue  # the empty one at the end
                    first = packet.dts if first is None else first
                    packet.pts, packet.dts = packet.pts - first + shift, packet.dts - first + shift
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.time_base, packet.stream = base, copy
                    out.mux(packet)
            shift, written = end, float(end * base)
    return written


# One process -------------------------------------------------------------------------------------------


def child(
    python: Path, who: str, video: Path, cores: list[int], *, detections: bool, warm_up: bool = True
) -> Run:
    """A run of `who` in a fresh process; see `Run`."""
    task = {"who": who, "video": str(video), "cores": cores, "detections": detections, "warm_up": warm_up}
    done = subprocess.run(
        [python, __file__, "--child", json.dumps(task)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{who} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_child(task: dict[str, Any]) -> Run:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, task["cores"])
    else:  # no way to hold a process to cores: at least the libraries make no more threads
        os.environ["OMP_NUM_THREADS"] = str(len(task["cores"]))
    run = {"posecli": run_posecli, "mediapipe": run_mediapipe}[task["who"]]
    result = run(Path(task["video"]), task["detections"], WARM_UP_S if task["warm_up"] else 0.0)
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, kB elsewhere
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    return result


def run_posecli(video: Path, detections: bool, warm_up_s: float) -> Run:
    clock = time.perf_counter()
    import numpy as np
    import torch

    from posecli.lifting import LiftConfig
    from posecli.machine import versions
    from posecli.media import open_media
    from posecli.pipeline import lift, lift_to_files

    config = LiftConfig(hypotheses=1, steps=1)
    if warm_up_s:
        lift(video, end=warm_up_s, config=config, device="cpu", offline=True)
    start_s = time.perf_counter() - clock
    stages = Stages()
    with tempfile.TemporaryDirectory() as folder, measured() as total:
        if detections:
            outcome = lift_to_files(
                video,
                out=folder,
                exports=("npz",),
                config=config,
                device="cpu",
                offline=True,
                reporter=stages,
            )
            motion = outcome.motion
        else:
            motion = lift(video, config=config, device="cpu", offline=True, reporter=stages)
    with measured() as decoding:
        for _ in open_media(video) if warm_up_s else ():
            pass
    recorded = motion.settings
    detected = recorded["detection"]
    return {
        "frames": len(motion),
        "found": int((motion.valid & ~motion.bridged).sum()),
        "seconds": {**stages.seconds, "rest": total["total_s"] - sum(stages.seconds.values())},
        **total,
        "decode_alone_s": decoding["total_s"],
        "start_s": start_s,
        "made_with": {
            "method": f"{recorded['method']}, H=1, W=1, {recorded['weights']}",
            "weights_sha256": recorded["weights_hash"],
            "detector": f"{detected['detector']} {detected['detector_version']}",
            "detector_sha256": detected["weights_hash"],
            "threads": torch.get_num_threads(),
            "detections_file": detections,
            **versions(),
            "ai-edge-litert": detected["settings"]["runtime"].split()[-1],
            "python": platform.python_version(),
            "finite": bool(np.isfinite(motion.joints_3d[motion.valid]).all()),
        },
    }


def run_mediapipe(video: Path, detections: bool, warm_up_s: float) -> Run:
    """In mediapipe's environment."""
    clock = time.perf_counter()
    import cv2
    import mediapipe  # type: ignore[import-not-found]

    def follow(end_s: float) -> tuple[int, int]:
        frames = found = 0
        capture = cv2.VideoCapture(str(video))
        end = end_s * capture.get(cv2.CAP_PROP_FPS)
        with mediapipe.solutions.pose.Pose(static_image_mode=False, model_complexity=1) as pose:
            while frames < end:
                there, image = capture.read()
                if not there:
                    break
                result = pose.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                frames, found = frames + 1, found + (result.pose_landmarks is not None)
        return frames, found

    follow(warm_up_s)
    start_s = time.perf_counter() - clock
    with measured() as total:
        frames, found = follow(math.inf)
    return {
        "frames": frames,
        "found": found,
        "seconds": {"decode, detect": total["total_s"]},
        **total,
        "start_s": start_s,
        "made_with": {
            "method": "solutions.pose, complexity 1, video mode, smoothed",
            "mediapipe": mediapipe.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        },
    }


class Stages:
    """A reporter that keeps the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Any]:
        clock = time.perf_counter()
        yield lambda *done: None
        name = {"detect": "decode, detect", "fetch detector": "load detector"}.get(name, name)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - clock

    def warn(self, message: str) -> None:
        pass

    def note(self, message: str) -> None:
        pass


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """total_s, seconds on the clock, and cpu_s, of all threads in user and system mode."""
    times: dict[str, float] = {}
    clock, cpu = time.perf_counter(), time.process_time()
    yield times
    times |= {"total_s": time.perf_counter() - clock, "cpu_s": time.process_time() - cpu}


# The machine -------------------------------------------------------------------------------------------


def allowed_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def busy_share(cores: list[int], over_s: float = 0.5) -> float:
    """Share of these cores' time that other programs take just now; 0 where the system does not tell."""

    def idle_and_all() -> tuple[int, int]:
        rows = {line.split()[0]: line.split()[1:] for line in stat.read_text().splitlines()}
        ticks = [[int(tick) for tick in rows[f"cpu{core}"][:8]] for core in cores]
        return sum(t[3] + t[4] for t in ticks), sum(map(sum, ticks))

    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    before = idle_and_all()
    time.sleep(over_s)
    after = idle_and_all()
    return 1 - (after[0] - before[0]) / max(1, after[1] - before[1])


def machine(cores: list[int]) -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "device": "cpu",
        "cores_used": cores,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "busy": round(busy_share(cores), 2),
    }


def describe(video: Path) -> dict[str, Any]:
    from posecli.media import open_media
    from posecli.weights.fetch import blazepose_files

    blazepose_files()  # fetched before the runs, which stay offline
    info = open_media(video).info
    return {
        "file": video.name if video.stem != "video" else f"{video.parent.name}/{video.name}",
        "size": f"{info.width}x{info.height}",
        "codec": info.codec,
        "frame_rate": info.frame_rate,
        "duration_s": info.duration_s,
    }


def print_table(title: str, values: dict[str, Any]) -> None:
    print(title)
    for name, value in values.items():
        if isinstance(value, dict) and "median" in value:
            value = f"{value['median']:.4g}  ({value['min']:.4g} to {value['max']:.4g})"
        elif isinstance(value, dict):
            print_table(f"  {name}", {f"  {key}": item for key, item in value.items()})
            continue
        if value is not None:
            print(f"  {name:20} {value:.4g}" if isinstance(value, float) else f"  {name:20} {value}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(run_child(json.loads(sys.argv[2]))))
    else:
        sys.exit(main())
