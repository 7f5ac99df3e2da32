"""Mixtures: EM against scikit-learn and against what it must never do; the diffusion against its two forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from posecli.diffusion import mixture
from posecli.diffusion.mixture import Mixture
from posecli.diffusion.schedules import cosine_schedule, from_betas


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(frames: int, count: int, dims: int, kinds: int, *, spread: float = 0.3) -> Tensor:
    """Samples (B, N, D) of well separated, correlated clusters, float64."""
    g = seeded(1)
    centres = torch.randn(frames, kinds, dims, generator=g, dtype=torch.float64)
    shear = torch.randn(frames, kinds, dims, dims, generator=g, dtype=torch.float64) * spread / dims**0.5
    kind = torch.randint(kinds, (frames, count), generator=g)
    white = torch.randn(frames, count, dims, generator=g, dtype=torch.float64)
    frame = torch.arange(frames)[:, None]
    return centres[frame, kind] + (shear[frame, kind] @ white[..., None])[..., 0]


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_em_agrees_with_scikit_learn_from_the_same_start(covariance: mixture.Covariance) -> None:
    sklearn = pytest.importorskip("sklearn.mixture")
    x = clusters(2, 1000, 6, 3)
    floor, iterations = 1e-9, 25
    first = torch.stack([frame[:3] for frame in x])
    pooled = x.var(dim=1, correction=0) if covariance == "diagonal" else torch.stack([f.T.cov() for f in x])
    factors = pooled.sqrt() if covariance == "diagonal" else torch.linalg.cholesky(pooled)
    start = Mixture(
        torch.full((2, 3), 1 / 3, dtype=torch.float64),
        first,
        factors[:, None].expand(-1, 3, *[-1] * (factors.ndim - 1)),
    )
    ours = mixture.fit(
        x, 3, generator=seeded(0), covariance=covariance, iterations=iterations, floor=floor, start=start
    ).mixture
    for b in range(2):
        theirs = sklearn.GaussianMixture(
            3,
            covariance_type="diag" if covariance == "diagonal" else "full",
            weights_init=start.weights[b].numpy(),
            means_init=first[b].numpy(),
            precisions_init=(
                1 / pooled[b].expand(3, -1)
                if covariance == "diagonal"
                else pooled[b].inverse().expand(3, -1, -1)
            ).numpy(),
            tol=0.0,
            max_iter=iterations,
            reg_covar=floor,
        )
        with pytest.warns(Warning):  # it says that tol=0 is never reached
            theirs.fit(x[b].numpy())
        for mine, other in (
            (ours.weights, theirs.weights_),
            (ours.means, theirs.means_),
            (ours.covariances, theirs.covariances_),
            (ours.log_density(x), theirs.score_samples(x[b].numpy())),
        ):
            torch.testing.assert_close(mine[b], torch.from_numpy(other), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("floor", [1e-9, 1e-2])
def test_the_likelihood_never_decreases_and_is_the_density_s(
    covariance: mixture.Covariance, floor: float
) -> None:
    x = clusters(3, 400, 4, 4)
    fit = mixture.fit(x, 5, generator=seeded(0), covariance=covariance, iterations=40, floor=floor)
    assert fit.log_likelihood.diff(dim=1).min() > -1e-8  # rounding of float64
    assert (fit.log_likelihood[:, -1] - fit.log_likelihood[:, 0] > 0.005).all()
    if floor == 1e-9:  # the objective through features is the log density through whitening
        last = fit.mixture.log_density(x).mean(dim=1)
        torch.testing.assert_close(last, fit.log_likelihood[:, -1], atol=1e-4, rtol=0)


def test_it_finds_the_mixture_that_made_the_samples() -> None:
    true = Mixture(
        torch.tensor([[0.7, 0.3]]),
        torch.tensor([[[0.0, 0.0], [4.0, 1.0]]]),
        torch.tensor([[[[1.0, 0.0], [0.5, 0.5]], [[0.3, 0.0], [0.0, 0.6]]]]),
    )
    g = seeded(2)
    x = true.sample(torch.rand(1, 20_000, generator=g), torch.randn(1, 20_000, 2, generator=g))
    found = mixture.fit(x, 2, generator=seeded(0), iterations=50).mixture
    order = found.means[0, :, 0].argsort()
    for mine, theirs in (
        (found.weights, true.weights),
        (found.means, true.means),
        (found.covariances, true.covariances),
    ):
        torch.testing.assert_close(mine[0, order], theirs[0], atol=0.04, rtol=0)
    posterior = found.components_of(x[:, :2000], torch.rand(1, 2000, generator=g))
    assert (posterior == order[1]).float().mean().item() == pytest.approx(0.3, abs=0.04)
    drawn = found.components(torch.rand(1, 20_000, generator=g))
    assert (drawn == order[1]).float().mean().item() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_samples_end_in_finite_mixtures(
    covariance: mixture.Covariance, dtype: torch.dtype
) -> None:
    g = seeded(3)
    cloud = torch.randn(50, 6, generator=g)
    cases = [
        torch.full((50, 6), 3.7),  # all equal
        cloud * torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0, 1.0]),  # no spread in two coordinates
        cloud[:, :1].expand(-1, 6),  # one line
        cloud[:2].repeat(25, 1),  # two points
        cloud * 1e-12 + 1e3,
        torch.cat([cloud[:49] * 1e-3, torch.full((1, 6), 1e4)]),  # far outlier
    ]
    x = torch.stack(cases).to(dtype)
    fit = mixture.fit(x, 5, generator=seeded(0), covariance=covariance, iterations=30)
    found = fit.mixture
    for values in (found.weights, found.means, found.factors, fit.log_likelihood, found.log_density(x)):
        assert torch.isfinite(values).all()
    torch.testing.assert_close(found.weights.sum(dim=1), torch.ones(len(x), dtype=dtype))
    few = mixture.fit(x[:, :2], 5, generator=seeded(0), covariance=covariance)
    assert torch.isfinite(few.mixture.factors).all()
    torch.testing.assert_close(found.means[0], x[0, :5], rtol=1e-5, atol=0)
    scale = found.factors[0] if covariance == "diagonal" else found.factors[0].diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(scale, torch.full_like(scale, 1e-3), rtol=0.05, atol=0)


def test_a_seed_repeats_it_and_chunks_do_not_matter() -> None:
    x = clusters(5, 300, 4, 3)
    fits = [mixture.fit(x, 3, generator=seeded(s), chunk=c).mixture for s, c in ((7, 1), (7, 5), (8, 5))]
    torch.testing.assert_close(fits[0].means, fits[1].means)
    torch.testing.assert_close(fits[0].factors, fits[1].factors)
    assert not torch.allclose(fits[1].means, fits[2].means)
    none = mixture.fit(x[:0], 3, generator=seeded(0))
    assert none.mixture.factors.shape == (0, 3, 4, 4) and none.log_likelihood.shape == (0, 12)


def test_wrong_settings_are_named() -> None:
    x = torch.zeros(1, 4, 2)
    with pytest.raises(ValueError, match="covariance must be one of diagonal, full"):
        mixture.fit(x, 1, generator=seeded(0), covariance="round")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        mixture.fit(x * math.nan, 1, generator=seeded(0))
    with pytest.raises(ValueError, match="floor"):
        mixture.fit(x, 1, generator=seeded(0), floor=0.0)


# Forward diffusion ---------------------------------------------------------------------------------------

SCHEDULE = cosine_schedule(50)


def moving(frames: int) -> Tensor:
    """Samples (B, 600, 6) of three clusters that move a little from frame to frame, float64; equal guesses."""
    x = clusters(1, 600, 6, 3).expand(frames, -1, -1)
    drift = 0.02 * torch.arange(frames, dtype=torch.float64)[:, None, None]
    return x * (1 + drift) + drift


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_frames_that_follow_a_leader_are_fitted_as_well_and_in_its_order(
    covariance: mixture.Covariance,
) -> None:
    x, leader = moving(10), torch.tensor([0, 0, 0, 0, 0, 5, 5, 5, 5, 5])
    alone = mixture.fit(x, 3, generator=seeded(0), covariance=covariance, iterations=30, floor=1e-6).mixture
    led = mixture.fit_alike(
        x, 3, leader, generator=seeded(0), covariance=covariance, iterations=30, follow=3, floor=1e-6
    )
    torch.testing.assert_close(led.log_density(x), alone.log_density(x), atol=0.02, rtol=0.01)
    assert (led.means[1:5] - led.means[:1]).norm(
        dim=-1
    ).max() < 0.6  # the same component, a frame or four later
    # A frame depends on its leader alone, and leaders on nobody.
    own = mixture.fit(x[[0, 5]], 3, generator=seeded(0), covariance=covariance, iterations=30, floor=1e-6)
    torch.testing.assert_close(led.means[[0, 5]], own.mixture.means)
    part = mixture.fit_alike(
        x[[5, 7]], 3, torch.tensor([0, 0]), generator=seeded(0), covariance=covariance, iterations=30,
        follow=3, floor=1e-6,
    )  # fmt: skip
    torch.testing.assert_close(part.means, led.means[[5, 7]])
    every = mixture.fit_alike(
        x, 3, torch.arange(10), generator=seeded(0), covariance=covariance, iterations=30, floor=1e-6
    )
    torch.testing.assert_close(every.means, alone.means)


def test_given_shares_are_where_em_begins_and_what_it_ends_with() -> None:
    x = clusters(2, 400, 4, 3)
    whole = mixture.fit(x, 3, generator=seeded(0), covariance="diagonal", iterations=8)
    first = mixture.fit(x, 3, generator=seeded(0), covariance="diagonal", iterations=5)
    again = mixture.fit(x, 3, generator=seeded(0), covariance="diagonal", iterations=3, shares=first.shares)
    torch.testing.assert_close(again.mixture.means, whole.mixture.means)
    torch.testing.assert_close(again.log_likelihood, whole.log_likelihood[:, 5:])
    torch.testing.assert_close(whole.shares.sum(dim=1), torch.ones(2, 400, dtype=torch.float64))


def two_components() -> Mixture:
    factors = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]], [[0.3, 0.0], [0.0, 0.6]]]], dtype=torch.float64)
    means = torch.tensor([[[0.0, 0.0], [4.0, 1.0]]], dtype=torch.float64)
    return Mixture(torch.tensor([[0.7, 0.3]], dtype=torch.float64), means, factors)


def test_the_stepwise_form_is_the_closed_form() -> None:
    """Mean and covariance of h_k after k steps of the supplement's equation 2, carried exactly: unit vectors for
    the noise of each step show how much of it is left in the end.
    """
    mix = two_components()
    component = torch.tensor([[1]])
    mean, root = mix.mean_of(component), mix.factors[:, 1]
    h0 = torch.tensor([[[0.2, -0.7]]], dtype=torch.float64)
    for schedule in (SCHEDULE, from_betas(torch.linspace(1e-4, 2e-3, 50, dtype=torch.float64))):
        for k in (1, 2, 17, 50):
            still = torch.zeros_like(h0)
            h, parts = h0, []
            for t in range(k):
                h = mixture.diffuse_step(h, t, mean, still, schedule)
                zero = torch.zeros_like(mean)
                parts = [mixture.diffuse_step(p, t, zero, still, schedule) for p in parts]
                parts.append(mixture.diffuse_step(zero, t, zero, torch.ones_like(h0), schedule))
            at = torch.tensor([k - 1])
            torch.testing.assert_close(h, mixture.diffuse(h0, at, mean, still, schedule))
            left = sum(float(p[0, 0, 0]) ** 2 for p in parts)  # times Σ: the covariance
            assert left == pytest.approx(1 - schedule.alpha_bar(k - 1), rel=1e-9)
            noise = mix.noise_of(component, torch.ones(1, 1, 2, dtype=torch.float64))
            torch.testing.assert_close(noise[0, 0], root[0] @ torch.ones(2, dtype=torch.float64))


def test_the_stepwise_form_drawn_at_random_has_the_closed_form_s_moments() -> None:
    mix, g, count, k = two_components(), seeded(4), 40_000, 20
    component = mix.components(torch.rand(1, count, generator=g, dtype=torch.float64))
    mean = mix.mean_of(component)
    h0 = torch.tensor([0.2, -0.7], dtype=torch.float64).expand(1, count, 2)

    def noise() -> Tensor:
        return mix.noise_of(component, torch.randn(1, count, 2, generator=g, dtype=torch.float64))

    stepped = h0
    for t in range(k):
        stepped = mixture.diffuse_step(stepped, t, mean, noise(), SCHEDULE)
    direct = mixture.diffuse(h0, torch.tensor([k - 1]), mean, noise(), SCHEDULE)
    for m in range(2):
        a, b = (x[component == m] for x in (stepped, direct))
        torch.testing.assert_close(a.mean(0), b.mean(0), atol=0.02, rtol=0)
        torch.testing.assert_close(a.T.cov(), b.T.cov(), atol=0.02, rtol=0)


def test_the_diffusion_ends_in_the_mixture() -> None:
    """Wherever it started, with a schedule whose abar_K is nothing; with the printed one it does not."""
    mix, g, count = two_components(), seeded(5), 40_000
    component = mix.components(torch.rand(1, count, generator=g, dtype=torch.float64))
    white = torch.randn(1, count, 2, generator=g, dtype=torch.float64)
    h0 = torch.tensor([30.0, -20.0], dtype=torch.float64).expand(1, count, 2)
    ends = mixture.diffuse(
        h0, torch.tensor([49]), mix.mean_of(component), mix.noise_of(component, white), SCHEDULE
    )
    x = torch.randn(1, 500, 2, generator=g, dtype=torch.float64)
    found = mixture.fit(ends, 2, generator=seeded(0), iterations=60).mixture
    torch.testing.assert_close(found.log_density(x).exp(), mix.log_density(x).exp(), atol=0.02, rtol=0)
    printed = from_betas(torch.linspace(1e-4, 2e-3, 50, dtype=torch.float64))
    assert printed.alpha_bar(49) == pytest.approx(0.948821, abs=1e-6)  # methods.md, appendix B
    still = mixture.diffuse(h0, torch.tensor([49]), mix.mean_of(component), torch.zeros_like(white), printed)
    assert still[0, 0, 0].item() == pytest.approx(0.9741 * 30, abs=0.11)
