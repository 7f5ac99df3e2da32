"""A network from an ONNX file, made ready to run by onnxruntime: on CUDA where its build has it, else on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posecli.detect.onnx_file import read_onnx_file
from posecli.errors import InputError, UsageError

NEEDED = (
    "ONNX models need onnxruntime: pip install 'posecli[onnx]' (or [onnx-gpu] for NVIDIA's GPUs, never both)"
)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_MOST_NUMBERS = 1 << 26  # in one output


@dataclass(frozen=True)
class Output:
    """One of a network's answers. values: float32."""

    name: str
    values: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


class Session:
    """An ONNX network that takes one picture (1, 3, height, width).

    threads: on the CPU. Raises UsageError where onnxruntime is not installed, InputError for a file that it cannot run
    or whose input is no picture.

    input_size: (width, height), None where the file leaves them open. metadata: as in the file. sha256: of its weights.
    provider: what of onnxruntime runs it.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        if find_spec("onnxruntime") is None:
            raise UsageError(NEEDED)
        file = read_onnx_file(path)
        self.path, self.metadata, self.sha256 = path, file.metadata, file.sha256
        self._session, self.runtime = _load(path, threads)
        self.provider: str = self._session.get_providers()[0]
        self._name, self._type, self.input_size = self._picture_input()
        self._names = []
        for port in self._session.get_outputs():
            self._names.append(port.name)
            if np.prod([side or 1 for side in _sides(port.shape)], dtype=float) > _MOST_NUMBERS:
                raise InputError(
                    f"{path}: its output {port.name} {port.shape} is too large for joints or boxes"
                )

    def settings(self) -> dict[str, Any]:
        """What the result depends on beside the file, ready for JSON."""
        return {"runtime": self.runtime, "provider": self.provider}

    def run(self, picture: NDArray[np.float32]) -> list[Output]:
        """What the network says of a picture (1, 3, height, width). Raises InputError where it fails, or its answer is
        not made of finite numbers."""
        try:
            answers = self._session.run(None, {self._name: picture.astype(self._type, copy=False)})
        except Exception as error:  # onnxruntime's have no common ancestor
            raise InputError(f"{self.path}: the network failed: {_reason(error)}") from error
        outputs = []
        for name, answer in zip(self._names, answers, strict=True):
            if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiub":
                raise InputError(f"{self.path}: its output {name} is not an array of numbers")
            if answer.size > _MOST_NUMBERS or not np.isfinite(answer).all():
                raise InputError(f"{self.path}: its output {name} is too large, or not finite everywhere")
            outputs.append(Output(name, answer.astype(np.float32, copy=False)))
        return outputs

    def _picture_input(self) -> tuple[str, Any, tuple[int, int] | None]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(port.name for port in inputs)
            raise InputError(
                f"{self.path} takes {len(inputs)} inputs ({names}); a picture alone is what it is given"
            )
        port, shape = inputs[0], _sides(inputs[0].shape)
        if (
            len(shape) != 4
            or shape[0] not in (1, None)
            or shape[1] not in (3, None)
            or port.type not in _TYPES
        ):
            raise InputError(
                f"{self.path} takes {port.type} {list(port.shape)}; float [1, 3, height, width] is what it is given"
            )
        height, width = shape[2:]
        return port.name, _TYPES[port.type], None if height is None or width is None else (width, height)


def listed(outputs: Sequence[Output]) -> str:
    """Names and shapes in words, for messages."""
    return ", ".join(f"{output.name} {list(output.shape)}" for output in outputs)


def _load(path: Path, threads: int) -> tuple[Any, str]:
    try:
        import onnxruntime  # late: slow to import, and not everybody has it

        there = onnxruntime.get_available_providers()
    except (ImportError, AttributeError) as error:  # without attributes: a folder that an uninstall left
        raise UsageError(
            f"onnxruntime is installed but does not load ({error}): pip uninstall onnxruntime onnxruntime-gpu, then "
            "install one of them"
        ) from error
    if _CUDA in there and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # torch's CUDA libraries serve both
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what matters comes as an exception
    try:
        # onnxruntime 1.20 and 1.24 fold constants of any size: a few bytes would fill the memory while loading.
        providers, unfolded = [name for name in (_CUDA, _CPU) if name in there], ["ConstantFolding"]
        session = onnxruntime.InferenceSession(
            str(path), options, providers=providers, disabled_optimizers=unfolded
        )
    except Exception as error:  # onnxruntime's have no common ancestor
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} cannot run {path}: {_reason(error)}"
        ) from error
    return session, f"onnxruntime {onnxruntime.__version__}"


def _sides(shape: Sequence[Any]) -> tuple[int | None, ...]:
    """A name in place of a side means that it is open."""
    return tuple(side if isinstance(side, int) and side > 0 else None for side in shape)


def _reason(error: Exception) -> str:
    """The first line of onnxruntime's own words, without its codes."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text.split(" : ", 3)[-1].strip()[:300]
