"""One update of each algorithm, seen from outside: the gradient that reached the optimiser."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarl_jax.learning.algorithms import (
    _steps_are_best,
    a2c,
    a2c_objective,
    ppo,
    ppo_objective,
    reinforce,
)
from metarl_jax.learning.losses import Loss, Targets, as_loss
from metarl_jax.learning.schedules import Hyperparameters, hyperparameters
from metarl_jax.learning.train_state import Algorithm, Objective, TrainState, UpdateConfig
from metarl_jax.memory import context_set, gru, linear_recurrence, snail, transformer
from metarl_jax.policy.policy import (
    Architecture,
    Policy,
    PolicyOutput,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.rollout import Rollout
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Array, ConfigurationError
from support.comparisons import assert_same, relative_error
from support.probes import counter, revealed_target, small_policy
from support.random_inputs import random_state
from support.updates_seen import WITH_LLVMS_PASSES, applied_gradient, unmoved

NUM_TASKS = 8
CONFIG = UpdateConfig(num_tasks=NUM_TASKS)
UNCLIPPED = hyperparameters(max_gradient_norm=1e9)
FAMILIES: dict[str, Callable[[], TaskDistribution]] = {
    "in step": lambda: counter(num_episodes=2),
    "early ends, flat": lambda: counter(ends_early=True, num_episodes=2),
    "continuous": lambda: revealed_target(episode_length=2),
}
ALGORITHMS: dict[str, Callable[..., Algorithm]] = {
    "a2c": a2c,
    "a2c, unrolled": partial(a2c, single_pass=False),
    "ppo": partial(ppo, epochs=1, minibatches=1),
    "reinforce": reinforce,
}


def first_update(algorithm: Algorithm, compiler_options: Any = None) -> Any:
    """(gradient with respect to weights and loss_params, metrics) of an update of a fresh state."""
    with jax.default_matmul_precision("highest"):
        update = jax.jit(algorithm.update, compiler_options=compiler_options)
        state, metrics = update(random_state(algorithm, UNCLIPPED))
    assert int(state.skipped) == 0
    return applied_gradient(state), metrics


POLICIES: dict[str, Callable[[TaskDistribution], Policy]] = {
    "adaptive": small_policy,
    "contextual": lambda tasks: contextual_policy(tasks, gru(8), Architecture(8)),
    "memoryless": lambda tasks: memoryless_policy(tasks, Architecture(8)),
}


@functools.cache
def usual_update(algorithm: str, family: str, policy: str = "adaptive") -> Any:
    """The first update with everything as usual; compiled once, whoever asks.

    Returns are compared to the bit: those of "continuous" are rounded alike in two programs only
    where LLVM optimises both.
    """
    tasks = FAMILIES[family]()
    made = ALGORITHMS[algorithm](tasks, POLICIES[policy](tasks), UNCLIPPED, CONFIG)
    return first_update(made, WITH_LLVMS_PASSES if family == "continuous" else None)


@pytest.mark.parametrize(
    ("algorithm", "family", "policy"),
    [
        ("a2c, unrolled", "in step", "adaptive"),
        ("a2c, unrolled", "early ends, flat", "adaptive"),
        ("a2c, unrolled", "early ends, flat", "memoryless"),
        ("a2c, unrolled", "continuous", "contextual"),
        ("ppo", "in step", "adaptive"),
        ("ppo", "early ends, flat", "adaptive"),
        ("ppo", "continuous", "adaptive"),
    ],
)
def test_the_gradient_of_the_single_pass_is_that_of_an_unroll(
    algorithm: str, family: str, policy: str
) -> None:
    """Also PPO's on its first step, with the whole batch: its ratios are 1 there.

    The keys are the same, so all see the same rollout.
    """
    gradient, metrics = usual_update("a2c", family, policy)
    other, other_metrics = usual_update(algorithm, family, policy)
    moved = [np.any(leaf) for leaf in jax.tree.leaves(gradient)]
    # The memoryless policy does not read the transition, nor is its embedding trained.
    assert all(moved) or (policy == "memoryless" and any(moved))
    assert relative_error(other, gradient) < 1e-5
    for name in ("return", "return_first_episode", "return_last_episode"):
        assert float(other_metrics[name]) == float(metrics[name])
    for name in ("value_error", "entropy", "gradient_norm"):
        np.testing.assert_allclose(other_metrics[name], metrics[name], rtol=1e-5)
    if algorithm == "ppo":
        assert float(other_metrics["clip_fraction"]) == 0
        assert abs(float(other_metrics["kl_divergence"])) < 1e-6


PARALLEL = {
    "linear recurrence": linear_recurrence(8),
    "context set": context_set(8, "gaussians"),
    "snail": snail(3, 4, num_layers=1),
    "transformer": transformer(3, 8, num_layers=1, num_heads=2),
}


@pytest.mark.parametrize(
    ("name", "bptt_segments"), [*((name, 1) for name in PARALLEL), ("transformer", 2)]
)
def test_the_gradient_of_a_parallel_memory_is_that_of_its_steps(
    name: str, bptt_segments: int
) -> None:
    """Unrolled in each window from where it stands; PPO's too, with the whole batch."""
    tasks = counter(ends_early=True, episode_length=2, num_episodes=2)
    policy = small_policy(tasks, PARALLEL[name])
    stepped, unrolled = (
        first_update(
            a2c(
                tasks,
                policy,
                UNCLIPPED,
                CONFIG,
                bptt_segments=bptt_segments,
                single_pass=single_pass,
            )
        )
        for single_pass in (True, False)
    )
    assert relative_error(unrolled, stepped) < 1e-5
    if bptt_segments == 1:
        clipped = first_update(ppo(tasks, policy, UNCLIPPED, CONFIG, epochs=1, minibatches=1))
        assert relative_error(clipped[0], stepped[0]) < 1e-5


