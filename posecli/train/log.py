"""The figures of a run over its steps: `log.csv` for tables, `tensorboard/` for a browser."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from posecli.files import atomic_write
from posecli.train.validation import Validation

EVERY = 10  # steps between the points of TensorBoard's loss curve


class RunLog:
    """A row of `log.csv` per validation and TensorBoard events; what lies past `step`, at which a run goes on, goes."""

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

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
        self._board: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def step(self, step: int, loss: float, learning_rate: float, waiting: float) -> None:
        if step % EVERY == 0:
            self._scalars(step, {"loss": loss, "learning_rate": learning_rate, "waiting": waiting})

    def validation(self, step: int, loss: float, waiting: float, validation: Validation) -> None:
        figures = validation.as_dict()
        row = {"step": step, "loss": round(loss, 5), **figures, "waiting": round(waiting, 4)}
        with self.path.open("a", encoding="utf-8") as file:
            if self.empty:
                file.write(",".join(row) + "\n")
            file.write(",".join(str(v) for v in row.values()) + "\n")
        self.empty = False
        self._scalars(step, {f"validation/{name}": value for name, value in figures.items()})
        self._board.flush()

    def close(self) -> None:
        self._board.close()

    def _scalars(self, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._board.add_scalar(name, value, step)
