"""All that a run is, at one step: kept in a file, so that a run which was killed goes on as if nothing had happened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        with atomic_write(self.path) as temporary:
            torch.save(state, temporary)

    def resume(self) -> None:
        """Go on from the checkpoint if there is one. Raises InputError where it is damaged, UsageError where it is
        another run's."""
        if not self.path.exists():
            return
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            settings, motion = state["settings"], state["motion"]
        except Exception:  # a damaged file makes the unpickler raise whatever it stumbles over
            raise InputError(f"{self.path} is damaged; delete it to start the run again") from None
        if settings != self.settings or motion != self.motion:
            what = "settings" if settings != self.settings else "motion"
            raise UsageError(f"{self.path} is of a run with other {what}; choose another folder or delete it")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.best_score = state["step"], state["best_score"]
            self.spent_s, self.waited_s = state["spent_s"], state["waited_s"]
            for own, saved in ((self.ema, state["ema"]), (self.best, state["best"])):
                for key, value in own.items():
                    value.copy_(saved[key])
        except (RuntimeError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self.path} is of a run with another network; choose another folder or delete it"
            ) from None


def _copy(state: State) -> State:
    return {key: value.detach().clone() for key, value in state.items()}
