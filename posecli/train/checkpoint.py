"""All that a run is, at one step: kept in a file, so that a run which was killed goes on as if nothing had happened."""

from __future__ import annotations

import io
import math
import operator
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posecli.errors import InputError, UsageError
from posecli.files import atomic_write
from posecli.methods.base import Trainable
from posecli.train.validation import Validation

State = dict[str, Tensor]


class Run:
    """Weights, their moving average, the best average so far, optimiser, step; seconds spent and waited.

    settings, motion: say which run it is; a checkpoint of another one is refused.
    """

    def __init__(
        self,
        model: Trainable,
        optimizer: torch.optim.Optimizer,
        path: Path,
        *,
        decay: float,
        settings: str,
        motion: str,
    ) -> None:
        self.model, self.optimizer, self.path = model, optimizer, path
        self.decay, self.settings, self.motion = decay, settings, motion
        self.step = 0
        self.best_score = math.inf
        self.spent_s = self.waited_s = 0.0
        self.ema = _copy(model.state_dict())
        self.best = _copy(self.ema)

    def average(self) -> None:
        """Take the weights into their moving average; the first steps count less than `decay` says."""
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.ema[key].lerp_(value, 1 - decay)
            else:
                self.ema[key].copy_(value)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        kept = _copy(self.model.state_dict())
        self.model.load_state_dict(self.ema)
        try:
            yield
        finally:
            self.model.load_state_dict(kept)

    def keep_if_best(self, validation: Validation) -> None:
        if validation.score < self.best_score:
            self.best_score = validation.score
            self.best = _copy(self.ema)

    def load_best(self) -> None:
        self.model.load_state_dict(self.best)

    def save(self) -> None:
        state = {
            "settings": self.settings, "motion": self.motion, "step": self.step, "best_score": self.best_score,
            "spent_s": self.spent_s, "waited_s": self.waited_s,
            "model": self.model.state_dict(), "ema": self.ema, "best": self.best,
            "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        content = io.BytesIO()  # torch.save tells of a full disk in words of its own
        torch.save(state, content)
        with atomic_write(self.path) as temporary:
            temporary.write_bytes(content.getbuffer())

    def resume(self) -> None:
        """Go on from the checkpoint if there is one. Raises InputError where it is damaged, UsageError where it is
        another run's."""
        if not self.path.exists():
            return
        try:
            with zipfile.ZipFile(self.path) as archive:  # torch.load does not look at the checksums
                if archive.testzip() is not None:
                    raise ValueError
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            settings, motion = state["settings"], state["motion"]
        except Exception:  # a damaged file makes the unpickler raise whatever it stumbles over
            raise InputError(f"{self.path} is damaged; delete it to start the run again") from None
        if settings != self.settings or motion != self.motion:
            what = "settings" if settings != self.settings else "motion"
            raise UsageError(f"{self.path} is of a run with other {what}; choose another folder or delete it")
        try:
            self.step = operator.index(state["step"])
            self.best_score, self.spent_s, self.waited_s = (
                float(state[name]) for name in ("best_score", "spent_s", "waited_s")
            )
            for own, saved in (
                (self.model.state_dict(), "model"),
                (self.ema, "ema"),
                (self.best, "best"),
            ):
                for key, value in own.items():
                    if state[saved][key].shape != value.shape:  # copy_ would spread it
                        raise ValueError
                    value.copy_(state[saved][key])
            self._resume_optimizer(state["optimizer"])
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f"{self.path} is of a run with another network; choose another folder or delete it"
            ) from None

    def _resume_optimizer(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                averages = self.optimizer.state[parameter]
                if any(averages[name].shape != parameter.shape for name in ("exp_avg", "exp_avg_sq")):
                    raise ValueError


def _copy(state: State) -> State:
    return {key: value.detach().clone() for key, value in state.items()}
