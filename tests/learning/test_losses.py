"""Losses: what they are, and how they compose."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from metarl_jax.learning.gradient import make_targets, total_loss
from metarl_jax.learning.losses import (
    Loss,
    Targets,
    as_loss,
    clipped_policy_gradient,
    entropy_bonus,
    policy_gradient,
    value_error,
)
from metarl_jax.policy.distributions import Categorical
from metarl_jax.policy.policy import PolicyOutput
from metarl_jax.rollout import Rollout
from metarl_jax.types import Array, ConfigurationError
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


@pytest.fixture(scope="module")
def targets(rollout: Rollout) -> Targets:
    return jax.jit(lambda r: make_targets(problem(), LEARNER, scalars(), r, untold(r))[0])(rollout)


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
    total, sums = total_loss(value_error(), (), outputs, rollout, targets)
    np.testing.assert_allclose(total, terms[valid].sum() / valid.size, rtol=1e-5)
    np.testing.assert_allclose(sums.means()["value_error"], terms[valid].mean(), rtol=1e-5)


def test_targets_are_scaled_advantages_and_returns(rollout: Rollout) -> None:
    targets, advantage = make_targets(problem(), LEARNER, scalars(), rollout, untold(rollout))
    np.testing.assert_allclose(targets.advantage, advantage / 1.5, rtol=1e-6)  # σ² = 2.25
    np.testing.assert_allclose(targets.value_target, advantage + rollout.value, rtol=1e-6)
    assert float(targets.value_scale) == 2.0


def test_without_a_baseline_the_advantage_is_the_return(rollout: Rollout) -> None:
    """γ = 1: what is still to come in the meta-episode, whatever λ and the values say."""
    h = scalars(discount=1.0, gae_lambda=0.3)
    _, advantage = make_targets(problem(baseline=False), LEARNER, h, rollout, untold(rollout))
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


@pytest.mark.parametrize("axis", [0, 1, None])
def test_a_term_that_is_not_one_a_step_is_refused(
    axis: int | None, rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    """Of shape [B], it would be spread over time without a word."""

    def mean(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
        return jnp.mean(outputs.value, axis=axis)

    with pytest.raises(
        ConfigurationError, match=r"loss mean must return a term per step, \[T, B\]"
    ):
        as_loss(mean).apply((), outputs, rollout, targets)


def test_each_loss_gets_its_own_params(
    rollout: Rollout, outputs: PolicyOutput, targets: Targets
) -> None:
    def level_loss(name: str) -> Loss:
        def apply(params: Any, outputs: PolicyOutput, *rest: Any) -> Any:
            terms = jnp.full_like(outputs.value, 1.0) * params
            return terms, {name: terms}

        return Loss(apply, lambda key, shapes: jax.random.uniform(key))

    loss = (level_loss("a") + policy_gradient()) + (ones + 10.0 * level_loss("b"))
    params = loss.init(jax.random.key(0), ())
    assert len(set(map(float, jax.tree.leaves(params)))) == 2, "two losses share a key"
    _, metrics = loss.apply(params, outputs, rollout, targets)
    seen = [float(metrics[name][0, 0]) for name in ("a", "b")]
    assert seen == [float(x) for x in jax.tree.leaves(params)]


def _init(loss: Any) -> Any:
    return as_loss(loss).init(jax.random.key(0), ())
