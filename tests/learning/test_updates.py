"""Updates one after another: what is kept, what is new, and what a NaN may do."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarl_jax.learning.algorithms import a2c, a2c_objective, ppo, reinforce
from metarl_jax.learning.losses import Loss, Targets, as_loss
from metarl_jax.learning.schedules import Hyperparameters, hyperparameters, over
from metarl_jax.learning.train_state import (
    Algorithm,
    TrainState,
    UpdateConfig,
    initial_shapes,
)
from metarl_jax.memory import Memory, MemoryInput, unroll_by_steps
from metarl_jax.policy.policy import PolicyOutput
from metarl_jax.rollout import Rollout
from metarl_jax.types import Array, PyTree
from support.comparisons import assert_same, relative_error
from support.probes import counter, small_policy
from support.random_inputs import random_state
from support.updates_seen import applied_gradient, remembering

TASKS = counter(ends_early=True, num_episodes=2)
CONFIG = UpdateConfig(num_tasks=8, normalize_observations=True)
SCHEDULES = hyperparameters(learning_rate=[1e-2, 1e-3], entropy_coefficient=[0.2, 0.0])
FIRST_CARRY = 0.25


def fading() -> Memory:
    """A memory whose initial carry is not 0: y is an average of what it read, fading."""

    def step(params: PyTree, carry: Array, x: MemoryInput) -> tuple[Array, Array]:
        carry = 0.8 * carry + params * (x.transition + x.observation)
        return carry, carry

    return Memory(
        "fading",
        lambda key, x: jax.random.uniform(key),
        lambda key: jnp.full((8,), FIRST_CARRY, jnp.float32),
        step,
        unroll_by_steps(step),
    )


def carry_before(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
    """How far the carry is from the initial one at the first step; 0 at all others."""
    del targets
    first = jnp.arange(rollout.value.shape[0]) == 0
    return jnp.where(first[:, None], _distance(outputs), 0.0)


def carry_later(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
    """The same at every step."""
    del rollout, targets
    return _distance(outputs)


def _distance(outputs: PolicyOutput) -> Array:
    features: Any = outputs.features
    return jnp.sum(jnp.abs(features["before"] - FIRST_CARRY), axis=-1)


def tasks_met(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
    """A number that tells which tasks a batch is made of."""
    del outputs, targets
    return jnp.square(rollout.experience.observation[..., 0])


def objective(h: Hyperparameters) -> Loss:
    """A2C's, and measurements that weigh nothing."""

    def coefficient(outputs: PolicyOutput, *rest: Any) -> Array:
        return jnp.full_like(outputs.value, h["entropy_coefficient"])

    def learning_rate(outputs: PolicyOutput, *rest: Any) -> Array:
        return jnp.full_like(outputs.value, h["learning_rate"])

    measured = as_loss(carry_before) + carry_later + tasks_met + coefficient + learning_rate
    return a2c_objective(h) + 0.0 * measured


class Compiled(NamedTuple):
    """An algorithm and its compiled update."""

    algorithm: Algorithm
    update: Any

    def fresh(self, seed: int = 0, h: Hyperparameters = SCHEDULES) -> TrainState:
        """A state before its first update, with the shapes and schedules of the compiled one."""
        return random_state(self.algorithm, h, seed)


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    policy = remembering(small_policy(TASKS, fading()))
    algorithm = a2c(TASKS, policy, SCHEDULES, CONFIG, objective=objective)
    return Compiled(algorithm, jax.jit(algorithm.update))


def test_init_and_three_updates_compile_one_update(compiled: Compiled) -> None:
    state = compiled.algorithm.init(jax.random.key(0), 3)
    weak = lambda x: getattr(x, "weak_type", False)
    form = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, weak(x)), tree)
    assert form(state) == form(jax.eval_shape(compiled.algorithm.update, state)[0])
    for _ in range(3):
        state, metrics = compiled.update(state)
    assert compiled.update._cache_size() == 1
    assert all(x.shape == () and x.dtype == jnp.float32 for x in metrics.values())
    assert int(state.update) == 3 and int(state.skipped) == 0


def test_init_is_of_its_key_alone_and_has_seen_nothing(compiled: Compiled) -> None:
    first, again, other = (compiled.algorithm.init(jax.random.key(seed), 3) for seed in (0, 0, 1))
    assert_same(first, again)
    weights = lambda state: jax.tree.leaves(state.learner.params.weights)
    assert all(
        np.any(a != b) for a, b in zip(weights(first), weights(other), strict=True) if a.any()
    )
    statistics = first.learner.params.statistics
    for seen in (statistics.observation, statistics.reward, statistics.value_target):
        assert not seen.mean.any() and np.all(seen.variance == 1) and float(seen.count) == 0


@pytest.mark.parametrize("make", [reinforce, ppo])
def test_the_state_keeps_its_form(make: Any) -> None:
    """Traced alone: shapes, dtypes and weak types, for the other algorithms."""
    algorithm = make(TASKS, small_policy(TASKS), SCHEDULES, CONFIG)
    state = initial_shapes(algorithm, jax.random.key(0), 3)
    after, _ = jax.eval_shape(algorithm.update, state)
    form = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    assert form(after) == form(state)


