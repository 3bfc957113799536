"""A2C, REINFORCE and PPO on meta-episodes.

An update samples B tasks, runs one whole meta-episode in each from an initial carry, and takes

- A2C: one gradient step through the rollout itself. On-policy with one step a batch, the forward
  pass of the rollout is the forward pass of the loss; no step of the policy is computed twice.
- REINFORCE: the same with values of 0 and λ = 1: the return of the rest of the meta-episode.
- PPO: several epochs of minibatches of tasks, unrolling the memory over whole meta-episodes.
"""

from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.learner import (
    Algorithm,
    Learner,
    Objective,
    Problem,
    UpdateConfig,
    gradient_step,
    make_algorithm,
    make_targets,
    observe,
    require_positive,
    total_loss,
)
from metarl_jax.losses import (
    Loss,
    clipped_policy_gradient,
    entropy_bonus,
    policy_gradient,
    value_error,
)
from metarl_jax.meta_episode import MetaEpisode
from metarl_jax.policy import Policy, PolicyOutput, PolicyParams
from metarl_jax.rollout import Actors, Returns, Rollout, collect, undiscounted_returns
from metarl_jax.schedules import Hyperparameters
from metarl_jax.tasks import TaskDistribution
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

DEFAULT_CONFIG = UpdateConfig()


def a2c_objective(h: Hyperparameters) -> Loss:
    """Policy gradient + value error - entropy bonus."""
    return (
        policy_gradient()
        + h.value_coefficient * value_error()
        - h.entropy_coefficient * entropy_bonus()
    )


def reinforce_objective(h: Hyperparameters) -> Loss:
    """Policy gradient - entropy bonus; no value is learned."""
    return policy_gradient() - h.entropy_coefficient * entropy_bonus()


def ppo_objective(h: Hyperparameters) -> Loss:
    """Clipped policy gradient + value error - entropy bonus."""
    return (
        clipped_policy_gradient()
        + h.value_coefficient * value_error()
        - h.entropy_coefficient * entropy_bonus()
    )


def a2c(
    tasks: TaskDistribution,
    policy: Policy,
    hyperparameters: Hyperparameters,
    config: UpdateConfig = DEFAULT_CONFIG,
    *,
    objective: Objective = a2c_objective,
    windows: int = 1,
    single_pass: bool = True,
) -> Algorithm:
    """Advantage actor-critic on meta-episodes.

    Args:
        tasks: p(M).
        policy: what is trained.
        hyperparameters: schedules.
        config: static structure.
        objective: the loss, from this update's hyper-parameters.
        windows: gradient steps a meta-episode, each on T/windows steps; the carry goes on from
            window to window but the gradient does not (truncated backpropagation through time).
            1, the default, is unbiased. With more, what the memory stores in one window for the
            sake of a later one is credited only through the bootstrapped value of the window's
            end, and the carry was made by the slightly older weights of the windows before.
        single_pass: the gradient through the rollout, else `collect_then_unroll`.

    Raises:
        ConfigurationError: the windows do not divide the meta-episode.

    Reference:
        Mnih et al. 2016, "Asynchronous methods for deep reinforcement learning", algorithm S3,
        synchronous. On meta-episodes: Wang et al. 2016, "Learning to reinforcement learn".
    """
    problem = _problem(tasks, policy, config, objective)
    return make_algorithm(problem, hyperparameters, _OneStep(problem, windows, single_pass))


def reinforce(
    tasks: TaskDistribution,
    policy: Policy,
    hyperparameters: Hyperparameters,
    config: UpdateConfig = DEFAULT_CONFIG,
    *,
    objective: Objective = reinforce_objective,
) -> Algorithm:
    """Monte Carlo policy gradient on meta-episodes: λ = 1, no baseline. Arguments as `a2c`'s.

    Reference:
        Williams 1992, "Simple statistical gradient-following algorithms for connectionist
        reinforcement learning".
    """
    problem = _problem(tasks, policy, config, objective)._replace(baseline=False)
    return make_algorithm(problem, hyperparameters, _OneStep(problem, 1, True))


