"""Discounts and advantages against plain loops over 200 random meta-episodes, and against rlax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from metarl_jax.learning.returns import DiscountMode, discounts, generalized_advantages

NUM_STEPS, NUM_MASKS = 17, 200
MODES: tuple[DiscountMode, ...] = ("meta", "episodic", "dual")


def random_ends(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """[T, 200] random ends of episodes and of meta-episodes; a third of these lasts beyond T."""
    rng = np.random.default_rng(seed)
    density = rng.uniform(0.0, 0.8, NUM_MASKS)
    episode_end = rng.random((NUM_STEPS, NUM_MASKS)) < density
    meta_end = np.zeros_like(episode_end)
    for b in np.flatnonzero(rng.random(NUM_MASKS) < 2 / 3):
        last = rng.integers(NUM_STEPS)
        meta_end[last, b] = episode_end[last, b] = True
        episode_end[last + 1 :, b] = False  # masked steps end nothing
    return episode_end, meta_end


def random_rollout(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (NUM_STEPS, NUM_MASKS)
    return {
        "rewards": rng.normal(size=shape).astype(np.float32),
        "values": rng.normal(size=shape).astype(np.float32),
        "final_value": rng.normal(size=NUM_MASKS).astype(np.float32),
    }


def plain_discounts(mode: DiscountMode, gamma: float, across: float) -> np.ndarray:
    episode_end, meta_end = random_ends()
    result = np.zeros(episode_end.shape, np.float64)
    for t in range(NUM_STEPS):
        for b in range(NUM_MASKS):
            if meta_end[t, b]:
                result[t, b] = 0.0
            elif not episode_end[t, b]:
                result[t, b] = gamma
            else:
                result[t, b] = {"meta": gamma, "episodic": 0.0, "dual": across}[mode]
    return result


def plain_advantages(
    rewards: np.ndarray, gammas: np.ndarray, values: np.ndarray, final: np.ndarray, lam: float
) -> np.ndarray:
    """A_t = Σ_k (Π_{j<k} γ_{t+j} λ) δ_{t+k}: the sum itself, not the recursion under test."""
    following = np.concatenate([values[1:], final[None]]).astype(np.float64)
    errors = rewards + gammas * following - values
    result = np.zeros_like(errors)
    for t in range(NUM_STEPS):
        weight = np.ones(NUM_MASKS)
        for k in range(t, NUM_STEPS):
            result[t] += weight * errors[k]
            weight = weight * gammas[k] * lam
    return result


@pytest.mark.parametrize("mode", MODES)
def test_discounts_against_a_plain_loop(mode: DiscountMode) -> None:
    episode_end, meta_end = random_ends()
    actual = discounts(
        jnp.asarray(episode_end),
        jnp.asarray(meta_end),
        mode=mode,
        discount=0.9,
        boundary_discount=0.4,
    )
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, plain_discounts(mode, 0.9, 0.4), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_advantages_against_a_plain_loop(mode: DiscountMode, gae_lambda: float) -> None:
    gammas, data = plain_discounts(mode, 0.9, 0.4), random_rollout()
    expected = plain_advantages(
        data["rewards"], gammas, data["values"], data["final_value"], gae_lambda
    )
    actual = generalized_advantages(
        discounts=jnp.asarray(gammas, jnp.float32), gae_lambda=gae_lambda, **_on_device(data)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_advantages_against_rlax(mode: DiscountMode) -> None:
    gammas, data = jnp.asarray(plain_discounts(mode, 0.9, 0.4), jnp.float32), random_rollout()
    values = jnp.concatenate([data["values"], data["final_value"][None]])
    actual = generalized_advantages(discounts=gammas, gae_lambda=0.7, **_on_device(data))
    oracle = jax.vmap(
        lambda r, d, v: rlax.truncated_generalized_advantage_estimation(r, d, 0.7, v),
        in_axes=1,
        out_axes=1,
    )
    expected = oracle(jnp.asarray(data["rewards"]), gammas, values)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    returns = jax.vmap(lambda r, d, v: rlax.lambda_returns(r, d, v, 0.7), in_axes=1, out_axes=1)(
        jnp.asarray(data["rewards"]), gammas, values[1:]
    )
    np.testing.assert_allclose(actual + data["values"], returns, rtol=1e-4, atol=1e-5)


def test_without_values_and_at_lambda_1_the_advantage_is_the_discounted_return() -> None:
    rewards = jnp.array([[1.0], [2.0], [4.0], [8.0]])
    gammas = jnp.array([[0.5], [0.5], [0.0], [0.5]])  # a meta-episode ends at t = 2
    actual = generalized_advantages(rewards, gammas, jnp.zeros((4, 1)), jnp.zeros(1), 1.0)
    # t=2: 4. t=1: 2 + 4/2 = 4. t=0: 1 + 4/2 = 3. t=3 begins anew: 8.
    np.testing.assert_allclose(actual[:, 0], [3.0, 4.0, 4.0, 8.0], rtol=1e-6)


def test_nothing_after_a_meta_end_counts() -> None:
    """Neither rewards nor values of later steps, the final value included, exactly."""
    gammas, data = plain_discounts("meta", 0.9, 0.4), _on_device(random_rollout())
    _, meta_end = random_ends()
    after = np.cumsum(meta_end, axis=0) - meta_end > 0  # [T, B], strictly after the end
    ended = meta_end.any(0)
    other = {
        "rewards": jnp.where(after, 100.0, data["rewards"]),
        "values": jnp.where(after, -100.0, data["values"]),
        "final_value": jnp.where(ended, 1e3, data["final_value"]),
    }
    first, second = (
        np.asarray(
            generalized_advantages(
                discounts=jnp.asarray(gammas, jnp.float32), gae_lambda=0.7, **arguments
            )
        )
        for arguments in (data, other)
    )
    assert ended.sum() > 50 and after.sum() > 100
    np.testing.assert_array_equal(first[~after], second[~after])


def test_the_final_value_counts_where_the_meta_episode_goes_on() -> None:
    ones = jnp.ones((2, 1))
    actual = generalized_advantages(ones, 0.5 * ones, 0 * ones, jnp.array([8.0]), 1.0)
    # t=1: 1 + 8/2 = 5. t=0: 1 + 5/2 = 3.5.
    np.testing.assert_allclose(actual[:, 0], [3.5, 5.0], rtol=1e-6)


def test_wrong_ranks_are_refused() -> None:
    flat = jnp.ones(4)
    with pytest.raises(AssertionError, match="rank"):
        generalized_advantages(flat, flat, flat, jnp.ones(()), 0.9)


def _on_device(data: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in data.items()}
