"""Whatever a user does wrong ends in one clear line and an exit status of its own."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest
from as_a_user import COMMAND, Run

from posecli.cli.main import main
from posecli.errors import ExitCode, InputError

CLIP = "CLIP"  # stands for a good video of one frame


@pytest.fixture(scope="module")
def nonsense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of things that are no video."""
    folder = tmp_path_factory.mktemp("nonsense")
    (folder / "no_pictures").mkdir()
    (folder / "text.mp4").write_text("hello\n")
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "not_hdf5.h5").write_text("abc")
    with h5py.File(folder / "foreign.h5", "w") as file:
        file["x"] = [1, 2]
    with wave.open(str(folder / "sound.wav"), "w") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nope.mp4"], ExitCode.INPUT, "nope.mp4: no such file or folder"),
        (["no_pictures"], ExitCode.INPUT, "folder without images"),
        (["text.mp4"], ExitCode.INPUT, "not a video"),
        (["zero.mp4"], ExitCode.INPUT, "the file is empty (0 bytes)"),
        (["sound.wav"], ExitCode.INPUT, "sound only"),
        (["foreign.h5"], ExitCode.INPUT, "not written by posecli"),
        (["not_hdf5.h5"], ExitCode.INPUT, "not a detections file"),
        (["/dev/null"], ExitCode.INPUT, "not a regular file"),
        ([], ExitCode.USAGE, "Missing argument 'VIDEO'; see: posecli lift --help"),
        ([CLIP, "--method", "nope"], ExitCode.USAGE, "unknown method 'nope'; one of: ddhpose"),
        ([CLIP, "--detector", "nope"], ExitCode.USAGE, "unknown detector 'nope'; one of: blazepose"),
        ([CLIP, "--device", "nope"], ExitCode.USAGE, "one of: auto, cpu, cuda, mps"),
        ([CLIP, "--weights", "nope"], ExitCode.INPUT, "posecli weights list"),
        ([CLIP, "--weights", "text.mp4"], ExitCode.INPUT, "no readable weights file"),
        (
            [CLIP, "--export", "npz,fbx"],
            ExitCode.USAGE,
            "unknown export 'fbx'; one or more of: npz, bvh, mp4",
        ),
        ([CLIP, "--export", ","], ExitCode.USAGE, "npz, bvh, mp4"),
        ([CLIP, "--start", "99"], ExitCode.INPUT, "no frame lies between --start 99 s and its end"),
        ([CLIP, "--start", "3", "--end", "1"], ExitCode.USAGE, "--end must lie after --start"),
        ([CLIP, "--start", "-1"], ExitCode.USAGE, "--start must be 0 or more"),
        ([CLIP, "--start", "inf"], ExitCode.USAGE, "--start must be a finite number"),
        ([CLIP, "--end", "nan"], ExitCode.USAGE, "--end must be a finite number"),
        ([CLIP, "--fps", "30"], ExitCode.USAGE, "carries its own times"),
        ([CLIP, "--hypotheses", "0"], ExitCode.USAGE, "--hypotheses"),
        ([CLIP, "--steps", "5000"], ExitCode.USAGE, "at most 1000 steps"),
        ([CLIP, "--fov", "0"], ExitCode.USAGE, "between 1 and 170 degrees"),
        ([CLIP, "--height", "175"], ExitCode.USAGE, "give metres"),
        ([CLIP, "--seed", "x"], ExitCode.USAGE, "--seed"),
        (
            [CLIP, "--person", "tallest"],
            ExitCode.USAGE,
            "--person takes largest, longest, first, all or a number",
        ),
        ([CLIP, "--person", "1"], ExitCode.USAGE, "there is no person 1: there is one person, 0"),
        ([CLIP, "--detector", "onnx"], ExitCode.USAGE, "--detector onnx needs --det-model"),
        ([CLIP, "--det-model", "x.onnx"], ExitCode.USAGE, "--detector blazepose does not take --det-model"),
        ([CLIP, "--out", "text.mp4"], ExitCode.OUTPUT, "a file lies in its place"),
        ([CLIP, "--nosuch"], ExitCode.USAGE, "see: posecli lift --help"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_nonsense_ends_in_one_line(
    arguments: list[str], code: ExitCode, says: str, nonsense: Path, shared_data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(nonsense)
    clip = str(shared_data / "videos/robust/juggle_1frame.mp4")
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "made/for/it")]
    ended = main(["lift", *(clip if a == CLIP else a for a in arguments), *out])
    said = capsys.readouterr()
    assert ended == code
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("error: ") and says in last
    assert "bug" not in last and "Traceback" not in said.err
    assert len(said.err.splitlines()) <= (2 if {"--start", "--person"} & {*arguments} else 1)
    assert not (tmp_path / "made").exists()


