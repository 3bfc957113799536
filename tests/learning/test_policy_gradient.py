"""The policy gradient against the exact one, on a bandit of two arms and two pulls, by enumeration.

The 16 sequences (a₁, r₁, a₂, r₂) are all there is. J(θ) = Σ P(sequence) (r₁ + r₂) is differentiated
as it stands; the estimators are averaged over the sequences with their probabilities.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.learning.gradient import make_targets, total_loss
from metarl_jax.learning.losses import Loss, clipped_policy_gradient, policy_gradient
from metarl_jax.learning.optimizers import adam
from metarl_jax.learning.returns import DiscountMode
from metarl_jax.learning.schedules import at_progress, hyperparameters
from metarl_jax.learning.train_state import AlgorithmSpec, LearnerState, UpdateConfig
from metarl_jax.memory import gru
from metarl_jax.policy.normalization import identity_statistics
from metarl_jax.rollout import Rollout
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.types import Array, Experience, PyTree, StepOutcome, Transition
from support.comparisons import relative_error
from support.probes import ArmsState, small_policy, tiny_bandit
from support.random_inputs import random_params
from support.scripted_rollouts import untold

PAYS = np.array([0.3, 0.8], np.float32)
SEQUENCES = np.array(list(itertools.product([0, 1], repeat=4)), np.int32)  # a₁, r₁, a₂, r₂
ACTION = SEQUENCES[:, [0, 2]].T  # [T, B] = [2, 16]
REWARD = SEQUENCES[:, [1, 3]].T.astype(np.float32)
CHANCE = np.prod(np.where(REWARD == 1, PAYS[ACTION], 1 - PAYS[ACTION]), axis=0)

TASKS = tiny_bandit(num_arms=2, num_pulls=2)
POLICY = small_policy(TASKS, gru(4))


def experience() -> Experience:
    """What the policy reads in each sequence: nothing, then the first pull."""
    nothing = np.zeros((2, 16), np.float32)
    behind = np.array([[False], [True]])
    no = np.zeros((2, 16), bool)
    transition = Transition(
        observation=nothing[..., None],
        action=np.where(behind, np.roll(ACTION, 1, axis=0), -1),
        reward=np.where(behind, np.roll(REWARD, 1, axis=0), 0),
        final_observation=nothing[..., None],
        terminated=no,
        truncated=no | behind,
    )
    blank = jnp.zeros((2, 16, 0))
    return jax.tree.map(jnp.asarray, Experience(nothing[..., None], transition, ~no, blank))


def outcome() -> StepOutcome:
    yes = np.ones((2, 16), bool)
    rows = StepOutcome(
        reward=REWARD,
        terminated=~yes,
        truncated=yes,
        episode=np.array([[0], [1]], np.int32) * yes,
        episode_end=yes,
        meta_end=yes & np.array([[False], [True]]),
        valid=yes,
        state=ArmsState(),
        next_state=ArmsState(),
    )
    return jax.tree.map(jnp.asarray, rows)


def unroll(weights: PyTree) -> Any:
    """(outputs [2, 16], log-probabilities of the actions [2, 16])."""
    params = random_params(POLICY).replace(weights=weights)
    carry = jnp.zeros((16, 4))
    _, outputs = POLICY.unroll(params, carry, experience())
    return outputs, outputs.action_distribution.log_prob(jnp.asarray(ACTION))


def expected_return(weights: PyTree) -> Array:
    """J(θ)."""
    log_prob = unroll(weights)[1]
    return jnp.sum(jnp.exp(jnp.sum(log_prob, axis=0)) * CHANCE * REWARD.sum(0))


def myopic_return(weights: PyTree) -> Array:
    """Each pull's own expected reward, what was pulled before taken as it comes."""
    log_prob = unroll(weights)[1]
    first = jnp.exp(log_prob[0]) * PAYS[ACTION[0]] / 8  # each a₁ is met in 8 sequences
    before = jax.lax.stop_gradient(jnp.exp(log_prob[0])) * np.where(
        REWARD[0] == 1, PAYS[ACTION[0]], 1 - PAYS[ACTION[0]]
    )
    second = before * jnp.exp(log_prob[1]) * PAYS[ACTION[1]] / 2  # each a₂ with both r₂
    return jnp.sum(first) + jnp.sum(second)


