"""What every policy must obey, on discrete and on continuous actions."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.memory import gru, unroll_by_steps
from metarl_jax.memory.sequence_model import squares
from metarl_jax.policy.policy import (
    Architecture,
    Policy,
    PolicyOutput,
    PolicyParams,
    adaptive_policy,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Array, Experience, PyTree
from support.comparisons import assert_same, relative_error
from support.probes import counter, revealed_target
from support.random_inputs import noise_like, random_experience, random_params

NUM_STEPS, NUM_TASKS = 5, 3
ARCHITECTURE = Architecture(embedding_size=6, head_sizes=(5,))
FAMILIES = {"discrete": counter(), "continuous": revealed_target()}
POLICIES: dict[str, Callable[[TaskDistribution], Policy]] = {
    "adaptive": lambda tasks: adaptive_policy(tasks, gru(7), ARCHITECTURE),
    "contextual": lambda tasks: contextual_policy(tasks, gru(7), ARCHITECTURE),
    "memoryless": lambda tasks: memoryless_policy(tasks, ARCHITECTURE),
    "hypernetwork": lambda tasks: adaptive_policy(
        tasks, gru(7), dataclasses.replace(ARCHITECTURE, head="hypernetwork")
    ),
}


class Case(NamedTuple):
    """A policy with random weights, and noise to read."""

    policy: Policy
    params: PolicyParams
    carry: PyTree  # [B, ...] not the initial one
    experience: Experience  # [T, B]


def make_case(name: str, family: str) -> Case:
    tasks = FAMILIES[family]
    policy = POLICIES[name](tasks)
    shapes = jax.eval_shape(policy.initial_carry, jax.random.key(0))
    wide = jax.tree.map(lambda x: jax.ShapeDtypeStruct((NUM_TASKS, *x.shape), x.dtype), shapes)
    return Case(
        policy,
        random_params(policy),
        noise_like(wide, 2),
        random_experience(tasks, policy.contextual, NUM_STEPS, NUM_TASKS),
    )


CASES = [f"{policy}-{family}" for policy in POLICIES for family in FAMILIES]
CASES.remove("contextual-continuous")  # its parts are all in the others, and each case costs time


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(*request.param.split("-"))


@pytest.fixture(autouse=True)
def exact_products() -> Any:
    with jax.default_matmul_precision("highest"):
        yield


def test_unroll_equals_steps_in_outputs_carry_and_gradients(case: Case) -> None:
    policy, params = case.policy, case.params

    @jax.jit
    def both(weights: PyTree) -> Any:
        def run(unroll: Any) -> Any:
            def scalar(weights: PyTree) -> tuple[Array, Any]:
                result = unroll(params.replace(weights=weights), case.carry, case.experience)
                return squares(result), result

            return jax.value_and_grad(scalar, has_aux=True)(weights)

        return run(policy.unroll), run(unroll_by_steps(policy.step))

    ((_, outputs), gradient), ((_, stepped), stepped_gradient) = both(params.weights)
    assert relative_error(outputs, stepped) < 1e-5
    assert relative_error(gradient, stepped_gradient) < 1e-5
    unused = [not np.any(leaf) for leaf in jax.tree.leaves(gradient)].count(True)
    # Only the memoryless policy has weights that nothing depends on: its embedding of transitions.
    assert unused == (2 if policy.name == "memoryless" else 0)


def test_outputs_depend_on_no_later_experience_exactly(case: Case) -> None:
    """By the Jacobian with respect to all that is real in the experience of one task."""
    one = jax.tree.map(lambda x: x[:, 0], case.experience)
    carry = jax.tree.map(lambda x: x[0], case.carry)

    def outputs(observation: Array, reward: Array, final_observation: Array) -> Array:
        transition = one.transition.replace(reward=reward, final_observation=final_observation)
        experience = one.replace(observation=observation, transition=transition)
        _, output = case.policy.unroll(case.params, carry, experience)
        first = jax.tree.leaves(output.action_distribution)[0]  # logits or mean
        return jnp.concatenate([first, output.value[:, None]], axis=1)

    jacobian = jax.jit(jax.jacrev(outputs, argnums=(0, 1, 2)))(
        one.observation, one.transition.reward, one.transition.final_observation
    )
    for part in jacobian:  # [T, n + 1, T', ...]
        size = np.abs(np.asarray(part)).reshape(*part.shape[:3], -1).sum(axis=(1, 3))
        np.testing.assert_array_equal(np.triu(size, 1), 0.0)
        if case.policy.name != "memoryless":
            assert np.all(size[np.tril_indices_from(size)] > 0), "the past is not remembered"


def test_a_batch_is_its_rows(case: Case) -> None:
    """Leading axes, vmap and a loop over rows are one."""

    @jax.jit
    def three_ways(carry: PyTree, x: Experience) -> Any:
        step = lambda carry, x: case.policy.step(case.params, carry, x)
        return step(carry, x), jax.vmap(step)(carry, x), jax.lax.map(lambda r: step(*r), (carry, x))

    x = jax.tree.map(lambda x: x[2], case.experience)
    batched, mapped, looped = three_ways(case.carry, x)
    assert relative_error(batched, looped) < 1e-6
    assert relative_error(mapped, looped) < 1e-6


def test_the_carry_keeps_its_shapes_and_types(case: Case) -> None:
    policy = case.policy
    x = jax.tree.map(lambda x: x[0, 0], case.experience)
    carry = policy.initial_carry(jax.random.key(0))
    after, output = jax.eval_shape(policy.step, case.params, carry, x)
    described = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    assert described(after) == described(carry)
    assert output.value.shape == ()
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(output))


def outputs_of(case: Case) -> Callable[[Experience], PolicyOutput]:
    run = jax.jit(case.policy.unroll)
    return lambda x: run(case.params, case.carry, x)[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_memoryless_policy_sees_the_current_observation_alone(family: str) -> None:
    case = make_case("memoryless", family)
    run, x = outputs_of(case), case.experience
    other = x.replace(transition=noise_like(x.transition, seed=9), episode_start=~x.episode_start)
    assert_same(run(other), run(x))
    moved, still = run(x.replace(observation=x.observation.at[1].add(1.0))), run(x)
    for t in (0, 2, 3, 4):
        assert_same(*(jax.tree.map(lambda y, t=t: y[t], tree) for tree in (moved, still)))
    assert np.all(moved.value[1] != still.value[1])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_policy_with_memory_reads_every_part_of_the_transition(family: str) -> None:
    case = make_case("adaptive", family)
    run, x = outputs_of(case), case.experience
    before = run(x).value
    for name in ("observation", "action", "reward", "final_observation", "terminated", "truncated"):
        value = getattr(x.transition, name)
        other = ~value if value.dtype == bool else value + 1
        changed = run(x.replace(transition=x.transition.replace(**{name: other}))).value
        assert np.all(changed != before), name


def test_nothing_of_the_transition_is_lost_on_the_way_to_the_memory() -> None:
    """The embedding is locally one-to-one: ∂τ/∂(transition) has full column rank."""
    tasks = FAMILIES["continuous"]
    policy = adaptive_policy(tasks, gru(7), Architecture(embedding_size=16))
    params = random_params(policy)
    blank = random_experience(tasks, False)
    parts, unravel = jax.flatten_util.ravel_pytree(
        {
            name: getattr(blank.transition, name)
            for name in ("observation", "action", "reward", "final_observation")
        }
    )

    def gates(parts: Array) -> Array:
        """The first state, which reads the embedding through as many gates as units."""
        x = blank.replace(transition=blank.transition.replace(**unravel(parts)))
        carry = policy.initial_carry(jax.random.key(0))
        return policy.step(params, carry, x)[0]

    jacobian = np.asarray(jax.jit(jax.jacrev(gates))(parts))
    assert np.linalg.matrix_rank(jacobian, tol=1e-4) == parts.size == 5


@pytest.mark.parametrize("name", POLICIES)
def test_only_the_contextual_policy_reads_the_context(name: str) -> None:
    case = make_case(name, "discrete")
    x = case.experience
    assert x.context.shape[-1] == (1 if name == "contextual" else 0)
    if name == "contextual":
        run = outputs_of(case)
        assert np.all(run(x.replace(context=x.context + 1)).value != run(x).value)