def ppo(
    tasks: TaskDistribution,
    policy: Policy,
    hyperparameters: Hyperparameters,
    config: UpdateConfig = DEFAULT_CONFIG,
    *,
    objective: Objective = ppo_objective,
    epochs: int = 4,
    minibatches: int = 4,
) -> Algorithm:
    """Proximal policy optimisation on meta-episodes.

    Args:
        tasks: p(M).
        policy: what is trained.
        hyperparameters: schedules.
        config: static structure.
        objective: the loss, from this update's hyper-parameters.
        epochs: passes over the batch.
        minibatches: parts of the batch, by tasks and never by time: each is unrolled over whole
            meta-episodes from the initial carry, so nothing in it is stale but π_old.

    Raises:
        ConfigurationError: a count is less than 1, or the minibatches do not divide the tasks.

    Reference:
        Schulman et al. 2017, "Proximal policy optimization algorithms", algorithm 1.
    """
    require_positive("epochs", epochs)
    require_positive("minibatches", minibatches)
    if config.num_tasks % minibatches:
        raise ConfigurationError(
            f"the {config.num_tasks} tasks of a batch do not divide into {minibatches} "
            f"minibatches; {_nearest_multiple(config.num_tasks, minibatches)} tasks would."
        )
    problem = _problem(tasks, policy, config, objective)
    return make_algorithm(problem, hyperparameters, _Epochs(problem, epochs, minibatches))


def collect_then_unroll(
    policy: Policy,
    params: PolicyParams,
    meta_episode: MetaEpisode,
    actors: Actors,
    num_steps: int | None = None,
) -> tuple[Actors, Rollout, PolicyOutput]:
    """`collect`, whose outputs come from unrolling the policy again over what it read.

    The same values and the same gradient as the single pass, with the forward pass done twice: for
    memories whose `unroll` is a better forward pass than their `step` (attention, parallel scans).

    Args:
        policy: what acts.
        params: its parameters, in which the outputs are differentiable.
        meta_episode: how episodes are strung together.
        actors: [B], where they stand.
        num_steps: T; a whole meta-episode by default.

    Returns:
        As `collect`: the actors after T steps, the rollout [T, B], the outputs [T, B, ...].
    """
    after, rollout, _ = collect(
        policy, jax.lax.stop_gradient(params), meta_episode, actors, num_steps
    )
    _, outputs = policy.unroll(params, actors.carry, rollout.experience)
    return after, rollout, outputs


class _OneStep:
    """The `learn` of A2C and REINFORCE: one gradient step a window."""

    def __init__(self, problem: Problem, windows: int, single_pass: bool) -> None:
        length = problem.meta_episode.length
        if windows < 1 or length % windows:
            raise ConfigurationError(
                f"windows must divide the {length} steps of a meta-episode, got {windows}; "
                f"{_nearest_divisor(length, windows)} would."
            )
        self.problem, self.windows = problem, windows
        self.num_steps = length // windows
        self.forward = collect if single_pass else collect_then_unroll

    def __call__(
        self, learner: Learner, h: Hyperparameters, actors: Actors, key: Key
    ) -> tuple[Learner, dict[str, Array], Returns]:
        del key
        if self.windows == 1:
            (learner, _), (metrics, returns) = self.window((learner, actors), h)
            return learner, metrics, returns
        before = (learner, actors.replace(at_start=False))  # as the windows leave it
        (learner, _), (metrics, returns) = jax.lax.scan(
            lambda carry, _: self.window(carry, h), before, None, self.windows
        )
        returns = jax.tree.map(lambda of_windows: jnp.sum(of_windows, axis=0), returns)
        return learner, jax.tree.map(jnp.mean, metrics), returns

    def window(
        self, carry: tuple[Learner, Actors], h: Hyperparameters
    ) -> tuple[tuple[Learner, Actors], tuple[dict[str, Array], Returns]]:
        learner, actors = carry
        trained = (learner.params.weights, learner.loss_params)
        gradient, (actors, rollout, targets, advantage, metrics) = jax.grad(
            self.loss, has_aux=True
        )(trained, learner, h, actors)
        learner, norm = gradient_step(learner, gradient, h)
        learner = observe(self.problem, learner, rollout, targets, advantage)
        returns = undiscounted_returns(rollout, self.problem.meta_episode.tasks.num_episodes)
        return (learner, actors), (metrics | {"gradient_norm": norm}, returns)

    def loss(
        self, trained: tuple[PyTree, PyTree], learner: Learner, h: Hyperparameters, actors: Actors
    ) -> tuple[Array, Any]:
        problem = self.problem
        weights, loss_params = trained
        params = learner.params.replace(weights=weights)
        actors, rollout, outputs = self.forward(
            problem.policy, params, problem.meta_episode, actors, self.num_steps
        )
        targets, advantage = make_targets(problem, learner, h, rollout)
        value, metrics = total_loss(problem.objective(h), loss_params, outputs, rollout, targets)
        return value, (actors, rollout, targets, advantage, metrics)


