"""A lifter ready for use, from its name and its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from posecli.detect.clouds import JointClouds
from posecli.detect.heatmaps import Heatmaps
from posecli.detect.keypoints import Keypoints2D
from posecli.errors import InputError, UsageError
from posecli.lifting import LiftConfig, lift_keypoints
from posecli.machine import choose_device
from posecli.methods import METHODS
from posecli.methods.base import HeatmapLifter, chosen_steps, usual_hypotheses
from posecli.motion import Motion
from posecli.refine.apply import Refiner
from posecli.refine.choose import MadeBy, choose_refiner
from posecli.uncertainty import Uncertainty
from posecli.weights import store
from posecli.weights.format import load_weights


class Lifting:
    """A lifter with its weights on its device, and what is to be recorded of it. refiner: of what it lifted, if any.

    hypotheses, steps: as many as are taken, the method's own number where the config leaves that open.
    method: None for that of the weights, or the usual one where there are none either.

    Raises UsageError or InputError where method, weights, device and settings do not go together.
    """

    def __init__(
        self, method: str | None, weights: str | Path | None, device: str, config: LiftConfig
    ) -> None:
        if method is not None and method not in METHODS:
            raise UsageError(f"unknown method {method!r}; one of: {', '.join(METHODS)}")
        path = store.find(method, weights)
        found, self.model, metadata = load_weights(path, choose_device(device))
        if found not in METHODS:
            raise UsageError(f"{path} refines what a lifter made; use `posecli refine`")
        if method not in (None, found):
            raise UsageError(f"{path} are weights of {found}, not of {method}; use --method {found}")
        self.hypotheses = config.hypotheses or usual_hypotheses(self.model)
        self.steps = chosen_steps(found, self.model, config.steps)
        try:
            self.rate_hz = float(metadata.get("rate_hz", 30.0))
            self.size_exponent = float(metadata.get("size_exponent", 0.0))
            self.uncertainty = Uncertainty.from_metadata(metadata)
        except (TypeError, ValueError, InputError):
            raise InputError(f"{path}: its header is damaged; fetch the file again") from None
        self.config, self._path = replace(config, hypotheses=self.hypotheses, steps=self.steps), path
        self.refiner: Refiner | None = None
        self._other_input = metadata.get("input")
        self.record: dict[str, Any] = {
            "method": found,
            "weights": path.name,
            "weights_hash": store.sha256(path),
            "rate_hz": self.rate_hz,
            **asdict(self.config),
        }

    @classmethod
    def of_videos(
        cls,
        method: str | None,
        weights: str | Path | None,
        device: str,
        config: LiftConfig,
        refine: str | None = None,
    ) -> Lifting:
        """The same, for what is seen in videos. refine: what refines the result (`posecli.refine.choose`). Raises
        InputError for weights of a paper too, which want its screen coordinates: before minutes of detection."""
        lifting = cls(method, weights, device, config)
        lifting._refuse_screen_coordinates()
        lifting.record["refine"] = None
        if refine is not None:
            lifting.refiner = choose_refiner(refine, made_by=MadeBy.of(lifting.record), device=device)
            lifting.record["refine"] = dict(lifting.refiner.record)
        return lifting

    def clouds(self, keypoints: Keypoints2D, heatmaps: Heatmaps | None) -> JointClouds | None:
        """Where the joints may be, if the method starts from that."""
        wants = isinstance(self.model, HeatmapLifter) and self.model.cloud_size > 0
        return JointClouds(keypoints, heatmaps) if wants else None

    def __call__(
        self,
        keypoints: Keypoints2D,
        progress: Callable[[int, int], None] | None = None,
        clouds: JointClouds | None = None,
    ) -> Motion:
        """Lift one clip's keypoints; progress is called with (windows done, windows in all). clouds: from `clouds`,
        else made from the keypoints' scores alone. Raises InputError for weights of a paper, which want its screen
        coordinates and not what a camera turned to the person sees."""
        self._refuse_screen_coordinates()
        return lift_keypoints(
            keypoints,
            self.model,
            self.config,
            rate=self.rate_hz,
            size_exponent=self.size_exponent,
            uncertainty=self.uncertainty,
            clouds=clouds or self.clouds(keypoints, None),
            progress=progress,
        )

    def _refuse_screen_coordinates(self) -> None:
        if self._other_input is not None:
            raise InputError(
                f"{self._path} was trained on a data set's own screen coordinates ({self._other_input}), which a video "
                "does not give. Use posecli's weights; these are for `posecli bench h36m`"
            )