def test_a_memory_is_unrolled_where_that_is_faster(accelerator: None) -> None:
    """On an accelerator whatever unrolls in parallel; on a CPU what keeps a window."""
    del accelerator
    tasks = counter(num_episodes=2)
    assert [_steps_are_best(small_policy(tasks, PARALLEL[name])) for name in PARALLEL] == 4 * [
        False
    ]
    assert _steps_are_best(small_policy(tasks))


@pytest.mark.parametrize("algorithm", [a2c, reinforce])
def test_a_cpu_unrolls_what_keeps_a_window(
    algorithm: Callable[..., Algorithm], monkeypatch: pytest.MonkeyPatch
) -> None:
    forwards = {}
    monkeypatch.setattr(
        "metarl_jax.learning.algorithms.single_gradient_step",
        lambda problem, bptt_segments, single_pass: forwards.update({problem.policy: single_pass}),
    )
    monkeypatch.setattr("metarl_jax.learning.algorithms.make_algorithm", lambda *_: None)
    tasks = counter(num_episodes=2)
    policies = {name: small_policy(tasks, memory) for name, memory in PARALLEL.items()}
    policies["gru"] = small_policy(tasks)
    for policy in policies.values():
        algorithm(tasks, policy, UNCLIPPED, CONFIG)
    unrolled = [name for name, policy in policies.items() if not forwards[policy]]
    assert unrolled == ["snail", "transformer"]


