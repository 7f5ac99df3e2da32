"""Which weights there are and where: shipped with posecli, or a file of the user's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from posecli import defaults
from posecli.errors import InputError, UsageError

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder() -> Path:
    """The folder of shipped weights: inside an installed package, or at the top of a checkout."""
    installed = _PACKAGE / "shipped_weights"
    return installed if installed.is_dir() else _PACKAGE.parent / "weights"


@dataclass(frozen=True)
class ShippedWeights:
    """A weights file that comes with posecli; `name` is the file's name without ending."""

    name: str
    path: Path

    @property
    def method(self) -> str:
        return self.name.split("-")[0]

    @property
    def card(self) -> Path:
        return self.path.with_suffix(".md")


def shipped() -> list[ShippedWeights]:
    """All shipped weights, by name."""
    return [ShippedWeights(p.stem, p) for p in sorted(shipped_folder().glob("*.safetensors"))]


def find(method: str | None, weights: str | Path | None = None) -> Path:
    """The weights file to use: `weights` is a file, the name of a shipped one, or None for the shipped ones of
    `method` (None: of the usual one).

    Raises InputError where there is none, UsageError where a shipped one is of another method.
    """
    if weights is not None and Path(weights).is_file():
        return Path(weights)
    if weights is None:
        method = method or defaults.METHOD
        of_method = [w for w in shipped() if w.method == method]
        if not of_method:
            raise InputError(f"no weights for {method} ship with posecli; name a file with --weights")
        return of_method[0].path
    named = [w for w in shipped() if w.name == str(weights).removesuffix(".safetensors")]
    if not named:
        names = ", ".join(w.name for w in shipped()) or "none"
        raise InputError(f"no weights file {weights}; shipped are: {names} (posecli weights list)")
    if method not in (None, named[0].method):
        raise UsageError(
            f"{named[0].name} are weights of {named[0].method}, not of {method}; use --method {named[0].method}"
        )
    return named[0].path


@dataclass(frozen=True)
class Verified:
    """A shipped file beside its record; `state` is "intact", "DIFFERS", "not recorded" or "MISSING" (`sha256` is then
    empty)."""

    weights: ShippedWeights
    sha256: str
    state: str


def verify() -> list[Verified]:
    """Compare every file that is shipped or recorded with its recorded hash. Raises InputError where there are no
    records."""
    recorded = recorded_hashes()
    digests = {weights.path: sha256(weights.path) for weights in shipped()}
    checked = []
    for path in sorted({*digests, *(shipped_folder() / name for name in recorded)}):
        digest, wanted = digests.get(path, ""), recorded.get(path.name)
        state = "not recorded" if wanted is None else "intact" if wanted == digest else "DIFFERS"
        checked.append(Verified(ShippedWeights(path.stem, path), digest, state if digest else "MISSING"))
    return checked


def recorded_hashes() -> dict[str, str]:
    """File name → SHA-256 as written in `SHA256SUMS` beside the shipped weights. Raises InputError where that cannot
    be read."""
    sums = shipped_folder() / "SHA256SUMS"
    try:
        pairs = (
            line.split(maxsplit=1) for line in sums.read_text(encoding="utf-8").splitlines() if line.strip()
        )
        return {name.strip(): digest for digest, name in pairs}
    except (OSError, ValueError):
        raise InputError(f"{sums} is missing or damaged; reinstall posecli") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
