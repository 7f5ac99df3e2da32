"""posecli's weights files: safetensors whose header says which method they are and how to build its network.

One header entry, "posecli", holds JSON: `format` (version of this layout), `method` (a name in `METHODS` or
`REFINERS`), `config` (the method's settings) and `metadata` (anything about origin and training). No pickle, nothing
is run.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from posecli.errors import InputError, OutputError
from posecli.methods import METHODS
from posecli.refine import REFINERS
from posecli.weights.store import sha256

FORMAT = 1
_NETWORKS = {**METHODS, **REFINERS}
_ENTRY = "posecli"


def save_weights(
    path: Path,
    method: str,
    model: nn.Module,
    metadata: dict[str, Any] | None = None,
    *,
    half: bool = False,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Write `model`, whose `config` has `to_dict`, to `path` in one step: whole, or not at all.

    half: floating point numbers as float16; they are float32 again when read.
    check: looks at the file before it gets its name; where that raises, nothing is left behind.
    Equal weights and metadata give equal files. Raises OutputError when the file cannot be written.
    """
    if method not in _NETWORKS:
        raise ValueError(f"method must be one of {sorted(_NETWORKS)}, got {method!r}")
    config = model.config.to_dict()  # type: ignore[union-attr, operator]
    header = {"format": FORMAT, "method": method, "config": config, "metadata": metadata or {}}
    tensors: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        dtype = torch.float16 if half and value.is_floating_point() else value.dtype
        tensors[key] = value.detach().to("cpu", dtype).contiguous()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        try:
            save_file(tensors, temporary, {_ENTRY: json.dumps(header, sort_keys=True)})
            if check is not None:
                check(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write {path}: {error}") from None


def read_header(path: Path) -> dict[str, Any]:
    """`format`, `method`, `config` and `metadata` of a weights file, without its tensors.

    Raises InputError when the file is missing, damaged, not posecli's, or of a newer format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            entries = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    if _ENTRY not in entries:
        raise InputError(f"{path} holds no posecli weights; `posecli weights list` shows those there are")
    try:
        header = json.loads(entries[_ENTRY])
        version, method = header["format"], header["method"]
        if not (isinstance(header["config"], dict) and isinstance(header["metadata"], dict)):
            raise TypeError
        if not isinstance(method, str):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"{path}: its header is damaged; fetch the file again") from None
    if version != FORMAT:
        raise InputError(f"{path} has format {version}, this posecli reads {FORMAT}; update posecli")
    if method not in _NETWORKS:
        raise InputError(f"{path} is for method {method!r}, which this posecli does not know; update posecli")
    return header


def load_weights(path: Path, device: torch.device | str = "cpu") -> tuple[str, Any, dict[str, Any]]:
    """(method, model in eval mode on `device` in float32, metadata) of the weights file `path`.

    Raises InputError where `read_header` does and when the tensors are not exactly those of the network.
    """
    header = read_header(path)
    build = _NETWORKS[header["method"]].build
    try:
        with torch.device("meta"):  # names and shapes only: a false header must not cost memory
            expected = {
                key: tuple(value.shape) for key, value in build(header["config"]).state_dict().items()
            }
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: its settings are damaged: {error}") from None
    try:
        with safe_open(path, framework="pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            if found != expected:
                odd = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
                raise InputError(
                    f"{path} does not fit its own settings: {odd[0]} ({len(odd)} entries differ)"
                )
            tensors = {key: file.get_tensor(key).float() for key in found}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    model = build(header["config"])
    model.load_state_dict(tensors, strict=True)
    return header["method"], model.to(device), header["metadata"]


def weights_hash(path: Path) -> str:
    """SHA-256 of the file, in hexadecimal. Raises InputError when it cannot be read."""
    try:
        return sha256(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"there is no weights file {path}; `posecli weights list` shows those there are")
    if isinstance(error, PermissionError):
        return InputError(f"cannot read {path}: {error.strerror or error}")
    return InputError(f"{path} is no readable weights file ({error}); fetch it again")
