"""What somebody without onnxruntime is told."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from posecli.detect import DetectorOptions, make_detector
from posecli.errors import UsageError


@pytest.mark.skipif(find_spec("onnxruntime") is not None, reason="onnxruntime is installed")
def test_missing_runtime(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pip install 'posecli\[onnx\]'.* \[onnx-gpu\] .* NVIDIA"):
        make_detector("onnx", DetectorOptions(model=tmp_path / "rtmpose.onnx"))
