"""mmpose 1.3.2 beside libraries that are years younger than it: all that takes, and nothing else.

torchvision    its wheel beside a PyTorch of another build (the CPU one) has no compiled operators, and then does
               not even import: the operators that it describes at import are declared, without a body.
mmcv.ops       compiled operators, not in mmcv-lite; and mmdet, not installed. The heads of RTMO and ED-Pose want
               them at import, no top-down model does: empty modules stand in for them while mmpose is imported.
mmdet          again: the configs of RTMPose say that their backbone is there; mmpose has the same one itself.
pkg_resources  is gone from setuptools 81: the extra asks for an older one.
six            is imported and declared by nobody: the extra does.
chumpy         does not build in pip's isolation, hence the option in `INSTALL`. Only body models would use it.
numpy          the wheel of xtcocotools is made for numpy 1: the extra asks for it.
checkpoints    hold objects of numpy and mmengine beside the tensors, for which `torch.load` has to be told to
               trust them: they are read as inert data, and mmengine's own loader is never called.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from posecli.detect.backends import DETECTORS
from posecli.errors import InputError, UsageError
from posecli.weights.unpickle import StoredTensor, load_tensor, read_checkpoint

INSTALL = DETECTORS["mmpose"].install

_TORCHVISION = (  # what torchvision describes at import without asking whether it is there
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_STAND_INS: dict[str, tuple[str, ...]] = {  # module → names that mmpose.models takes from it
    "mmcv.ops": ("MultiScaleDeformableAttention",),
    "mmdet": (),
    "mmdet.utils": ("ConfigType", "reduce_mean"),
}
_INERT = ("mmengine.", "builtins.getattr", "__builtin__.getattr")
"""Objects in honest checkpoints that are kept as data: mmengine's curves of the loss, and their way of naming a
method. Nothing of the kind is ever called."""


def import_mmpose() -> None:
    """Import mmpose's models and data sets. Raises UsageError, with how to install it, where that fails."""
    how = f"install it with: {' && '.join(INSTALL)}"
    if any(find_spec(package) is None for package in ("mmpose", "mmengine", "mmcv")):
        raise UsageError(f"--detector mmpose needs mmpose, which is not installed; {how}")
    try:
        with quiet():
            _import_torchvision()
            with _stand_ins():
                import_module("mmpose.models")
                import_module("mmpose.datasets")
    except Exception as error:  # libraries that do not fit each other fail in every way there is
        raise UsageError(f"mmpose does not import here ({first_line(error)}); {how}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """mmpose and its libraries warn about each other's age, and about what posecli asks for on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def without_missing_scopes(model: Any) -> Any:
    """A model's config with `_scope_="mmdet"` taken out of all its parts, where mmdet is not installed."""
    if isinstance(model, list | tuple):
        for part in model:
            without_missing_scopes(part)
    elif isinstance(model, dict):
        if model.get("_scope_") == "mmdet" and find_spec("mmdet") is None:
            del model["_scope_"]
        for part in model.values():
            without_missing_scopes(part)
    return model


def first_line(error: BaseException) -> str:
    """What went wrong, as a part of one line."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def load_state(model: nn.Module, path: Path) -> tuple[str, ...]:
    """Put a checkpoint's weights into `model`. Returns the names of the joints it was trained on, if it tells them.

    Raises InputError where the file is missing, damaged, of another model, or holds anything that would run.
    """
    content = read_checkpoint(path, inert=_INERT)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = _tensors(state, path)
    try:
        found = model.load_state_dict(tensors, strict=False)
    except Exception as error:  # mmpose's own hooks for older checkpoints meet whatever the file holds
        raise InputError(f"{path} does not fit the config: {_shapes(error)}") from None
    missing = [key for key in found.missing_keys if not key.endswith("num_batches_tracked")]
    if missing:
        raise InputError(
            f"{path} does not fit the config: it has no {missing[0]}"
            + (f" nor {len(missing) - 1} more of the model's tensors" if len(missing) > 1 else "")
        )
    return _joint_names(content)


def _tensors(state: Any, path: Path) -> dict[str, Tensor]:
    """A state dict as PyTorch wants it, with the versions of its modules where they were kept."""
    stored = {}
    if isinstance(state, dict):
        stored = {k: v for k, v in state.items() if isinstance(k, str) and isinstance(v, StoredTensor)}
    if not stored:
        raise InputError(f"{path} holds no weights: no state_dict with tensors is in it")
    prefix = "module." if all(key.startswith("module.") for key in stored) else ""
    tensors = _StateDict(
        {key.removeprefix(prefix): load_tensor(value, path) for key, value in stored.items()}
    )
    kept = getattr(state, "_metadata", None)
    if isinstance(kept, dict) and not prefix:
        tensors._metadata = {key: value for key, value in kept.items() if isinstance(value, dict)}
    return tensors


class _StateDict(dict[str, Tensor]):
    """A plain dict has no place for what PyTorch keeps beside the tensors."""

    _metadata: dict[Any, dict[Any, Any]]


def _joint_names(content: dict[Any, Any]) -> tuple[str, ...]:
    place: Any = content
    for key in ("meta", "dataset_meta", "keypoint_id2name"):
        place = place.get(key) if isinstance(place, dict) else None
    if not isinstance(place, dict) or not all(isinstance(name, str) for name in place.values()):
        return ()
    try:
        return tuple(place[k] for k in range(len(place)))
    except KeyError:
        return ()


def _shapes(error: Exception) -> str:
    """PyTorch's message begins with a line that says nothing; the next names a tensor."""
    lines = str(error).strip().splitlines()
    return lines[1].strip().rstrip(".") if len(lines) > 1 else first_line(error)


def _import_torchvision() -> None:
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declared()
        import_module("torchvision")


@cache  # the operators last as long as the library that declares them
def _declared() -> Any:
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _TORCHVISION:
        library.define(schema)
    return library


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Empty modules in place of those that do not import; gone again afterwards."""
    made = []
    for name, attributes in _STAND_INS.items():
        try:
            import_module(name)
        except Exception:  # also installed ones that do not fit, whatever that makes them raise
            module = ModuleType(name)
            for attribute in attributes:
                setattr(module, attribute, type(attribute, (), {}))
            sys.modules[name] = module
            made.append(name)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]