class _Epochs:
    """The `learn` of PPO: epochs of minibatches of tasks."""

    def __init__(self, problem: Problem, epochs: int, minibatches: int) -> None:
        self.problem, self.epochs, self.minibatches = problem, epochs, minibatches

    def __call__(
        self, learner: Learner, h: Hyperparameters, actors: Actors, key: Key
    ) -> tuple[Learner, dict[str, Array], Returns]:
        problem = self.problem
        _, rollout, _ = collect(problem.policy, learner.params, problem.meta_episode, actors)
        targets, advantage = make_targets(problem, learner, h, rollout)
        batch = (rollout, targets, actors.carry)

        def step(learner: Learner, indices: Array) -> tuple[Learner, dict[str, Array]]:
            rows = _take_tasks(batch, indices)
            trained = (learner.params.weights, learner.loss_params)
            gradient, metrics = jax.grad(self.loss, has_aux=True)(trained, learner, h, *rows)
            learner, norm = gradient_step(learner, gradient, h)
            return learner, metrics | {"gradient_norm": norm}

        learner, metrics = jax.lax.scan(step, learner, self.indices(key))
        learner = observe(problem, learner, rollout, targets, advantage)
        returns = undiscounted_returns(rollout, problem.meta_episode.tasks.num_episodes)
        return learner, jax.tree.map(jnp.mean, metrics), returns

    def indices(self, key: Key) -> Array:
        """[epochs · minibatches, B / minibatches]: each epoch a new permutation of the tasks."""
        num_tasks = self.problem.config.num_tasks
        keys = jax.random.split(key, self.epochs)
        order = jax.vmap(lambda key: jax.random.permutation(key, num_tasks))(keys)
        return order.reshape(self.epochs * self.minibatches, -1)

    def loss(
        self,
        trained: tuple[PyTree, PyTree],
        learner: Learner,
        h: Hyperparameters,
        rollout: Rollout,
        targets: Any,
        carry: PyTree,
    ) -> tuple[Array, dict[str, Array]]:
        weights, loss_params = trained
        params = learner.params.replace(weights=weights)
        _, outputs = self.problem.policy.unroll(params, carry, rollout.experience)
        return total_loss(self.problem.objective(h), loss_params, outputs, rollout, targets)


def _problem(
    tasks: TaskDistribution, policy: Policy, config: UpdateConfig, objective: Objective
) -> Problem:
    meta_episode = MetaEpisode(tasks, policy.contextual, config.meta_episode_steps)
    return Problem(policy, meta_episode, config, objective, baseline=True)


def _take_tasks(batch: tuple[Rollout, Any, PyTree], indices: Array) -> tuple[Rollout, Any, PyTree]:
    """The rows of some tasks: of [T, B, ...] and, in the carry and the final value, of [B, ...]."""
    rollout, targets, carry = batch

    def over_time(x: Array) -> Array:
        return jnp.take(x, indices, axis=1) if x.ndim > 1 else x

    rows = jax.tree.map(over_time, rollout).replace(final_value=rollout.final_value[indices])
    return rows, jax.tree.map(over_time, targets), jax.tree.map(lambda x: x[indices], carry)


def _nearest_multiple(value: int, factor: int) -> int:
    return max(1, round(value / factor)) * factor


def _nearest_divisor(length: int, wanted: int) -> int:
    divisors = [d for d in range(1, length + 1) if length % d == 0]
    return min(divisors, key=lambda d: abs(d - wanted))
