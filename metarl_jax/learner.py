"""What every algorithm shares: the train state, targets, the loss of a batch, a gradient step."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from metarl_jax.losses import Loss, Targets
from metarl_jax.meta_episode import MetaEpisode
from metarl_jax.normalization import (
    RunningStatistics,
    identity_statistics,
    update_statistics,
)
from metarl_jax.policy import Policy, PolicyOutput, PolicyParams
from metarl_jax.returns import DiscountMode, discounts, generalized_advantages
from metarl_jax.rollout import Actors, Returns, Rollout, start, task_keys
from metarl_jax.schedules import Hyperparameters, at_progress
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

Objective = Callable[[Hyperparameters], Loss]
"""This update's hyper-parameters, as scalars, to its loss."""


class Learner(struct.PyTreeNode):
    """What an update changes."""

    params: PolicyParams
    loss_params: PyTree
    optimizer_state: PyTree
    advantage: RunningStatistics  # of the advantage, which is divided by its scale


class TrainState(struct.PyTreeNode):
    """All there is to a run: saved whole, it continues bit for bit."""

    learner: Learner
    hyperparameters: Hyperparameters  # knots [K]
    num_updates: Array  # [] float32, over which the schedules run
    update: Array  # [] int32, updates done
    skipped: Array  # [] int32, updates skipped because they were not finite
    skipped_in_a_row: Array  # [] int32
    key: Key


class Algorithm(NamedTuple):
    """A learning algorithm.

    Attributes:
        init: key -> TrainState.
        update: TrainState -> (TrainState, metrics); metrics are float32 scalars by name.
        steps_per_update: environment steps one update takes, masked ones counted.
    """

    init: Callable[[Key], TrainState]
    update: Callable[[TrainState], tuple[TrainState, dict[str, Array]]]
    steps_per_update: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpdateConfig:
    """The static structure of an update.

    Attributes:
        num_tasks: B, tasks in the batch, at least 1.
        num_updates: updates over which the schedules run, at least 1.
        discount_mode: `meta`, `episodic` or `dual`; see `returns.discounts`.
        meta_episode_steps: None, or the step budget that ends a meta-episode.
        normalize_observations: whether observations are normalised by their running statistics.
    """

    num_tasks: int = 256
    num_updates: int = 1000
    discount_mode: DiscountMode = "meta"
    meta_episode_steps: int | None = None
    normalize_observations: bool = False

    def __post_init__(self) -> None:
        require_positive("num_tasks", self.num_tasks)
        require_positive("num_updates", self.num_updates)


def require_positive(name: str, value: int) -> None:
    """Raises ConfigurationError unless value is at least 1."""
    if value < 1:
        raise ConfigurationError(f"{name} must be at least 1, got {value}; give a larger number.")


class Problem(NamedTuple):
    """What is learned, fixed before compilation."""

    policy: Policy
    meta_episode: MetaEpisode
    config: UpdateConfig
    objective: Objective
    baseline: bool  # whether values are subtracted (else they are 0 and λ is 1)


def make_targets(
    problem: Problem, learner: Learner, h: Hyperparameters, rollout: Rollout
) -> tuple[Targets, Array]:
    """Targets of a rollout: GAE(λ) over the whole chain of episodes.

    Args:
        problem: its discount mode, and whether there is a baseline.
        learner: its running scales of the advantage and of the value target.
        h: this update's γ, λ and ε, scalars.
        rollout: [T, B].

    Returns:
        The targets, each [T, B] or a scalar, and the advantage [T, B] before it was scaled.
    """
    outcome = rollout.outcome
    discount = discounts(
        outcome.episode_end,
        outcome.meta_end,
        mode=problem.config.discount_mode,
        discount=h.discount,
        boundary_discount=h.boundary_discount,
    )
    values, final_value, gae_lambda = rollout.value, rollout.final_value, h.gae_lambda
    if not problem.baseline:
        values, final_value = jnp.zeros_like(values), jnp.zeros_like(final_value)
        gae_lambda = jnp.ones_like(gae_lambda)
    advantage = generalized_advantages(outcome.reward, discount, values, final_value, gae_lambda)
    targets = Targets(
        advantage=advantage / learner.advantage.scale,
        value_target=advantage + values,
        value_scale=learner.params.statistics.value_target.scale,
        discount=discount,
        clip_ratio=h.clip_ratio,
    )
    return targets, advantage


def total_loss(
    loss: Loss, loss_params: PyTree, outputs: PolicyOutput, rollout: Rollout, targets: Targets
) -> tuple[Array, dict[str, Array]]:
    """Σ over valid steps of the loss's terms, over T·B.

    Over T·B, not over the number of valid steps: each valid step weighs 1/(T·B), however many more
    there are.

    Args:
        loss: gives terms [T, B] and metrics [T, B].
        loss_params: its own parameters.
        outputs: of the policy, [T, B, ...].
        rollout: [T, B].
        targets: of `make_targets`.

    Returns:
        The loss, [] float32, and each metric's mean over valid steps.
    """
    terms, metrics = loss.apply(loss_params, outputs, rollout, targets)
    valid = rollout.outcome.valid
    count = jnp.maximum(jnp.sum(valid), 1)
    means = {name: jnp.sum(jnp.where(valid, m, 0.0)) / count for name, m in metrics.items()}
    return jnp.sum(jnp.where(valid, terms, 0.0)) / valid.size, means


