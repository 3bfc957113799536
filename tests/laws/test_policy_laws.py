"""What every policy must obey, on discrete and on continuous actions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.memory import gru, unroll_by_steps
from metarl_jax.meta_episode import MetaEpisode
from metarl_jax.policy import (
    Architecture,
    Policy,
    contextual_policy,
    memoryless_policy,
    recurrent_policy,
)
from metarl_jax.rollout import Rollout, collect, start, task_keys
from metarl_jax.tasks import TaskDistribution
from metarl_jax.types import Array, Experience, PyTree

from probes import assert_same, counter, perturbed, relative_error, revealed_target

NUM_TASKS = 3
ARCHITECTURE = Architecture(embedding_size=6, head_sizes=(5,))
FAMILIES = {
    "discrete": counter(ends_early=True),
    "continuous": revealed_target(episode_length=2),
}


class Case(NamedTuple):
    """A policy with lively weights, and what it read in three tasks."""

    policy: Policy
    params: PyTree
    carry: PyTree  # [B, ...] initial
    rollout: Rollout  # [T, B]

    @property
    def experience(self) -> Experience:
        return self.rollout.experience


def policies(tasks: TaskDistribution) -> dict[str, Policy]:
    return {
        "recurrent": recurrent_policy(tasks, gru(7), ARCHITECTURE),
        "contextual": contextual_policy(tasks, gru(7), ARCHITECTURE),
        "memoryless": memoryless_policy(tasks, ARCHITECTURE),
    }


@pytest.fixture(autouse=True)
def exact_products() -> Any:
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> TaskDistribution:
    return FAMILIES[request.param]


@pytest.fixture(scope="module", params=["recurrent", "contextual", "memoryless"])
def case(request: pytest.FixtureRequest, family: TaskDistribution) -> Case:
    policy = policies(family)[request.param]
    return make(policy, family)


def make(policy: Policy, tasks: TaskDistribution) -> Case:
    @jax.jit
    def roll_out() -> Any:
        init_key, noise_key, tasks_key, actors_key = jax.random.split(jax.random.key(0), 4)
        params = policy.init(init_key)
        params = params.replace(weights=perturbed(params.weights, noise_key))
        meta_episode = MetaEpisode(tasks, policy.contextual)
        batch = jax.vmap(tasks.sample)(task_keys(tasks_key, NUM_TASKS))
        actors = start(policy, meta_episode, batch, task_keys(actors_key, NUM_TASKS))
        _, rollout, _ = collect(policy, params, meta_episode, actors)
        return params, actors.carry, rollout

    return Case(policy, *roll_out())


def squares(tree: PyTree) -> Array:
    """A scalar that reads every entry, each with a weight of its own."""
    total = jnp.zeros(())
    for leaf in jax.tree.leaves(tree):
        weights = jnp.cos(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape)
        total += jnp.sum(weights * jnp.square(leaf))
    return total


def test_unroll_equals_steps_in_outputs_carry_and_gradients(case: Case) -> None:
    def run(unroll: Any) -> Any:
        def scalar(weights: PyTree) -> tuple[Array, Any]:
            result = unroll(case.params.replace(weights=weights), case.carry, case.experience)
            return squares(result), result

        return jax.jit(jax.value_and_grad(scalar, has_aux=True))(case.params.weights)

    (_, outputs), gradient = run(case.policy.unroll)
    (_, stepped), stepped_gradient = run(unroll_by_steps(case.policy.step))
    assert relative_error(outputs, stepped) < 1e-5
    assert relative_error(gradient, stepped_gradient) < 1e-5
    moved = [np.any(leaf) for leaf in jax.tree.leaves(gradient)]
    embedding_of_transitions = 2 if case.policy.name == "memoryless" else 0
    assert moved.count(False) == embedding_of_transitions, "a weight that nothing depends on"


def test_outputs_depend_on_no_later_experience_exactly(case: Case) -> None:
    """By the Jacobian with respect to all that is real in the experience of one task."""
    one = jax.tree.map(lambda x: x[:, 0], case.experience)
    carry = jax.tree.map(lambda x: x[0], case.carry)
    real = (one.observation, one.transition.reward, one.transition.final_observation)

    def outputs(real: tuple[Array, Array, Array]) -> Array:
        observation, reward, final_observation = real
        transition = one.transition.replace(reward=reward, final_observation=final_observation)
        experience = one.replace(observation=observation, transition=transition)
        _, output = case.policy.unroll(case.params, carry, experience)
        return jnp.concatenate(
            [jax.tree.leaves(output.action_distribution)[0], output.value[:, None]], axis=1
        )

    for part in jax.jit(jax.jacrev(outputs))(real):  # [T, n + 1, T', ...]
        size = np.abs(np.asarray(part)).reshape(*part.shape[:3], -1).sum(axis=(1, 3))
        np.testing.assert_array_equal(np.triu(size, 1), 0.0)
    if case.policy.name != "memoryless":
        assert np.all(size[np.tril_indices_from(size)] > 0), "the past is not remembered"


def test_a_batch_is_its_rows(case: Case) -> None:
    """Leading axes, vmap and a loop are one."""
    x = jax.tree.map(lambda x: x[2], case.experience)
    step = jax.jit(case.policy.step)
    batched = step(case.params, case.carry, x)
    mapped = jax.jit(jax.vmap(case.policy.step, in_axes=(None, 0, 0)))(case.params, case.carry, x)
    rows = [
        step(case.params, *jax.tree.map(lambda x, i=i: x[i], (case.carry, x)))
        for i in range(NUM_TASKS)
    ]
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    assert relative_error(batched, looped) < 1e-6
    assert relative_error(mapped, looped) < 1e-6


def test_the_carry_keeps_its_shapes_and_types(case: Case) -> None:
    x = jax.tree.map(lambda x: x[0], case.experience)
    after, output = jax.eval_shape(case.policy.step, case.params, case.carry, x)
    describe = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    assert describe(after) == describe(case.carry)
    assert output.value.shape == (NUM_TASKS,)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(output))


def test_a_memoryless_policy_sees_the_current_observation_alone(family: TaskDistribution) -> None:
    case = make(policies(family)["memoryless"], family)
    x = case.experience
    other = x.replace(
        transition=jax.tree.map(lambda leaf: jnp.ones_like(leaf), x.transition),
        episode_start=~x.episode_start,
    )
    run = jax.jit(lambda x: case.policy.unroll(case.params, case.carry, x))
    assert_same(run(other), run(x))
    later = x.replace(observation=x.observation.at[0].add(1.0))
    moved, still = run(later)[1], run(x)[1]
    assert_same(jax.tree.map(lambda y: y[1:], moved), jax.tree.map(lambda y: y[1:], still))
    assert np.all(moved.value[0] != still.value[0])


def test_a_policy_with_memory_reads_every_part_of_the_transition(family: TaskDistribution) -> None:
    case = make(policies(family)["recurrent"], family)
    x = jax.tree.map(lambda x: x[1], case.experience)
    run = jax.jit(lambda x: case.policy.step(case.params, case.carry, x)[1].value)
    before = np.asarray(run(x))
    for name in ("observation", "action", "reward", "final_observation"):
        value = getattr(x.transition, name)
        other = x.transition.replace(**{name: (value + 1).astype(value.dtype)})
        assert np.all(run(x.replace(transition=other)) != before), name
    for name in ("terminated", "truncated"):
        other = x.transition.replace(**{name: ~getattr(x.transition, name)})
        assert np.all(run(x.replace(transition=other)) != before), name


def test_only_the_contextual_policy_is_told_the_task(case: Case, family: TaskDistribution) -> None:
    context = case.experience.context
    if case.policy.name != "contextual":
        assert context.shape[-1] == 0
        return
    told = jax.vmap(family.describe)(_tasks(family))
    assert context.shape[-1] == told.shape[-1]
    assert np.ptp(context, axis=0).max() == 0, "the description changed within a meta-episode"
    x = jax.tree.map(lambda x: x[0], case.experience)
    run = jax.jit(lambda x: case.policy.step(case.params, case.carry, x)[1].value)
    assert np.all(run(x.replace(context=x.context + 1)) != run(x))


def _tasks(family: TaskDistribution) -> PyTree:
    return jax.vmap(family.sample)(task_keys(jax.random.key(0), NUM_TASKS))