def test_the_input_is_never_the_output(shared_data: Path, posecli: Run, tmp_path: Path) -> None:
    video = tmp_path / "here" / "clip.mp4"
    video.write_bytes((shared_data / "videos/robust/juggle_1frame.mp4").read_bytes())
    before = video.read_bytes()
    ended = posecli("lift", "clip.mp4", "--out", ".", "--overwrite")
    assert ended.returncode == ExitCode.OUTPUT
    assert "is the input itself" in ended.stderr
    assert video.read_bytes() == before and [p.name for p in video.parent.iterdir()] == ["clip.mp4"]


def test_offline_without_cache(shared_data: Path, posecli: Run, tmp_path: Path) -> None:
    clip = shared_data / "videos/robust/juggle_1frame.mp4"
    ended = posecli("lift", clip, "--offline", POSECLI_CACHE=str(tmp_path / "empty"))
    assert ended.returncode == ExitCode.NETWORK
    assert ended.stderr.count("\n") == 1 and "posecli weights pull blazepose" in ended.stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_only_debug_shows_a_traceback() -> None:
    assert main(["lift", "nope.mp4"]) == ExitCode.INPUT
    with pytest.raises(InputError):
        main(["lift", "nope.mp4", "--debug"])


def test_a_full_disk_leaves_nothing_half_written(shared_data: Path, tmp_path: Path) -> None:
    clip = shared_data / "videos/robust/juggle_20frames.mp4"
    out = tmp_path / "out"

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    ended = subprocess.run(
        [*COMMAND, "lift", str(clip), "--out", str(out)],
        preexec_fn=small_files,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == ExitCode.OUTPUT
    assert "detections.h5: File too large" in ended.stderr.splitlines()[-1]
    assert not out.exists()


def _hidden(out: Path, part: str) -> bool:
    return out.is_dir() and any(p.name.startswith(".") and part in p.name for p in out.iterdir())


@pytest.fixture
def heard() -> Iterator[None]:
    """A shell's background jobs ignore Ctrl-C, and so would all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(
    ("stage", "reached", "kept"),
    [
        ("start", lambda out: True, set()),
        ("detect", lambda out: _hidden(out, "detections"), set()),
        ("lift", lambda out: (out / "video.detections.h5").exists(), {"video.detections.h5"}),
        ("mp4", lambda out: _hidden(out, "mp4"), {"video.detections.h5", "video.npz"}),
    ],
)
def test_ctrl_c(
    stage: str, reached: Callable[[Path], bool], kept: set[str], shared_data: Path, tmp_path: Path
) -> None:
    """In every stage: exit 130, one line, finished files kept, nothing half-written."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, "lift", str(shared_data / "videos/sam2_juggle/video.mp4"), "--out", str(out),
         "--end", "2", "--steps", "20", "--export", "npz,mp4"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(0.3)  # Python itself has started
    while not reached(out) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, errors
    assert output == ""
    assert errors.splitlines()[-1] == "error: interrupted; what was finished before is kept"
    assert "Traceback" not in errors
    assert {p.name for p in out.iterdir()} == kept if kept else not out.exists()


@pytest.mark.usefixtures("heard")
def test_ctrl_c_in_a_destructor_comes_again() -> None:
    """Python drops exceptions raised in destructors and weak references' callbacks; Ctrl-C must not be lost."""
    code = (
        "import sys, time, posecli.cli.main as m\n"
        "sys.unraisablehook = m._interrupt_again\n"
        "class Falls:\n"
        "    def __del__(self): raise KeyboardInterrupt\n"
        "try:\n"
        "    Falls()\n"
        "    while True: time.sleep(0.01)\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=15).returncode == 130
