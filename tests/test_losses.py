"""Losses: what they are, how they compose, and what they may depend on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from metarl_jax.distributions import Categorical
from metarl_jax.learner import (
    Learner,
    Problem,
    UpdateConfig,
    make_targets,
    observe,
    total_loss,
)
from metarl_jax.losses import (
    Loss,
    Targets,
    as_loss,
    clipped_policy_gradient,
    entropy_bonus,
    policy_gradient,
    value_error,
)
from metarl_jax.meta_episode import MetaEpisode
from metarl_jax.normalization import RunningStatistics, identity_statistics
from metarl_jax.policy import PolicyOutput, PolicyParams, Statistics
from metarl_jax.returns import DiscountMode
from metarl_jax.rollout import Rollout, collect, start, task_keys
from metarl_jax.schedules import Hyperparameters, at_progress, hyperparameters
from metarl_jax.types import Array
from probes import assert_same, counter, scripted_policy

TASKS = counter(ends_early=True)  # H = 3, E = 3
NUM_STEPS, NUM_TASKS = 9, 4
# Task 0 never ends early; task 1 ends each episode after two steps; 2 after one; 3 its first.
SCRIPT = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 1, 0, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1],
        [2, 1, 2, 2, 2, 2, 2, 2, 2],
    ]
)


def level(mean: float, variance: float) -> RunningStatistics:
    return RunningStatistics(jnp.float32(mean), jnp.float32(variance), jnp.float32(10))


LEARNER = Learner(
    params=PolicyParams((), Statistics(identity_statistics((3,)), level(0, 1), level(0.5, 4.0))),
    loss_params=(),
    optimizer_state=(),
    advantage=level(1.0, 2.25),
)


def problem(mode: DiscountMode = "meta", baseline: bool = True) -> Problem:
    config = UpdateConfig(num_tasks=NUM_TASKS, discount_mode=mode, normalize_observations=True)
    return Problem(
        scripted_policy(SCRIPT), MetaEpisode(TASKS), config, lambda h: policy_gradient(), baseline
    )


def scalars(**changes: float) -> Hyperparameters:
    given = {"discount": 0.9, "boundary_discount": 0.4, "gae_lambda": 0.7, "clip_ratio": 0.2}
    return at_progress(hyperparameters(**(given | changes)), jnp.float32(0))


@pytest.fixture(scope="module")
def rollout() -> Rollout:
    """Four scripted meta-episodes of 9, 6, 3 and 8 steps, with rewards and values of noise."""
    assert TASKS.all_tasks is not None
    tasks = jax.tree.map(lambda x: x[:NUM_TASKS], TASKS.all_tasks())

    @jax.jit
    def run() -> Rollout:
        policy, meta_episode, _, _, _ = problem()
        actors = start(policy, meta_episode, tasks, task_keys(jax.random.key(0), NUM_TASKS))
        return collect(policy, (), meta_episode, actors)[1]

    played = run()
    rng = np.random.default_rng(0)
    noise = lambda: jnp.asarray(rng.normal(size=(NUM_STEPS, NUM_TASKS)), jnp.float32)
    reward = jnp.where(played.outcome.valid, noise(), 0.0)
    return played.replace(
        value=noise(), log_prob=-1.0 + 0.3 * noise(), outcome=played.outcome.replace(reward=reward)
    )


@pytest.fixture(scope="module")
def outputs() -> PolicyOutput:
    rng = np.random.default_rng(1)
    noise = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    return PolicyOutput(
        Categorical(noise(NUM_STEPS, NUM_TASKS, 3)),
        noise(NUM_STEPS, NUM_TASKS),
        jnp.zeros((NUM_STEPS, NUM_TASKS, 0)),
    )


@pytest.fixture(scope="module")
def targets(rollout: Rollout) -> Targets:
    return jax.jit(lambda r: make_targets(problem(), LEARNER, scalars(), r)[0])(rollout)


def test_the_masks_of_the_fixture_are_those_meant(rollout: Rollout) -> None:
    assert rollout.outcome.valid.sum(0).tolist() == [9, 6, 3, 8]


# What each loss is.


def test_losses_against_their_formulas(
    rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    logits = np.asarray(outputs.action_distribution.logits, np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_probs, np.asarray(rollout.action)[..., None], -1)[..., 0]
    advantage = np.asarray(targets.advantage, np.float64)
    ratio = np.exp(chosen - np.asarray(rollout.log_prob))
    clipped = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
    assert np.any(ratio > 1.2) and np.any(ratio < 0.8) and np.any((ratio > 0.8) & (ratio < 1.2))
    error = (np.asarray(outputs.value) - np.asarray(targets.value_target)) / 2.0  # σ² = 4
    expected = {
        "policy_gradient": (policy_gradient(), -advantage * chosen),
        "clipped_policy_gradient": (clipped_policy_gradient(), clipped),
        "value_error": (value_error(), 0.5 * error**2),
        "entropy": (entropy_bonus(), -(np.exp(log_probs) * log_probs).sum(-1)),
    }
    for name, (loss, terms) in expected.items():
        actual, metrics = loss.apply((), outputs, rollout, targets)
        np.testing.assert_allclose(actual, terms, rtol=2e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(metrics[name], actual)
    _, metrics = clipped_policy_gradient().apply((), outputs, rollout, targets)
    np.testing.assert_array_equal(metrics["clip_fraction"], (ratio < 0.8) | (ratio > 1.2))
    np.testing.assert_allclose(
        metrics["kl_divergence"], ratio - 1 - np.log(ratio), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    "loss",
    [policy_gradient(), clipped_policy_gradient(), value_error(), entropy_bonus()],
    ids=["policy_gradient", "clipped_policy_gradient", "value_error", "entropy_bonus"],
)
def test_gradients_of_the_losses_against_finite_differences(
    loss: Loss, rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    @jax.jit
    def scalar(logits: Array, value: Array) -> Array:
        out = outputs.replace(action_distribution=Categorical(logits), value=value)
        return NUM_STEPS * NUM_TASKS * total_loss(loss, (), out, rollout, targets)[0]

    given = (outputs.action_distribution.logits, outputs.value)
    check_grads(scalar, given, order=1, modes=["rev"], eps=1e-2, rtol=2e-2, atol=2e-2)
    assert any(np.any(g) for g in jax.grad(scalar, argnums=(0, 1))(*given))


def test_the_total_is_the_sum_over_valid_steps_by_all_steps(
    rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    valid = np.asarray(rollout.outcome.valid)
    terms = np.asarray(value_error().apply((), outputs, rollout, targets)[0], np.float64)
    total, metrics = total_loss(value_error(), (), outputs, rollout, targets)
    np.testing.assert_allclose(total, terms[valid].sum() / valid.size, rtol=1e-5)
    np.testing.assert_allclose(metrics["value_error"], terms[valid].mean(), rtol=1e-5)


def test_targets_are_scaled_advantages_and_returns(rollout: Rollout) -> None:
    targets, advantage = make_targets(problem(), LEARNER, scalars(), rollout)
    np.testing.assert_allclose(targets.advantage, advantage / 1.5, rtol=1e-6)  # σ² = 2.25
    np.testing.assert_allclose(targets.value_target, advantage + rollout.value, rtol=1e-6)
    assert float(targets.value_scale) == 2.0


def test_without_a_baseline_the_advantage_is_the_return(rollout: Rollout) -> None:
    """γ = 1: what is still to come in the meta-episode, whatever λ and the values say."""
    h = scalars(discount=1.0, gae_lambda=0.3)
    _, advantage = make_targets(problem(baseline=False), LEARNER, h, rollout)
    to_come = np.cumsum(np.asarray(rollout.outcome.reward)[::-1], axis=0)[::-1]
    valid = np.asarray(rollout.outcome.valid)
    np.testing.assert_allclose(advantage[valid], to_come[valid], rtol=1e-4, atol=1e-5)


# How they compose.


def ones(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
    """A person's own loss, a plain function."""
    del rollout, targets
    return jnp.ones_like(outputs.value)