def gradient_step(
    learner: Learner, gradient: tuple[PyTree, PyTree], h: Hyperparameters
) -> tuple[Learner, Array]:
    """Clips by the global norm and takes one step of Adam.

    Args:
        learner: before.
        gradient: with respect to (weights, loss_params).
        h: this update's learning rate and maximum norm.

    Returns:
        The learner after the step, and the gradient's norm before clipping.

    Reference:
        Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1.
    """
    trained = (learner.params.weights, learner.loss_params)
    updates, optimizer_state = _optimizer(h).update(gradient, learner.optimizer_state, trained)
    stepped: Any = optax.apply_updates(trained, updates)
    weights, loss_params = stepped
    learner = learner.replace(
        params=learner.params.replace(weights=weights),
        loss_params=loss_params,
        optimizer_state=optimizer_state,
    )
    return learner, optax.tree.norm(gradient)


def observe(
    problem: Problem, learner: Learner, rollout: Rollout, targets: Targets, advantage: Array
) -> Learner:
    """Merges a rollout into the running statistics, for the updates to come.

    Args:
        problem: whether observations are normalised.
        learner: after its gradient steps.
        rollout: [T, B], of which valid steps count.
        targets: of `make_targets`.
        advantage: [T, B], before it was scaled.

    Returns:
        The learner with the statistics of reward, value target, advantage and, where they are
        normalised, observation.
    """
    valid = rollout.outcome.valid
    statistics = learner.params.statistics
    statistics = statistics.replace(
        reward=update_statistics(statistics.reward, rollout.outcome.reward, valid),
        value_target=update_statistics(statistics.value_target, targets.value_target, valid),
    )
    if problem.config.normalize_observations:
        observation = update_statistics(
            statistics.observation, rollout.experience.observation, valid
        )
        statistics = statistics.replace(observation=observation)
    return learner.replace(
        params=learner.params.replace(statistics=statistics),
        advantage=update_statistics(learner.advantage, advantage, valid),
    )


Learn = Callable[[Learner, Hyperparameters, Actors, Key], tuple[Learner, dict[str, Array], Returns]]
"""(learner, h, actors at a meta-episode's start, key) -> (learner, metrics, returns)."""


def make_algorithm(problem: Problem, hyperparameters: Hyperparameters, learn: Learn) -> Algorithm:
    """An algorithm out of its `learn`: fresh tasks before it, the guard against NaN after it.

    Args:
        problem: what is learned.
        hyperparameters: schedules, of which each update reads the values at its progress.
        learn: what the algorithm makes of B actors at the start of a meta-episode.

    Returns:
        The algorithm; nothing is compiled yet but its `init`.
    """
    policy, meta_episode, config = problem.policy, problem.meta_episode, problem.config

    def init(key: Key) -> TrainState:
        policy_key, loss_key, key = jax.random.split(key, 3)
        params = policy.init(policy_key)
        h = at_progress(hyperparameters, jnp.zeros((), jnp.float32))
        loss_params = problem.objective(h).init(loss_key)
        learner = Learner(
            params=params,
            loss_params=loss_params,
            optimizer_state=_optimizer(h).init((params.weights, loss_params)),
            advantage=identity_statistics(),
        )
        zero = jnp.zeros((), jnp.int32)
        updates = jnp.asarray(config.num_updates, jnp.float32)
        return TrainState(learner, hyperparameters, updates, zero, zero, zero, key)

    def update(state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        key, tasks_key, actors_key, learn_key = jax.random.split(state.key, 4)
        progress = state.update / jnp.maximum(state.num_updates - 1, 1)
        h = at_progress(state.hyperparameters, progress)
        tasks = jax.vmap(meta_episode.tasks.sample)(task_keys(tasks_key, config.num_tasks))
        actors = start(policy, meta_episode, tasks, task_keys(actors_key, config.num_tasks))
        learner, metrics, returns = learn(state.learner, h, actors, learn_key)
        metrics |= {
            "return": jnp.mean(returns.total),
            "return_first_episode": jnp.mean(returns.episodes[:, 0]),
            "return_last_episode": jnp.mean(returns.episodes[:, -1]),
        }
        state, metrics = _keep_finite(state, learner, metrics)
        return state.replace(key=key, update=state.update + 1), metrics

    # Compiled, so that every leaf is a buffer of its own and the whole state can be donated.
    return Algorithm(jax.jit(init), update, config.num_tasks * meta_episode.length)


def _optimizer(h: Hyperparameters) -> optax.GradientTransformation:
    return optax.chain(
        optax.clip_by_global_norm(h.max_gradient_norm),  # type: ignore[arg-type]  # a traced scalar
        optax.adam(h.learning_rate, eps=1e-5),
    )


def _keep_finite(
    state: TrainState, learner: Learner, metrics: dict[str, Array]
) -> tuple[TrainState, dict[str, Array]]:
    """Takes the new learner where all of it is finite; else keeps the old one and counts it."""
    floats = [x for x in jax.tree.leaves(learner) if jnp.issubdtype(x.dtype, jnp.floating)]
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]))
    chosen = jax.tree.map(lambda new, old: jnp.where(finite, new, old), learner, state.learner)
    state = state.replace(
        learner=chosen,
        skipped=state.skipped + jnp.where(finite, 0, 1),
        skipped_in_a_row=jnp.where(finite, 0, state.skipped_in_a_row + 1),
    )
    counters = {"skipped": state.skipped, "skipped_in_a_row": state.skipped_in_a_row}
    return state, metrics | {name: x.astype(jnp.float32) for name, x in counters.items()}
