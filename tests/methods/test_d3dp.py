"""D3DP: size of the released model, symmetry and seeds of the sampler, training."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from posecli.diffusion import gaussian, noise
from posecli.methods import METHODS
from posecli.methods.common import mirrored
from posecli.methods.d3dp import D3DP, D3DPConfig
from posecli.skeleton import H36M17

TINY = D3DPConfig(frames=5, width=16, depth=2, heads=2)


def tiny(**changes) -> D3DP:
    torch.manual_seed(0)
    return D3DP(dataclasses.replace(TINY, **changes)).eval()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_parameters_of_the_released_model() -> None:
    with torch.device("meta"):
        model = D3DP(D3DPConfig())
    assert sum(p.numel() for p in model.parameters()) == 34_835_459  # methods.md 3.5
    assert len(model.state_dict()) == 220 - 12  # without the schedule's buffers


def test_the_registry_builds_from_settings() -> None:
    model = METHODS["d3dp"].build(TINY.to_dict())
    assert model.config == TINY and model.window == 5 and not model.training


def test_lifting_is_root_relative_and_a_seed_repeats_it() -> None:
    model, x2d = tiny(), torch.randn(2, 5, 17, 2, generator=seeded(1))
    poses = [model.lift_windows(x2d, hypotheses=3, steps=2, generator=seeded(s)) for s in (4, 4, 5)]
    assert poses[0].shape == (2, 3, 5, 17, 3) and not poses[0][..., 0, :].any()
    assert torch.equal(poses[0], poses[1]) and not torch.equal(poses[0], poses[2])


def test_mirrored_input_and_noise_give_the_mirrored_pose() -> None:
    model, x2d = tiny(), torch.randn(1, 5, 17, 2, generator=seeded(1))
    draws = [torch.randn(1, 2, 5, 17, 3, generator=seeded(i)) for i in range(3)]
    pose = model.sample(x2d, hypotheses=2, steps=3, draw=noise.recorded(draws))
    other = model.sample(
        mirrored(x2d, H36M17.mirror),
        hypotheses=2,
        steps=3,
        draw=noise.recorded([mirrored(z, H36M17.mirror) for z in draws]),
    )
    torch.testing.assert_close(other, mirrored(pose, H36M17.mirror), rtol=1e-4, atol=1e-5)


def test_a_perfect_network_is_followed_whatever_the_scale() -> None:
    """With the truth as every estimate, the states of each step lie where forward diffusion puts them."""
    truth = torch.randn(1, 1, 5, 17, 3, generator=seeded(0)).clamp(-1, 1)
    for scale in (1.0, 2.5):
        model = tiny(state_scale=scale, eta=0.0)
        model.net.forward = lambda x2d, state, t: truth  # type: ignore[method-assign]
        first = gaussian.q_sample(
            truth * scale,
            torch.tensor([999]),
            torch.randn(truth.shape, generator=seeded(1)),
            model.schedule,
        )
        zeros = torch.zeros_like(truth)
        trace: list = []
        draw = noise.recorded([first, zeros, zeros])
        pose = model.sample(
            torch.zeros(1, 5, 17, 2), hypotheses=1, steps=3, draw=draw, flip=False, trace=trace
        )
        assert torch.equal(pose, truth)
        for step in trace:
            expected = gaussian.q_sample(truth * scale, torch.tensor([step.t]), step.noise, model.schedule)
            torch.testing.assert_close(step.state, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"eta": 1.5}, "eta must lie"), ({"timesteps": 0}, "timesteps must be"), ({"clamp": 0.0}, "clamp must")],
)
def test_wrong_settings_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_training_lowers_the_loss_and_a_seed_repeats_it() -> None:
    x2d, pose = (torch.randn(4, 5, 17, c, generator=seeded(c)) * 0.3 for c in (2, 3))
    histories = []
    for _ in range(2):
        model, generator = tiny(drop_path=0.1).train(), seeded(7)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        history = []
        for _ in range(30):
            loss = model.loss(x2d, pose, generator=generator, final_share=0.5)
            optimizer.zero_grad()
            loss.objective().backward()
            optimizer.step()
            history.append(loss.total.item())
        histories.append(history)
    assert histories[0] == histories[1]
    assert sum(histories[0][-5:]) < 0.8 * sum(histories[0][:5])
