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

from metarl_jax.gradient import gradient_step, make_targets, observe, total_loss
from metarl_jax.learner import (
    Algorithm,
    Learner,
    Measurements,
    Objective,
    Problem,
    StepSums,
    UpdateConfig,
    require_positive,
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
from metarl_jax.rollout import Actors, Rollout, collect, task_keys, undiscounted_returns
from metarl_jax.schedules import Hyperparameters
from metarl_jax.sharding import check_divides
from metarl_jax.tasks import TaskDistribution
from metarl_jax.types import Array, ConfigurationError, Key, PyTree
from metarl_jax.update import make_algorithm

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
        ConfigurationError: a count is less than 1, or the minibatches do not divide the tasks of
            each device.

    Reference:
        Schulman et al. 2017, "Proximal policy optimization algorithms", algorithm 1.
    """
    require_positive("epochs", epochs)
    require_positive("minibatches", minibatches)
    check_divides(config.num_tasks, (minibatches, "minibatches"))
    check_divides(config.num_tasks, (minibatches, "minibatches"), (config.num_devices, "devices"))
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
    ) -> tuple[Learner, Measurements]:
        del key
        if self.windows == 1:
            (learner, _), measured = self.window((learner, actors), h)
            return learner, measured
        before = (learner, actors.replace(at_start=False))  # as the windows leave it
        (learner, _), of_windows = jax.lax.scan(
            lambda carry, _: self.window(carry, h), before, None, self.windows
        )
        summed = jax.tree.map(lambda x: jnp.sum(x, axis=0), of_windows)
        return learner, summed.replace(gradient_norm=summed.gradient_norm / self.windows)

    def window(
        self, carry: tuple[Learner, Actors], h: Hyperparameters
    ) -> tuple[tuple[Learner, Actors], Measurements]:
        learner, actors = carry
        trained = (learner.params.weights, learner.loss_params)
        gradient, (actors, rollout, targets, advantage, sums) = jax.grad(self.loss, has_aux=True)(
            trained, learner, h, actors
        )
        learner, norm = gradient_step(self.problem, learner, gradient, h)
        learner = observe(self.problem, learner, rollout, targets, advantage)
        returns = undiscounted_returns(rollout, self.problem.meta_episode.tasks.num_episodes)
        return (learner, actors), Measurements(sums, norm, returns)

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
        value, sums = total_loss(problem.objective(h), loss_params, outputs, rollout, targets)
        return value, (actors, rollout, targets, advantage, sums)


class _Epochs:
    """The `learn` of PPO: epochs of minibatches of tasks."""

    def __init__(self, problem: Problem, epochs: int, minibatches: int) -> None:
        self.problem, self.epochs, self.minibatches = problem, epochs, minibatches

    def __call__(
        self, learner: Learner, h: Hyperparameters, actors: Actors, key: Key
    ) -> tuple[Learner, Measurements]:
        problem = self.problem
        _, rollout, _ = collect(problem.policy, learner.params, problem.meta_episode, actors)
        targets, advantage = make_targets(problem, learner, h, rollout)
        batch = (rollout, targets, actors.carry)

        def step(learner: Learner, indices: Array) -> tuple[Learner, tuple[StepSums, Array]]:
            rows = _take_tasks(batch, indices)
            trained = (learner.params.weights, learner.loss_params)
            gradient, sums = jax.grad(self.loss, has_aux=True)(trained, learner, h, *rows)
            learner, norm = gradient_step(problem, learner, gradient, h)
            return learner, (sums, norm)

        learner, (sums, norms) = jax.lax.scan(step, learner, self.indices(key))
        learner = observe(problem, learner, rollout, targets, advantage)
        returns = undiscounted_returns(rollout, problem.meta_episode.tasks.num_episodes)
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)
        return learner, Measurements(sums, jnp.mean(norms), returns)

    def indices(self, key: Key) -> Array:
        """[epochs · M, B / M], for M minibatches: rows of this device's tasks.

        Each epoch every M neighbours are dealt to the M minibatches anew. The tasks being alike,
        that is as good as a permutation of the whole batch; and a minibatch is the same whatever
        the number of devices.
        """
        config, minibatches = self.problem.config, self.minibatches
        own = config.num_tasks // config.num_devices
        first = config.devices.first(config.num_tasks) // minibatches
        starts = minibatches * jnp.arange(own // minibatches)[:, None]

        def deal(key: Key) -> Array:
            keys = task_keys(key, own // minibatches, first)
            dealt = jax.vmap(lambda key: jax.random.permutation(key, minibatches))(keys)
            return (starts + dealt).T

        dealt = jax.vmap(deal)(jax.random.split(key, self.epochs))
        return dealt.reshape(self.epochs * minibatches, -1)

    def loss(
        self,
        trained: tuple[PyTree, PyTree],
        learner: Learner,
        h: Hyperparameters,
        rollout: Rollout,
        targets: Any,
        carry: PyTree,
    ) -> tuple[Array, StepSums]:
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


def _nearest_divisor(length: int, wanted: int) -> int:
    divisors = [d for d in range(1, length + 1) if length % d == 0]
    return min(divisors, key=lambda d: abs(d - wanted))
