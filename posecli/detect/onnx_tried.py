"""An ONNX network with what is written about it, run once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from posecli.detect.onnx_session import Output, Session
from posecli.detect.preprocessing import Described, describe


class Tried(NamedTuple):
    """size: (width, height) of the pictures that it takes. outputs: what it says of a black one."""

    session: Session
    written: Described
    size: tuple[int, int]
    outputs: list[Output]


def tried(path: Path, preprocessing: Path | None, *, threads: int) -> Tried:
    """What cannot run fails now rather than later, and the answer has the shapes that the file leaves open.

    preprocessing: a TOML file about the model, see `posecli.detect.preprocessing`. Raises UsageError or InputError as
    `Session` and `describe` do.
    """
    session = Session(path, threads=threads)
    written = describe(path, session.metadata, preprocessing)
    width, height = written.input_size(path, session.input_size)
    nothing = np.zeros((1, 3, height, width), np.float32)
    return Tried(session, written, (width, height), session.run(nothing))
