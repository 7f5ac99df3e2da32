"""What the program says when all is well: help, lists, summary; on a terminal and to another program."""

from __future__ import annotations

import importlib
import os
import pty
import re
import select
import shlex
import subprocess
import time
from pathlib import Path

import pytest
import typer.main
from as_a_user import COMMAND, Run

from posecli.camera import DEFAULT_FOV_DEG
from posecli.cli.app import app
from posecli.cli.console import Output
from posecli.cli.main import main

HELPS = (
    [], ["lift"], ["detect"], ["inspect"], ["refine"], ["export"], ["render"], ["demo"], ["train"], ["methods"],
    ["detectors"], ["doctor"], ["weights"], ["weights", "list"], ["weights", "pull"], ["weights", "verify"], ["data"],
    ["data", "build"], ["bench"], ["bench", "open"], ["bench", "refine"],
)  # fmt: skip


def examples() -> list[list[str]]:
    """Every line in a help text that begins with `posecli`, as words."""
    texts = [
        importlib.import_module(f"posecli.cli.{name}").EPILOG
        for name in ("lift", "detect", "inspect", "refine", "export", "render", "demo", "train")
    ]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        texts += [c.epilog for c in group.typer_instance.registered_commands if isinstance(c.epilog, str)]
    lines = re.findall(r"^ +posecli (.+)$", "\n".join(texts), flags=re.MULTILINE)
    assert len(lines) >= 10
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("command", HELPS, ids=" ".join)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    said = capsys.readouterr()
    assert f"posecli {' '.join(command)}".strip() in said.out and said.err == ""


def test_help_comes_at_once(posecli: Run) -> None:
    """Nothing heavy is imported for it."""
    began = time.monotonic()
    assert posecli("lift", "--help").returncode == 0
    took = time.monotonic() - began
    code = (
        "import sys; from posecli.cli.main import main; main(['lift', '--help']); print(sorted(sys.modules))"
    )
    loaded = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True).stdout.splitlines()[-1]
    assert not {"torch", "numpy", "scipy", "av", "cv2", "h5py"} & set(re.findall(r"'(\w+)'", loaded))
    assert took < 5  # 0.3 s on an idle machine


@pytest.mark.parametrize("words", examples(), ids=" ".join)
def test_examples_parse(words: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("posecli", list(words), resilient_parsing=False)
    name, inner, rest = command.resolve_command(context, list(words))  # type: ignore[attr-defined]
    while hasattr(inner, "resolve_command"):
        name, inner, rest = inner.resolve_command(inner.make_context(name, list(rest), parent=context), rest)
    inner.make_context(name, list(rest), parent=context)  # raises where an option is unknown or wrong


def test_examples_of_lift_and_detect_run(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the help text, on a clip of 0.8 s: hence a tenth of every time."""
    monkeypatch.chdir(tmp_path)
    clip = shared_data / "videos/robust/juggle_20frames.mp4"
    Path("video.mp4").write_bytes(clip.read_bytes())
    Path("two_people.mp4").write_bytes(clip.read_bytes())
    theirs = {"--overwrite", "--keypoints", "--detector"}  # need what an earlier run, or another tool, made
    theirs |= {"posecli_out/two_people_p1.detections.h5"}  # there is but one person
    ran = [words for words in examples() if words[0] in ("lift", "detect") and not theirs & {*words}]
    ran.sort(key=lambda words: words[0] == "detect")
    for words in ran:
        shorter = [
            f"{float(w) / 10}" if b in ("--start", "--end") else w
            for b, w in zip(["", *words[:-1]], words, strict=True)
        ]
        assert main([*shorter, "--overwrite"]) == 0, words
    for name in ("video.npz", "video.bvh", "video.mp4", "video.detections.h5"):
        assert (Path("posecli_out") / name).is_file()
    assert Path("results/video.bvh").is_file() and Path("sampled/video.npz").is_file()


def test_stated_defaults_are_the_real_ones(capsys: pytest.CaptureFixture[str]) -> None:
    main(["lift", "--help"])
    assert f"{DEFAULT_FOV_DEG:g}" in capsys.readouterr().out


def test_lists_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """Not on a terminal: a line each, columns between tabs, no heading, names in the first."""
    for command, name in (
        (["methods"], "ddhpose"),
        (["detectors"], "blazepose"),
        (["weights", "list"], "blazepose"),
    ):
        assert main(command) == 0
        lines = capsys.readouterr().out.splitlines()
        assert name in [line.split("\t")[0].strip() for line in lines]


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert code == (1 if any(line.startswith("BAD") for line in lines) else 0)
    assert {"python", "torch", "ai_edge_litert", "blazepose", "weights"} <= {
        line.split()[1] for line in lines
    }


def test_a_run_says_little_and_all_of_it(shared_data: Path, posecli: Run) -> None:
    """Stages on stderr, summary on stdout, and not a word from any library."""
    ended = posecli("lift", shared_data / "videos/robust/juggle_20frames.mp4", "--export", "npz,bvh")
    assert ended.returncode == 0
    assert [line.split(":")[0] for line in ended.stderr.splitlines()] == ["detect", "lift"]
    facts = [line.split()[0] for line in ended.stdout.splitlines()]
    assert facts == ["frames", "people", "method", "scale", "bvh", "time", "file", "file", "file"]
    quiet = posecli(
        "-q", "lift", "posecli_out/juggle_20frames.detections.h5", "--export", "npz", "--overwrite"
    )
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    verbose = posecli(
        "lift", "posecli_out/juggle_20frames.detections.h5", "--export", "npz", "--overwrite", "-v"
    )
    assert "weights_hash" in verbose.stdout


def test_a_terminal_sees_a_bar(shared_data: Path, tmp_path: Path) -> None:
    """With count, rate and time left."""
    clip = shared_data / "videos/robust/juggle_20frames.mp4"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "detect", str(clip), "--out", str(tmp_path)], stderr=theirs, stdout=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )  # fmt: skip
    seen = b""
    while process.poll() is None or not seen:
        seen += _read(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode(errors="replace"))
    assert process.returncode == 0, text
    assert re.search(r"detect ━+.* \d+/20 +\d+\S*/s +0:00:\d\d", text), text


def test_what_goes_on_where_it_was_stopped_is_not_taken_for_fast(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """900 of 1000 steps were there already; then two a second, of which 60 are left after 20 s."""
    clock = iter([0.0, 1.0, 21.0, 22.0])
    monkeypatch.setattr("posecli.cli.console.time.monotonic", lambda: next(clock))
    with Output().stage("train", 1000, "steps") as advance:
        advance(900)
        advance(940)
    assert capsys.readouterr().err.splitlines()[0] == "train: 940 of 1000 steps, 2.0/s, 30 s left"


def _read(descriptor: int) -> bytes:
    return os.read(descriptor, 1 << 16) if select.select([descriptor], [], [], 0.1)[0] else b""