def test_sums_differences_and_multiples(
    rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    at = lambda loss: np.asarray(as_loss(loss).apply(_init(loss), outputs, rollout, targets)[0])
    first, second, third = at(policy_gradient()), at(value_error()), at(entropy_bonus())
    composed = policy_gradient() + 0.5 * value_error() - 0.01 * entropy_bonus() + ones
    np.testing.assert_allclose(at(composed), first + 0.5 * second - 0.01 * third + 1, rtol=1e-6)
    np.testing.assert_allclose(at(ones - value_error() * 2.0), 1 - 2 * second, rtol=1e-6)
    np.testing.assert_allclose(at(ones + value_error()), 1 + second, rtol=1e-6)
    np.testing.assert_allclose(at(np.float32(0.5) * value_error()), 0.5 * second, rtol=1e-6)
    np.testing.assert_allclose(at(jnp.float32(0.5) * value_error()), 0.5 * second, rtol=1e-6)


def test_each_term_logs_itself_without_its_weight(
    rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    loss = policy_gradient() + 3.0 * value_error() - ones
    _, metrics = loss.apply(_init(loss), outputs, rollout, targets)
    assert metrics.keys() == {"policy_gradient", "value_error", "ones"}
    alone = value_error().apply((), outputs, rollout, targets)[0]
    np.testing.assert_array_equal(metrics["value_error"], alone)


@pytest.mark.parametrize(
    "loss", [policy_gradient() + policy_gradient(), value_error() - (as_loss(ones) + ones)]
)
def test_two_metrics_of_one_name_are_refused(
    loss: Loss, rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    with pytest.raises(ValueError, match="the same metric .*(policy_gradient|ones)"):
        loss.apply(_init(loss), outputs, rollout, targets)


@pytest.mark.parametrize("wrong", [1.0, None, "entropy"], ids=repr)
def test_what_is_no_loss_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"got {type(wrong).__name__}"):
        policy_gradient() + wrong


def test_each_loss_gets_its_own_params(
    rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    def level_loss(name: str) -> Loss:
        def apply(params: Any, outputs: PolicyOutput, *rest: Any) -> Any:
            terms = jnp.full_like(outputs.value, 1.0) * params
            return terms, {name: terms}

        return Loss(apply, lambda key: jax.random.uniform(key))

    loss = (level_loss("a") + policy_gradient()) + (ones + 10.0 * level_loss("b"))
    params = loss.init(jax.random.key(0))
    assert len(set(map(float, jax.tree.leaves(params)))) == 2, "two losses share a key"
    _, metrics = loss.apply(params, outputs, rollout, targets)
    seen = [float(metrics[name][0, 0]) for name in ("a", "b")]
    assert seen == [float(x) for x in jax.tree.leaves(params)]


# What they may depend on.


def gradient_and_statistics(rollout: Rollout, outputs: PolicyOutput) -> Any:
    """Loss, its gradient in all outputs, its metrics, and the statistics it leaves behind."""
    loss = policy_gradient() + clipped_policy_gradient() + value_error() - entropy_bonus()

    def scalar(outputs: PolicyOutput, rollout: Rollout) -> Any:
        targets, advantage = make_targets(problem(), LEARNER, scalars(), rollout)
        value, metrics = total_loss(loss, loss.init(jax.random.key(0)), outputs, rollout, targets)
        return value, (metrics, observe(problem(), LEARNER, rollout, targets, advantage))

    return jax.jit(jax.value_and_grad(scalar, has_aux=True))(outputs, rollout)


def test_masked_steps_count_for_nothing_exactly(rollout: Rollout, outputs: PolicyOutput) -> None:
    """Not for the loss, nor its gradient, nor metrics, nor any running statistic."""
    over = ~rollout.outcome.valid

    def corrupt(leaf: Array) -> Array:
        """The leaf with other numbers where the meta-episode is over."""
        if leaf.dtype == jnp.bool_ or leaf.shape[:2] != over.shape:
            return leaf
        where = over.reshape(over.shape + (1,) * (leaf.ndim - 2))
        return jnp.where(where, leaf + 2 if leaf.dtype == jnp.int32 else 100 - 3 * leaf, leaf)

    other = jax.tree.map(corrupt, rollout)
    other = other.replace(outcome=other.outcome.replace(reward=rollout.outcome.reward))
    other_outputs = jax.tree.map(corrupt, outputs)
    assert not np.array_equal(other.value, rollout.value)
    first = gradient_and_statistics(rollout, outputs)
    second = gradient_and_statistics(other, other_outputs)
    (_, _), gradient = first
    for leaf in (gradient.value, gradient.action_distribution.logits):
        assert not leaf[over].any() and leaf[~over].any()
    assert_same(second, first)


def test_the_loss_of_a_task_depends_on_that_task_alone(
    rollout: Rollout, outputs: PolicyOutput
) -> None:
    """Other tasks replaced, the batch cut in two: the gradient at task 1 stays, exactly."""
    gradient = gradient_and_statistics(rollout, outputs)[1]
    own = jax.tree.map(lambda x: x[:, 1], gradient)
    keep = jnp.arange(NUM_TASKS) == 1

    def replace_others(leaf: Array) -> Array:
        if leaf.ndim < 2 or leaf.dtype == jnp.bool_:
            return leaf
        where = keep.reshape((1, -1) + (1,) * (leaf.ndim - 2))
        return jnp.where(where, leaf, leaf * 2 if leaf.dtype == jnp.float32 else leaf)

    replaced = jax.tree.map(replace_others, (rollout, outputs))
    assert_same(jax.tree.map(lambda x: x[:, 1], gradient_and_statistics(*replaced)[1]), own)
    order = jnp.array([3, 1, 0, 2])
    moved = jax.tree.map(lambda x: x[:, order] if x.ndim > 1 else x[order], (rollout, outputs))
    assert_same(jax.tree.map(lambda x: x[:, 1], gradient_and_statistics(*moved)[1]), own)
    half = jax.tree.map(lambda x: x[:, :2] if x.ndim > 1 else x[:2], (rollout, outputs))
    doubled = jax.tree.map(lambda x: x[:, 1] / 2, gradient_and_statistics(*half)[1])
    assert_same(doubled, own)  # the sum is over half as many terms: 1/(T·B) is twice as large


@pytest.mark.parametrize("mode", ["meta", "episodic", "dual"])
def test_credit_crosses_the_end_of_an_episode_by_the_discount_mode(
    mode: DiscountMode, rollout: Rollout, outputs: PolicyOutput
) -> None:
    """∂(∂loss/∂logits_t)/∂r_s, from which step's reward which action learns, against products."""
    h = scalars()

    def logits_gradient(reward: Array) -> Array:
        scored = rollout.replace(outcome=rollout.outcome.replace(reward=reward))
        targets, _ = make_targets(problem(mode), LEARNER, h, scored)

        def loss(logits: Array) -> Array:
            out = outputs.replace(action_distribution=Categorical(logits))
            return total_loss(policy_gradient(), (), out, scored, targets)[0]

        return jax.grad(loss)(outputs.action_distribution.logits)

    jacobian = np.asarray(jax.jit(jax.jacrev(logits_gradient))(rollout.outcome.reward))
    across = {"meta": 0.9, "episodic": 0.0, "dual": 0.4}[mode]
    softmax = np.asarray(jax.nn.softmax(outputs.action_distribution.logits))
    chosen = np.eye(3)[np.asarray(rollout.action)]
    ends = np.asarray(rollout.outcome.episode_end)
    for task, length in enumerate([9, 6, 3, 8]):
        for t in range(length):
            score = (softmax - chosen)[t, task] / (1.5 * NUM_STEPS * NUM_TASKS)
            weight = 1.0
            for s in range(length):
                if s < t:
                    assert not jacobian[t, task, :, s, task].any(), "credit for the past"
                    continue
                np.testing.assert_allclose(
                    jacobian[t, task, :, s, task], weight * score, rtol=1e-4, atol=1e-8
                )
                weight *= 0.7 * (across if ends[s, task] else 0.9)
    first_action = np.abs(jacobian[0, 0]).sum(0)[:, 0]  # [s]: task 0 has episodes 012 345 678
    assert np.all(first_action[:3] > 0)
    assert np.all(first_action[3:] == 0) == (mode == "episodic")


def _init(loss: Any) -> Any:
    return as_loss(loss).init(jax.random.key(0))
