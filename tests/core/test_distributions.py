"""Action distributions against scipy and against their own samples."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats

from metarl_jax import Adaptive, Architecture, ConfigurationError
from metarl_jax.policy.distributions import (
    LARGEST_LOG_STD,
    LEAST_LOG_STD,
    Categorical,
    DiagonalGaussian,
    bounded_log_std,
)

LOGITS = np.random.default_rng(0).normal(0.0, 2.0, (4, 3, 5)).astype(np.float32)
MEAN = np.random.default_rng(1).normal(0.0, 1.0, (4, 3, 2)).astype(np.float32)
LOG_STD = np.random.default_rng(2).normal(-0.5, 0.5, (4, 3, 2)).astype(np.float32)
NUM_SAMPLES = 20_000


def test_categorical_log_prob_and_entropy() -> None:
    probabilities = scipy.special.softmax(LOGITS.astype(np.float64), axis=-1)
    actions = np.random.default_rng(3).integers(0, 5, (4, 3)).astype(np.int32)
    expected = np.log(np.take_along_axis(probabilities, actions[..., None], axis=-1))[..., 0]
    distribution = Categorical(jnp.asarray(LOGITS))
    np.testing.assert_allclose(distribution.log_prob(jnp.asarray(actions)), expected, rtol=1e-5)
    entropy = scipy.stats.entropy(probabilities, axis=-1)
    np.testing.assert_allclose(distribution.entropy(), entropy, rtol=1e-5)


def test_categorical_does_not_overflow() -> None:
    distribution = Categorical(jnp.array([1e4, 0.0, -1e4]))
    np.testing.assert_array_equal(distribution.log_prob(jnp.asarray(0)), 0.0)
    np.testing.assert_array_equal(distribution.log_prob(jnp.asarray(2)), -2e4)
    np.testing.assert_array_equal(distribution.entropy(), 0.0)
    gradient = jax.grad(lambda logits: Categorical(logits).entropy())(distribution.logits)
    assert np.all(np.isfinite(gradient))


def test_categorical_samples_follow_the_probabilities_of_each_row() -> None:
    distribution = Categorical(jnp.asarray(LOGITS))
    keys = jax.random.split(jax.random.key(0), NUM_SAMPLES)
    samples = np.asarray(jax.jit(jax.vmap(distribution.sample))(keys))
    assert samples.dtype == np.int32 and samples.shape == (NUM_SAMPLES, 4, 3)
    frequencies = np.mean(samples[..., None] == np.arange(5), axis=0)
    # Five standard errors of a frequency near 1/2; 60 frequencies are compared.
    np.testing.assert_allclose(
        frequencies, scipy.special.softmax(LOGITS, axis=-1), atol=5 * 0.5 / NUM_SAMPLES**0.5
    )
    neighbours = np.corrcoef(samples[:, 0, 0], samples[:, 0, 1])[0, 1]
    assert abs(neighbours) < 5 / NUM_SAMPLES**0.5, "two rows of a batch share their noise"


def test_categorical_mode() -> None:
    mode = Categorical(jnp.asarray(LOGITS)).mode()
    assert mode.dtype == jnp.int32
    np.testing.assert_array_equal(mode, np.argmax(LOGITS, axis=-1))


def test_gaussian_log_prob_and_entropy() -> None:
    actions = np.random.default_rng(4).normal(0.0, 2.0, MEAN.shape).astype(np.float32)
    reference = scipy.stats.norm(MEAN.astype(np.float64), np.exp(LOG_STD.astype(np.float64)))
    distribution = DiagonalGaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD))
    np.testing.assert_allclose(
        distribution.log_prob(jnp.asarray(actions)), reference.logpdf(actions).sum(-1), rtol=2e-5
    )
    np.testing.assert_allclose(
        distribution.entropy(), reference.entropy().sum(-1), rtol=1e-5, atol=1e-6
    )


def test_gaussian_samples_follow_mean_and_deviation_of_each_row() -> None:
    distribution = DiagonalGaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD))
    keys = jax.random.split(jax.random.key(1), NUM_SAMPLES)
    samples = np.asarray(jax.jit(jax.vmap(distribution.sample))(keys), np.float64)
    z = (samples - MEAN) / np.exp(LOG_STD)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=5 / NUM_SAMPLES**0.5)
    np.testing.assert_allclose(z.std(0), 1.0, atol=5 / (2 * NUM_SAMPLES) ** 0.5)
    correlations = np.corrcoef(z.reshape(NUM_SAMPLES, -1).T) - np.eye(z[0].size)
    np.testing.assert_allclose(correlations, 0.0, atol=5 / NUM_SAMPLES**0.5)
    np.testing.assert_array_equal(distribution.mode(), MEAN)


@pytest.mark.parametrize(
    ("distribution", "action"),
    [
        (Categorical(jnp.asarray(LOGITS)), jnp.ones((4, 3), jnp.int32)),
        (DiagonalGaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD)), jnp.ones((4, 3, 2))),
    ],
    ids=["categorical", "gaussian"],
)
def test_every_method_keeps_the_leading_axes(
    distribution: Categorical | DiagonalGaussian, action: jax.Array
) -> None:
    row = jax.tree.map(lambda x: x[2, 1], distribution)
    for whole, part in [
        (distribution.log_prob(action), row.log_prob(action[2, 1])),
        (distribution.entropy(), row.entropy()),
        (distribution.mode(), row.mode()),
    ]:
        assert whole.shape[:2] == (4, 3)
        np.testing.assert_allclose(whole[2, 1], part, rtol=1e-6)
    assert distribution.sample(jax.random.key(0)).shape == action.shape


def pushed(parameter: jax.Array, sign: float, num_steps: int) -> jax.Array:
    """After so many steps of Adam on the entropy of a Gaussian, times a sign: an entropy bonus."""
    optimizer = optax.adam(1e-2)

    def loss(parameter: jax.Array) -> jax.Array:
        log_std = bounded_log_std(parameter)
        return -sign * jnp.sum(DiagonalGaussian(jnp.zeros_like(log_std), log_std).entropy())

    def step(carry: tuple, _: None) -> tuple:
        parameter, state = carry
        updates, state = optimizer.update(jax.grad(loss)(parameter), state)
        return (optax.apply_updates(parameter, updates), state), None

    return jax.lax.scan(step, (parameter, optimizer.init(parameter)), None, num_steps)[0][0]


@pytest.mark.parametrize(("sign", "bound"), [(1.0, LARGEST_LOG_STD), (-1.0, LEAST_LOG_STD)])
def test_a_deviation_stays_within_its_bounds_and_comes_back(sign: float, bound: float) -> None:
    """After 4,000 updates under an entropy bonus log σ was 60, and no gradient brought it back."""
    there = jax.jit(lambda x: pushed(x, sign, 4_000))(jnp.full((2,), -0.5, jnp.float32))
    np.testing.assert_array_equal(bounded_log_std(there), bound)
    np.testing.assert_allclose(there, bound, atol=0.2)
    back = jax.jit(lambda x: pushed(x, -sign, 100))(there)
    assert np.all(sign * (bound - np.asarray(bounded_log_std(back))) > 0.5)


def test_within_the_bounds_nothing_is_changed() -> None:
    inside = jnp.asarray([LEAST_LOG_STD + 1e-3, -0.5, -0.0, LARGEST_LOG_STD - 1e-3], jnp.float32)
    weights = jnp.asarray([3.0, -2.0, 0.5, -1e9], jnp.float32)
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(weights * bounded_log_std(x)))(inside)
    np.testing.assert_array_equal(value, jnp.sum(weights * inside))
    np.testing.assert_array_equal(gradient, weights)
    assert np.asarray(bounded_log_std(inside)).tobytes() == np.asarray(inside).tobytes()


@pytest.mark.parametrize("value", [-11.0, 2.5])
def test_a_first_deviation_beyond_the_bounds_is_refused(value: float) -> None:
    with pytest.raises(ConfigurationError, match="initial_log_std must be .* from -10 to 2"):
        Architecture(initial_log_std=value)
    with pytest.raises(ConfigurationError, match="initial_log_std"):
        Adaptive(initial_log_std=value).architecture  # noqa: B018
