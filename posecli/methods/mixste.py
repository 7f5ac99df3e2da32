"""MixSTE: a window of 2D joints straight to 3D (Zhang et al., CVPR 2022), as released."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posecli.methods.common import Losses, both_ways, check_windows, dropout_source, flip_averaged
from posecli.methods.settings import MixSTESettings
from posecli.nets.mixste import MixSTENet
from posecli.skeleton import SKELETONS, Skeleton

_WEIGHTS = {
    "Knee": 2.5,
    "Ankle": 2.5,
    "Shoulder": 1.5,
    "Elbow": 4.0,
    "Wrist": 4.0,
    "Head": 1.5,
    "Head top": 1.5,
}


def joint_weights(skeleton: Skeleton) -> tuple[float, ...]:
    """Weights of the joints in training: the further out a joint, the more it counts. Those of Human3.6M-17 are the
    released ones; other skeletons get the same by the joints' names.
    """
    sided = set(skeleton.left) | set(skeleton.right)
    names = (name[1:] if j in sided else name for j, name in enumerate(skeleton.joint_names))
    return tuple(_WEIGHTS.get(name, 1.0) for name in names)


@dataclass(frozen=True)
class MixSTEConfig(MixSTESettings):
    """Everything that builds the network, and the weights of its losses. Defaults are the released model's.

    smoothness_weight: of the squared velocity of the prediction. velocity_weight: of the error of the velocity.
    """

    weighted_joints: bool = True  # `joint_weights` in position and smoothness
    smoothness_weight: float = 0.5
    velocity_weight: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.weighted_joints, bool):
            raise ValueError(f"weighted_joints must be true or false, got {self.weighted_joints!r}")
        self.check_not_negative("smoothness_weight", "velocity_weight")


@dataclass(frozen=True)
class MotionLosses(Losses):
    """The terms as released; in the poses' units per frame (metres: position and velocity m, smoothness m²)."""

    position: Tensor
    smoothness: Tensor
    velocity: Tensor


class MixSTE(nn.Module):
    """The method: network, losses, flip-averaged lifting. All poses in metres."""

    weights: Tensor

    def __init__(self, config: MixSTEConfig) -> None:
        super().__init__()
        self.config = config
        self.skeleton: Skeleton = SKELETONS[config.skeleton]
        joints = self.skeleton.num_joints
        self.net = MixSTENet(
            joints=joints,
            frames=config.frames,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            drop_path=config.drop_path,
        )
        weights = torch.tensor(joint_weights(self.skeleton)) if config.weighted_joints else torch.ones(joints)
        self.register_buffer("weights", weights, persistent=False)

    @property
    def window(self) -> int:
        return self.config.frames

    def loss(
        self, x2d: Tensor, pose: Tensor, *, generator: torch.Generator, final_share: float = 0.0
    ) -> MotionLosses:
        """One training pass: x2d (B, T, J, 2), true pose (B, T, J, 3) in metres with the root at zero.

        generator: draws DropPath, where it lives on the device of the pose. final_share: of diffusion, ignored.
        """
        prediction = self.net(x2d, generator=dropout_source(generator, pose))[:, 0]
        return self.losses(prediction, pose)

    def losses(self, prediction: Tensor, pose: Tensor) -> MotionLosses:
        """Losses of poses (B, T, J, 3) as the released loop computes them.

        Position: mean of weight · joint distance. Smoothness: mean, over coordinates too, of weight · squared step
        of the prediction from frame to frame (it needs no truth). Velocity: mean distance of the predicted step
        from the true one, joints alike. The last two are zero for a window of one frame.
        """
        distance = torch.linalg.vector_norm(prediction - pose, dim=-1)
        position = (self.weights * distance).mean()
        smoothness = velocity = torch.zeros_like(position)
        if prediction.shape[1] > 1:
            step, true_step = prediction.diff(dim=1), pose.diff(dim=1)
            smoothness = (self.weights[:, None] * step.square()).mean()
            velocity = torch.linalg.vector_norm(step - true_step, dim=-1).mean()
        weigh = self.config
        total = position + weigh.smoothness_weight * smoothness + weigh.velocity_weight * velocity
        return MotionLosses(total, position, smoothness, velocity)

    @torch.no_grad()
    def lift_windows(self, x2d: Tensor, *, hypotheses: int, steps: int, generator: torch.Generator) -> Tensor:
        """See `methods.base.Lifter`. Nothing is random: all hypotheses are the same pose, so the spread of a result
        is that of the calibration alone; steps and generator are not used.
        """
        pose = self.predict(x2d)
        pose = pose - pose[..., self.skeleton.root, None, :]
        return pose[:, None].expand(-1, hypotheses, -1, -1, -1)

    def predict(self, x2d: Tensor) -> Tensor:
        """x2d (B, T, J, 2) → pose (B, T, J, 3), metres, the mean of the pass and the mirrored pass; the root is
        not zeroed, as released."""
        check_windows(x2d, self.window, self.skeleton.num_joints)
        mirror = self.skeleton.mirror
        both: Tensor = self.net(both_ways(x2d, mirror))[:, 0]
        return flip_averaged(both, mirror)