def estimate(loss: Loss, baseline: bool, mode: DiscountMode = "meta") -> Any:
    """The expectation of the loss over the sequences, as a function of the weights."""
    problem = AlgorithmSpec(
        POLICY, MetaEpisode(TASKS), UpdateConfig(discount_mode=mode), lambda h: loss, adam, baseline
    )
    h = at_progress(hyperparameters(discount=1.0, gae_lambda=1.0), jnp.float32(0))

    def expectation(weights: PyTree) -> Array:
        outputs, log_prob = unroll(weights)
        fixed = jax.lax.stop_gradient
        rollout = Rollout(
            experience=experience(),
            action=jnp.asarray(ACTION),
            log_prob=fixed(log_prob),
            value=fixed(outputs.value),
            final_value=jnp.ones(16),
            outcome=outcome(),
        )
        params = random_params(POLICY)
        learner = LearnerState(params, (), (), identity_statistics())
        targets, _ = make_targets(problem, learner, h, rollout, untold(rollout))
        chance = fixed(jnp.exp(jnp.sum(log_prob, axis=0))) * CHANCE

        def weighted(loss_params: PyTree, *step: Any) -> Any:
            return chance[None] * loss.apply(loss_params, *step)[0], {}

        return 16 * total_loss(Loss(weighted), (), outputs, rollout, targets)[0]

    return expectation


@pytest.fixture(scope="module")
def gradients() -> dict[str, PyTree]:
    functions = {
        "exact": expected_return,
        "exact, myopic": myopic_return,
        "reinforce": estimate(policy_gradient(), baseline=False),
        "a2c": estimate(policy_gradient(), baseline=True),
        "ppo": estimate(clipped_policy_gradient(), baseline=True),
        "episodic": estimate(policy_gradient(), baseline=False, mode="episodic"),
        "episodic, a2c": estimate(policy_gradient(), baseline=True, mode="episodic"),
    }
    weights = random_params(POLICY).weights
    with jax.default_matmul_precision("highest"):
        return jax.jit(lambda w: {name: jax.grad(f)(w) for name, f in functions.items()})(weights)


def test_the_sequences_are_all_there_is() -> None:
    weights = random_params(POLICY).weights
    log_prob = unroll(weights)[1]
    np.testing.assert_allclose(jnp.sum(jnp.exp(jnp.sum(log_prob, 0)) * CHANCE), 1.0, rtol=1e-5)
    assert np.ptp(log_prob[1]) > 0.1, "the second pull ignores the first"


@pytest.mark.parametrize("estimator", ["reinforce", "a2c", "ppo"])
def test_the_expected_gradient_is_the_exact_one(
    gradients: dict[str, PyTree], estimator: str
) -> None:
    """A loss is a mean over T = 2 steps and is minimised: its gradient is -∇J / 2."""
    exact = jax.tree.map(lambda g: -g / 2, gradients["exact"])
    moved = [np.any(leaf) for leaf in jax.tree.leaves(exact)]
    assert sum(moved) >= 8
    # The value's weights have no part in J; a baseline brings them none, on average.
    assert relative_error(gradients[estimator], exact) < 1e-5


@pytest.mark.parametrize("estimator", ["episodic", "episodic, a2c"])
def test_episodic_discounts_give_the_gradient_of_a_myopic_learner(
    gradients: dict[str, PyTree], estimator: str
) -> None:
    myopic = jax.tree.map(lambda g: -g / 2, gradients["exact, myopic"])
    assert relative_error(gradients[estimator], myopic) < 1e-5
    assert relative_error(gradients["exact, myopic"], gradients["exact"]) > 5e-3
