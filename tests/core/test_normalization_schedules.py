"""Running statistics against numpy on the data they saw; schedules against their knots."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.learning.schedules import (
    at_progress,
    hyperparameters,
    interpolate,
    over,
)
from metarl_jax.policy.normalization import (
    HORIZON,
    RunningStatistics,
    identity_statistics,
    merge,
    moments,
    normalize,
)
from metarl_jax.types import Array, ConfigurationError
from support.comparisons import assert_same


def batches(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of values [4, 5, 3] with masks [4, 5], each batch around a mean of its own."""
    rng = np.random.default_rng(0)
    return [
        (
            rng.normal(rng.normal(0, 3, 3), rng.uniform(0.5, 2, 3), (4, 5, 3)).astype(np.float32),
            rng.random((4, 5)) < 0.6,
        )
        for _ in range(count)
    ]


def merged_with(statistics: RunningStatistics, values: Array, valid: Array) -> RunningStatistics:
    return merge(statistics, jax.tree.map(lambda x: x[None], moments(values, valid)))


def merged(data: list[tuple[np.ndarray, np.ndarray]]) -> RunningStatistics:
    statistics = identity_statistics((3,))
    for values, valid in data:
        statistics = merged_with(statistics, jnp.asarray(values), jnp.asarray(valid))
    return statistics


def test_statistics_equal_those_of_all_valid_values_together() -> None:
    data = batches(6)
    seen = np.concatenate([values[valid] for values, valid in data]).astype(np.float64)
    statistics = merged(data)
    np.testing.assert_allclose(statistics.mean, seen.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(statistics.variance, seen.var(0), rtol=1e-5)
    np.testing.assert_allclose(statistics.scale, seen.std(0), rtol=1e-5)
    assert float(statistics.count) == len(seen)


def test_numbers_far_from_0_keep_their_deviation() -> None:
    """From the first batch on, and whatever the parts it came in."""
    values = np.random.default_rng(2).normal(1000.0, 0.1, (50, 40)).astype(np.float32)
    valid = jnp.ones((50, 40), bool)
    whole = merged_with(identity_statistics(), jnp.asarray(values), valid)
    halves = [moments(jnp.asarray(half), valid[:, :20]) for half in np.split(values, 2, axis=1)]
    parts = merge(identity_statistics(), jax.tree.map(lambda *x: jnp.stack(x), *halves))
    expected = values.std(dtype=np.float64)
    np.testing.assert_allclose([whole.scale, parts.scale], expected, rtol=1e-3)
    np.testing.assert_allclose([whole.mean, parts.mean], values.mean(dtype=np.float64), rtol=1e-6)


def test_masked_values_count_for_nothing_exactly() -> None:
    data = batches(3)
    other = [(np.where(valid[..., None], values, 1e6), valid) for values, valid in data]
    assert_same(merged(data), merged([(np.float32(v), m) for v, m in other]))


def test_a_batch_without_a_valid_value_changes_nothing() -> None:
    """A window in which every meta-episode is over: what was learned before must not be lost."""
    before = merged(batches(3))
    nothing = jnp.zeros((4, 5), bool)
    after = merged_with(before, jnp.full((4, 5, 3), 7.0), nothing)
    assert_same(after, before)


def test_a_batch_of_few_valid_values_weighs_little() -> None:
    """N values seen and one more of 5 deviations: its weight is one in N + 1."""
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (100, 50)).astype(np.float32)
    statistics = merged_with(identity_statistics(), jnp.asarray(values), jnp.ones((100, 50), bool))
    one = jnp.zeros((100, 50), bool).at[0, 0].set(True)
    after = merged_with(statistics, jnp.full((100, 50), 5.0), one)
    expected = (values.sum(dtype=np.float64) + 5.0) / (values.size + 1)
    np.testing.assert_allclose(after.mean, expected, atol=1e-5)
    assert float(after.count) == values.size + 1


def test_the_past_fades_after_the_horizon() -> None:
    """A level seen for ever, then a jump: the new level's share is HORIZON batches' worth."""
    ones = jnp.ones((2, 2), bool)
    update = jax.jit(lambda s, level: merged_with(s, jnp.full((2, 2), level), ones))
    statistics = identity_statistics()
    for _ in range(3 * int(HORIZON)):
        statistics = update(statistics, 1.0)
    np.testing.assert_allclose(statistics.mean, 1.0, rtol=1e-5)
    np.testing.assert_allclose(statistics.variance, 0.0, atol=1e-5)
    statistics = update(statistics, 2.0)
    np.testing.assert_allclose(statistics.mean, 1.0 + 1 / (HORIZON + 1), rtol=1e-5)


def test_statistics_that_have_seen_nothing_change_nothing() -> None:
    value = jnp.array([-20.0, -0.5, 3.0])
    np.testing.assert_array_equal(normalize(identity_statistics((3,)), value), value)


def test_outliers_are_limited() -> None:
    statistics = merged(batches(2))
    far = statistics.mean + statistics.scale * jnp.array([-20.0, -0.5, 30.0])
    np.testing.assert_allclose(normalize(statistics, far), [-10.0, -0.5, 10.0], rtol=1e-5)


def test_normalize_gives_mean_0_and_deviation_1_over_any_leading_axes() -> None:
    data = batches(2)
    statistics = merged(data)
    whole = np.concatenate([values[valid] for values, valid in data])
    normal = np.asarray(normalize(statistics, jnp.asarray(whole[:, None])))[:, 0]
    np.testing.assert_allclose(normal.mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(normal.std(0), 1.0, rtol=1e-5)
    one = normalize(statistics, jnp.asarray(whole[0]))
    np.testing.assert_allclose(normal[0], one, rtol=1e-6)


def test_a_constant_stream_gives_finite_numbers() -> None:
    values, valid = jnp.full((4, 5), 3.0), jnp.ones((4, 5), bool)
    statistics = merged_with(identity_statistics(), values, valid)
    np.testing.assert_array_equal(normalize(statistics, values), 0.0)
    assert np.isfinite(normalize(statistics, values + 1)).all()


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, 1.0), (0.25, 2.0), (0.5, 3.0), (0.75, 1.5), (1.0, 0.0), (1.5, 0.0)],
)
def test_schedules_are_piecewise_linear_between_knots(progress: float, expected: float) -> None:
    value = interpolate(jnp.array([1.0, 3.0, 0.0]), jnp.float32(progress))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_one_knot_is_a_constant() -> None:
    for progress in (0.0, 0.3, 1.0):
        assert float(interpolate(jnp.array([0.7]), jnp.float32(progress))) == np.float32(0.7)


def test_hyperparameters_at_a_progress_are_float32_scalars() -> None:
    schedules = over(hyperparameters(learning_rate=[1e-2, 0.0], entropy_coefficient=0.25), 3)
    h = at_progress(schedules, jnp.float32(0.5))
    for leaf in jax.tree.leaves(h):
        assert leaf.shape == () and leaf.dtype == jnp.float32 and not leaf.weak_type
    np.testing.assert_allclose(h["learning_rate"], 5e-3, rtol=1e-6)
    np.testing.assert_allclose(h["entropy_coefficient"], 0.25, rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"discount": 1.1},
        {"gae_lambda": -0.1},
        {"boundary_discount": 2.0},
        {"entropy_coefficient": -1e-3},
        {"learning_rate": [1e-3, float("nan")]},
        {"clip_ratio": []},
        {"value_coefficient": [[0.5]]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_hyperparameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(
        ConfigurationError, match=f"{name} must be a finite number between"
    ) as error:
        hyperparameters(**wrong)
    assert repr(wrong[name]) in str(error.value)
