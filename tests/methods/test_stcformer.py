"""STCFormer: size of the released models, body parts, both protocols."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from posecli.methods import METHODS
from posecli.methods.stcformer import STCFormer, STCFormerConfig, body_parts
from posecli.skeleton import H36M17, MPI3DHP17

TINY = STCFormerConfig(frames=5, width=16, depth=2, heads=2)


def tiny(**changes) -> STCFormer:
    torch.manual_seed(0)
    return STCFormer(dataclasses.replace(TINY, **changes)).eval()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("width", "size"), [(256, 4_748_000), (512, 18_933_184)])
def test_parameters_of_the_released_models(width: int, size: int) -> None:
    with torch.device("meta"):
        model = STCFormer(STCFormerConfig(width=width))
    assert sum(p.numel() for p in model.parameters()) == size  # methods.md 3.2
    assert len(model.state_dict()) == 92


def test_body_parts() -> None:
    assert body_parts(H36M17) == (0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4)
    assert body_parts(MPI3DHP17) == (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 0, 0, 0)


def test_the_registry_builds_from_settings() -> None:
    model = METHODS["stcformer"].build(TINY.to_dict())
    assert model.config == TINY and model.window == 5 and not model.training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 18}, "multiple of twice heads"),
        ({"protocol": "middle"}, "protocol must be"),
        ({"stride": 3}, "needs protocol"),
        ({"protocol": "centre", "frames": 4}, "odd number of frames"),
        ({"dropout": 1.0}, "dropout must be below 1"),
    ],
)
def test_wrong_settings_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_hypotheses_are_one_and_the_same_root_relative_pose() -> None:
    x2d = torch.randn(2, 5, 17, 2, generator=seeded(1))
    poses = tiny().lift_windows(x2d, hypotheses=3, steps=7, generator=seeded(0))
    assert poses.shape == (2, 3, 5, 17, 3)
    assert torch.equal(poses[:, :1].expand_as(poses), poses) and not poses[..., 0, :].any()


def test_centre_protocol_lifts_every_frame_as_the_middle_of_its_window() -> None:
    model = tiny(protocol="centre", stride=3)
    assert model.window == 2 * 4 * 3 + 1
    x2d = torch.randn(2, model.window, 17, 2, generator=seeded(1))
    poses = model.lift_windows(x2d, hypotheses=1, steps=1, generator=seeded(0))[:, 0]
    for frame in (0, 2, 12, 24):
        around = [min(max(frame + 3 * k, 0), 24) for k in (-2, -1, 0, 1, 2)]
        with torch.no_grad():
            alone = model.predict(x2d[:, around])[:, 2]
        torch.testing.assert_close(poses[:, frame], alone - alone[:, :1], rtol=1e-4, atol=1e-5)


def test_centre_protocol_trains_on_the_window_in_the_middle() -> None:
    model = tiny(protocol="centre", stride=3).train()
    x2d, pose = (torch.randn(2, model.window, 17, c, generator=seeded(c)) for c in (2, 3))
    loss = model.loss(x2d, pose, generator=seeded(0)).total
    middle = [6, 9, 12, 15, 18]
    sequence = tiny().train()
    sequence.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        loss, sequence.loss(x2d[:, middle], pose[:, middle], generator=seeded(0)).total
    )


def test_training_lowers_the_loss_and_a_seed_repeats_it() -> None:
    x2d, pose = (torch.randn(4, 5, 17, c, generator=seeded(c)) * 0.3 for c in (2, 3))
    histories = []
    for _ in range(2):
        model, generator = tiny().train(), seeded(7)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        history = []
        for _ in range(30):
            loss = model.loss(x2d, pose, generator=generator)
            optimizer.zero_grad()
            loss.objective().backward()
            optimizer.step()
            history.append(loss.total.item())
        histories.append(history)
    assert histories[0] == histories[1]
    assert sum(histories[0][-5:]) < 0.8 * sum(histories[0][:5])
