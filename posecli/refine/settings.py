"""What a refiner's training can be told, from a TOML file or from Python."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from posecli.errors import UsageError
from posecli.refine.d3prefiner import D3PRefinerConfig
from posecli.settings_file import read_settings

FITS = ("training", "held-out", "folds")


@dataclass(frozen=True)
class RefinerTraining:
    """One run. `model` goes to `D3PRefinerConfig`.

    decay: of the learning rate at every epoch, a pass over as many windows as there are (the paper's 0.96).
    ema: of the moving average of weights, which is what is measured and kept; 0 keeps the weights themselves.
    crop: frames of a window that a step looks at, from anywhere in it; 0: all. Neighbouring frames are much alike, so
        that more windows with fewer frames each teach more for the same work. Measured is on whole windows.
    init: weights of a refiner to begin with, a file or the name of shipped ones, of the same network; without, random
        ones. Their unit of error is kept.
    fit: on whose motion the refiner learns how the lifter errs; with it `make_refiner` says what the lifter's error is
        on these people and on held-out ones, so that everybody can see whether the choice was sound.
        "training": the corpus's training subjects, as lifted by the shipped lifter, which knows them. Right where it
            errs on them as it does on strangers. The DDHPose shipped with 0.1.0 does: 75.9 mm on 416 windows of them,
            77.2 on 64 of validation subjects 9 and 10 (97.0 on 128 of the third, a dancer).
        "held-out": half of the validation subjects, whom it was not trained on (its best checkpoint was chosen on them,
            which is a slight leak). They are only three: a linear correction fitted to the dancer raised the MPJPE of
            the other two by 14 to 29 %, one fitted to the training subjects changed it by -0.3 to +1.0 %.
        "folds": cross-fitted as the paper would need it, `folds` lifters trained anew, each on the others' subjects.
    windows, validation_windows: simulated ones, to fit on and to choose the best weights on.
    shares: lifter → the part of `windows` that it lifts, for those that take long.
    lifter: settings of the training of the lifter of each fold (`TrainConfig`), steps, batch and so on.
    """

    steps: int = 4000
    batch: int = 16
    learning_rate: float = 1e-3
    decay: float = 0.96
    ema: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0
    validate_every: int = 500
    crop: int = 0
    init: str = ""
    fit: str = "training"
    folds: int = 5
    windows: int = 4000
    validation_windows: int = 256
    shares: dict[str, float] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    lifter: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds: dict[str, tuple[type, ...]] = {
            "int": (int,),
            "float": (int, float),
            "dict": (dict,),
            "str": (str,),
        }
        for item in fields(self):
            value, wanted = getattr(self, item.name), kinds[str(item.type).partition("[")[0]]
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise UsageError(f"{item.name} must be of type {wanted[-1].__name__}, not {value!r}")
        counts = ("steps", "batch", "validate_every", "windows", "validation_windows")
        if min(getattr(self, name) for name in counts) < 1 or self.folds < 2:
            raise UsageError(f"{', '.join(counts)} must be at least 1, and folds at least 2")
        if not (0 < self.learning_rate < math.inf and 0 < self.decay <= 1 and self.clip_norm > 0):
            raise UsageError("learning_rate and clip_norm must be positive, and decay lie in (0, 1]")
        if not 0 <= self.ema < 1:
            raise UsageError(f"ema must lie in [0, 1), not {self.ema:g}")
        if not all(isinstance(s, int | float) and 0 < s <= 1 for s in self.shares.values()):
            raise UsageError("shares must lie in (0, 1]")
        if not 0 <= self.crop <= self.network.frames:
            raise UsageError(f"crop must lie between 0 and the network's frames, not {self.crop}")
        if self.fit not in FITS:
            raise UsageError(f"fit must be one of {', '.join(FITS)}, not {self.fit!r}")
        if not 0 <= self.seed < 2**40:
            raise UsageError(f"a seed must be a whole number from 0 to 2^40 - 1, not {self.seed}")
        _ = self.network

    @property
    def network(self) -> D3PRefinerConfig:
        """Raises UsageError where `model` is wrong."""
        try:
            return D3PRefinerConfig.from_dict({**D3PRefinerConfig().to_dict(), **self.model})
        except ValueError as error:
            raise UsageError(f"settings of d3prefiner: {error}") from None

    @classmethod
    def from_toml(cls, path: Path) -> RefinerTraining:
        """Raises InputError or UsageError where the file cannot be used."""
        return read_settings(cls, path)