def by_hand(values: bool) -> Objective:
    """A2C's and REINFORCE's loss written out: its own advantages, by the sum and not the recursion.

    The advantage is scaled by the state's σ² = 0.5, and the value error by 0.5 too.
    """

    def objective(h: Hyperparameters) -> Loss:
        def apply(params: Array, outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Any:
            del targets
            length = rollout.value.shape[0]
            value = jnp.concatenate([rollout.value, 0 * rollout.final_value[None]]) * values
            decay = h["discount"] * (h["gae_lambda"] if values else 1.0)
            rows = []
            for t in range(length):
                after = jnp.arange(t, length)
                error = (
                    rollout.outcome.reward[t:]
                    + h["discount"] * value[t + 1 :] * (after < length - 1)[:, None]
                    - value[t:-1]
                )
                rows.append(jnp.sum((decay ** (after - t))[:, None] * error, axis=0))
            advantage = jnp.stack(rows)
            distribution = outputs.action_distribution
            terms = -advantage / 0.5**0.5 * distribution.log_prob(rollout.action)
            if values:
                error = outputs.value - (advantage + rollout.value)
                terms += h["value_coefficient"] * 0.5 * jnp.square(error) / 0.5
            terms -= h["entropy_coefficient"] * distribution.entropy()
            own = jnp.square(params - 3.0) * jnp.ones_like(terms)
            return terms + own, {"by_hand": terms}

        return Loss(apply, lambda key, shapes: jax.random.normal(key))

    return objective


@pytest.mark.parametrize("name", ["a2c", "reinforce"])
def test_the_gradient_is_that_of_the_loss_written_out(name: str) -> None:
    """And a loss with parameters of its own gets their gradient: of (p - 3)², 2 (p - 3)."""
    gradient, _ = usual_update(name, "in step")
    tasks = counter(num_episodes=2)
    objective = by_hand(values=name == "a2c")
    own = ALGORITHMS[name](tasks, small_policy(tasks), UNCLIPPED, CONFIG, objective=objective)
    (written, loss_params), _ = first_update(own)
    assert relative_error(written, gradient[0]) < 1e-5
    before = random_state(own, UNCLIPPED).learner.loss_params
    np.testing.assert_allclose(loss_params, 2 * (before - 3.0), rtol=1e-5)


def fingerprint(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
    """Tells from which tasks, actions, carries and targets a batch is made."""
    mark, step = rollout.experience.observation[..., 1], rollout.experience.observation[..., 2]
    return (
        10.0 * mark
        + step * rollout.action
        + outputs.value * (1 + step)
        + targets.value_target * (2 + step)
        + jnp.sum(outputs.features, axis=-1)
    )


def test_segments_are_the_whole_rollout_cut_up() -> None:
    """With a learning rate of 0 and fixed statistics: the same steps, carries and TD targets.

    With λ = 0 the target of a step is its reward and the next value, at a window's end too.
    """
    tasks = counter(num_episodes=2)
    policy = unmoved(small_policy(tasks))
    h = hyperparameters(learning_rate=0.0, gae_lambda=0.0)
    objective = lambda h: a2c_objective(h) + 1e-3 * as_loss(fingerprint)
    found = {}
    for bptt_segments in (1, 3):
        algorithm = a2c(tasks, policy, h, CONFIG, objective=objective, bptt_segments=bptt_segments)
        state = random_state(algorithm, h)
        after, found[bptt_segments] = jax.jit(algorithm.update)(state)
        assert_same(after.learner.params.weights, state.learner.params.weights)
        assert int(_adam_steps(after)) == bptt_segments
    for name in ("fingerprint", "return", "return_first_episode", "return_last_episode", "entropy"):
        np.testing.assert_allclose(found[3][name], found[1][name], rtol=1e-5, err_msg=name)


def test_minibatches_partition_the_tasks_anew_in_each_epoch() -> None:
    """Each holds whole meta-episodes, its rows of everything, from the initial carry."""
    tasks = counter(ends_early=True, num_episodes=2)
    h = hyperparameters(learning_rate=0.0)
    seen: list[np.ndarray] = []
    scale = 0.5**0.5

    def record(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
        assert outputs.value.shape == rollout.value.shape == targets.advantage.shape == (6, 2)
        assert rollout.final_value.shape == (2,)
        jax.debug.callback(
            lambda mark: seen.append(np.asarray(mark)), rollout.experience.observation[0, :, 1]
        )
        unequal = jnp.abs(outputs.value - rollout.value)
        misaligned = jnp.abs(targets.value_target - targets.advantage * scale - rollout.value)
        return unequal + misaligned

    algorithm = ppo(
        tasks,
        small_policy(tasks),
        h,
        CONFIG,
        objective=lambda h: ppo_objective(h) + 1e-3 * as_loss(record),
        epochs=2,
        minibatches=4,
    )
    state, metrics = jax.block_until_ready(jax.jit(algorithm.update)(random_state(algorithm, h)))
    jax.effects_barrier()
    assert float(metrics["record"]) < 1e-5 and float(metrics["clip_fraction"]) == 0
    assert int(_adam_steps(state)) == len(seen) == 8
    epochs = [np.concatenate(seen[:4]), np.concatenate(seen[4:])]
    for epoch in epochs:
        assert len(np.unique(epoch)) == NUM_TASKS
    np.testing.assert_array_equal(np.sort(epochs[0]), np.sort(epochs[1]))
    groups = [{frozenset(epoch[i : i + 2].tolist()) for i in range(0, 8, 2)} for epoch in epochs]
    assert groups[0] != groups[1]


def test_a_step_budget_and_the_steps_of_an_update() -> None:
    tasks = counter(num_episodes=2)
    policy = small_policy(tasks)
    assert a2c(tasks, policy, UNCLIPPED, CONFIG).steps_per_update == 8 * 6
    budget = UpdateConfig(num_tasks=8, meta_episode_steps=10)
    assert ppo(tasks, policy, UNCLIPPED, budget).steps_per_update == 8 * 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda t, p, h: a2c(t, p, h, CONFIG, bptt_segments=4),
            "divide the 6 steps .* got 4; 3 would",
        ),
        (lambda t, p, h: a2c(t, p, h, CONFIG, bptt_segments=0), "bptt_segments must divide the 6"),
        (lambda t, p, h: ppo(t, p, h, CONFIG, minibatches=3), "into 3 .* 8 tasks; 9 tasks would"),
        (lambda t, p, h: ppo(t, p, h, CONFIG, minibatches=0), "minibatches .* at least 1, got 0"),
        (lambda t, p, h: ppo(t, p, h, CONFIG, epochs=-1), "epochs .* at least 1, got -1"),
        (lambda t, p, h: a2c(t, p, h, UpdateConfig(num_tasks=0)), "num_tasks .* got 0"),
    ],
)
def test_what_cannot_be_done_is_refused(make: Any, message: str) -> None:
    tasks = counter(num_episodes=2)
    with pytest.raises(ConfigurationError, match=message):
        make(tasks, small_policy(tasks), UNCLIPPED)


def _adam_steps(state: TrainState) -> Array:
    return optax.tree_utils.tree_get(state.learner.optimizer_state, "count")