def test_each_update_meets_new_tasks_and_the_same_state_the_same(compiled: Compiled) -> None:
    state = compiled.fresh()
    first = compiled.update(state)
    assert_same(compiled.update(compiled.fresh()), first)
    met = {float(first[1]["tasks_met"])}
    state = first[0]
    for _ in range(2):
        state, metrics = compiled.update(state)
        met.add(float(metrics["tasks_met"]))
    assert len(met) == 3


def test_every_meta_episode_starts_from_the_initial_carry(compiled: Compiled) -> None:
    """Whatever came before, exactly."""
    state = compiled.fresh()
    for _ in range(2):
        state, metrics = compiled.update(state)
        assert float(metrics["carry_before"]) == 0
        assert float(metrics["carry_later"]) > 0.1


def test_schedules_run_from_the_first_update_to_the_last(compiled: Compiled) -> None:
    state = compiled.fresh()
    seen = []
    for _ in range(4):
        state, metrics = compiled.update(state)
        seen.append([float(metrics["coefficient"]), float(metrics["learning_rate"])])
    expected = [[0.2, 1e-2], [0.1, 5.5e-3], [0.0, 1e-3], [0.0, 1e-3]]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def test_one_step_of_adam(compiled: Compiled) -> None:
    """From rest, w - η g/(|g| + ε) with the clipped g, whose norm was logged before clipping."""
    free = SCHEDULES.replace(max_gradient_norm=jnp.array([1e9]))
    tight = SCHEDULES.replace(max_gradient_norm=jnp.array([0.01]))
    before = compiled.fresh(h=tight)
    after, metrics = compiled.update(before)
    raw = applied_gradient(compiled.update(compiled.fresh(h=free))[0])
    norm = float(optax.tree.norm(raw))
    assert norm > 0.1
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-5)
    clipped = applied_gradient(after)
    assert relative_error(clipped, jax.tree.map(lambda g: g * 0.01 / norm, raw)) < 1e-5
    expected = jax.tree.map(
        lambda w, g: w - 1e-2 * g / (jnp.abs(g) + 1e-5),
        before.learner.params.weights,
        clipped[0],
    )
    assert relative_error(after.learner.params.weights, expected) < 1e-5


@pytest.mark.parametrize(
    "poison",
    [{"entropy_coefficient": jnp.nan}, {"discount": jnp.nan}, {"value_coefficient": jnp.inf}],
    ids=lambda poison: next(iter(poison)),
)
def test_an_update_that_is_not_finite_changes_nothing_and_is_counted(
    compiled: Compiled, poison: dict[str, float]
) -> None:
    """Neither weights nor optimiser nor statistics, bit for bit; the run goes on behind it."""
    poisoned = SCHEDULES.replace(
        **{
            name: jnp.full(SCHEDULES[name].shape, value, jnp.float32)
            for name, value in poison.items()
        }
    )
    sound, _ = compiled.update(compiled.fresh())
    state = sound
    for in_a_row in (1, 2):
        state, metrics = compiled.update(state.replace(hyperparameters=poisoned))
        assert_same(state.learner, sound.learner)
        assert int(state.skipped) == int(state.skipped_in_a_row) == in_a_row
        assert float(metrics["skipped_in_a_row"]) == float(metrics["skipped"]) == in_a_row
    assert int(state.update) == 3
    assert np.any(jax.random.key_data(state.key) != jax.random.key_data(sound.key))
    state, metrics = compiled.update(state.replace(hyperparameters=over(SCHEDULES, 3)))
    assert (int(state.skipped), int(state.skipped_in_a_row)) == (2, 0)
    assert float(metrics["skipped_in_a_row"]) == 0
    moved = zip(
        jax.tree.leaves(state.learner.params),
        jax.tree.leaves(sound.learner.params),
        strict=True,
    )
    assert all(np.any(a != b) for a, b in moved)


def test_vmap_over_hyperparameters_equals_separate_runs(compiled: Compiled) -> None:
    def fresh(seed: int, rate: float, discount: float) -> TrainState:
        h = SCHEDULES.replace(learning_rate=jnp.array([rate] * 2), discount=jnp.array([discount]))
        return compiled.fresh(seed, h)

    runs = [(0, 1e-2, 0.9), (1, 1e-3, 0.5)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(fresh(*run) for run in runs))
    swept = jax.jit(jax.vmap(compiled.algorithm.update))
    # Of keys that were split under vmap the check believes that each use consumes them all.
    with jax.debug_key_reuse(False):
        for _ in range(2):
            together, _ = swept(together)
    apart = []
    for run in runs:
        state = fresh(*run)
        for _ in range(2):
            state, _ = compiled.update(state)
        apart.append(state.learner)
    first, second = (jax.tree.leaves(learner.params.weights) for learner in apart)
    assert all(np.any(a != b) for a, b in zip(first, second, strict=True))
    expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *apart)
    assert relative_error(together.learner, expected) < 1e-5
