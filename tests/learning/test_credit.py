"""What a loss may depend on: which reward, which step, which task."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.learning.gradient import batch_moments, make_targets, total_loss, update_statistics
from metarl_jax.learning.losses import (
    clipped_policy_gradient,
    entropy_bonus,
    policy_gradient,
    value_error,
)
from metarl_jax.learning.returns import DiscountMode
from metarl_jax.policy.distributions import Categorical
from metarl_jax.policy.policy import PolicyOutput
from metarl_jax.rollout import Rollout
from metarl_jax.types import Array
from support.comparisons import assert_same
from support.scripted_rollouts import (
    LEARNER,
    NUM_STEPS,
    NUM_TASKS,
    problem,
    random_outputs,
    scalars,
    scripted_rollout,
    untold,
)


@pytest.fixture(scope="module")
def rollout() -> Rollout:
    return scripted_rollout()


@pytest.fixture(scope="module")
def outputs() -> PolicyOutput:
    return random_outputs()


def gradient_and_statistics(rollout: Rollout, outputs: PolicyOutput) -> Any:
    """Loss, its gradient in all outputs, its metrics, and the statistics it leaves behind."""
    loss = policy_gradient() + clipped_policy_gradient() + value_error() - entropy_bonus()

    def scalar(outputs: PolicyOutput, rollout: Rollout) -> Any:
        targets, advantage = make_targets(problem(), LEARNER, scalars(), rollout, untold(rollout))
        value, sums = total_loss(loss, loss.init(jax.random.key(0), ()), outputs, rollout, targets)
        return value, (sums.means(), observed(LEARNER, rollout, targets, advantage))

    return jax.jit(jax.value_and_grad(scalar, has_aux=True))(outputs, rollout)


def observed(learner: Any, rollout: Rollout, targets: Any, advantage: Any) -> Any:
    """The learner after a batch of one part."""
    part = batch_moments(problem(), rollout, targets, advantage)
    return update_statistics(problem(), learner, jax.tree.map(lambda x: x[None], part))


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


def test_each_statistic_is_that_of_its_own_stream(rollout: Rollout) -> None:
    """From a learner that has seen nothing: mean and variance over the valid steps."""
    nothing = jax.tree.map(jnp.zeros_like, LEARNER)
    targets, advantage = make_targets(problem(), LEARNER, scalars(), rollout, untold(rollout))
    learner = observed(nothing, rollout, targets, advantage)
    valid = np.asarray(rollout.outcome.valid)
    for statistics, stream in [
        (learner.params.statistics.observation, rollout.experience.observation),
        (learner.params.statistics.reward, rollout.outcome.reward),
        (learner.params.statistics.value_target, targets.value_target),
        (learner.advantage, advantage),
    ]:
        of_stream = np.asarray(stream, np.float64)[valid]
        np.testing.assert_allclose(statistics.mean, of_stream.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(statistics.variance, of_stream.var(0), rtol=1e-4, atol=1e-6)
        assert float(statistics.count) == valid.sum()


@pytest.mark.parametrize("mode", ["meta", "episodic", "dual"])
def test_credit_crosses_the_end_of_an_episode_by_the_discount_mode(
    mode: DiscountMode, rollout: Rollout, outputs: PolicyOutput
) -> None:
    """∂(∂loss/∂logits_t)/∂r_s, from which step's reward which action learns, against products."""
    h = scalars()

    def logits_gradient(reward: Array) -> Array:
        scored = rollout.replace(outcome=rollout.outcome.replace(reward=reward))
        targets, _ = make_targets(problem(mode), LEARNER, h, scored, untold(scored))

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
