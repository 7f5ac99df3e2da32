"""The figures of a run over its steps: `log.csv` for tables, `tensorboard/` for a browser."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from posecli.files import atomic_write, writing
from posecli.train.validation import Validation

EVERY = 10  # steps between the points of TensorBoard's loss curve


class RunLog:
    """A row of `log.csv` per validation and TensorBoard events; what lies past `step`, at which a run goes on, goes."""

    def __init__(self, folder: Path, step: int) -> None:
        # Not its SummaryWriter, whose thread prints a traceback where the disk is full.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.path = folder / "log.csv"
        rows: list[list[str]] = []
        if self.path.exists():
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file) if row]
        # A run from the start keeps nothing, not even the heading: it may have other columns.
        kept = [row for row in rows if not row[0].isdecimal() or int(row[0]) <= step] if step else []
        self.empty = not kept
        if kept != rows:
            with atomic_write(self.path) as temporary:
                temporary.write_text("".join(",".join(row) + "\n" for row in kept), encoding="utf-8")
        self._board_path = folder / "tensorboard"
        with writing(self._board_path):
            self._board_path.mkdir(exist_ok=True)
            self._board: Any = EventsWriter(str(self._board_path / "events"))
            if step:  # hides what an earlier part of the run wrote from here on
                start = SessionLog(status=SessionLog.START)
                self._board.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))

    def step(self, step: int, loss: float, learning_rate: float, waiting: float) -> None:
        if step % EVERY == 0:
            self._scalars(step, {"loss": loss, "learning_rate": learning_rate, "waiting": waiting})

    def validation(self, step: int, loss: float, waiting: float, validation: Validation) -> None:
        figures = validation.as_dict()
        row = {"step": step, "loss": round(loss, 5), **figures, "waiting": round(waiting, 4)}
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            if self.empty:
                file.write(",".join(row) + "\n")
            file.write(",".join(str(v) for v in row.values()) + "\n")
        self.empty = False
        self._scalars(step, {f"validation/{name}": value for name, value in figures.items()})
        with writing(self._board_path):
            self._board.flush()

    def close(self) -> None:
        with writing(self._board_path):
            self._board.close()

    def _scalars(self, step: int, figures: dict[str, float]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        with writing(self._board_path):
            for name, value in figures.items():
                self._board.write_event(Event(wall_time=time.time(), step=step, summary=scalar(name, value)))
