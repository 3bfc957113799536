"""A2C, REINFORCE and PPO on meta-episodes.

An update samples B tasks, runs one whole meta-episode in each from an initial carry, and takes

- A2C: one gradient step through the rollout itself. On-policy with one step a batch, the forward
  pass of the rollout is the forward pass of the loss. A memory that unrolls in parallel is rolled
  out and unrolled again where that is faster.
- REINFORCE: the same with values of 0 and λ = 1: the return of the rest of the meta-episode.
- PPO: several epochs of minibatches of tasks, unrolling the memory over whole meta-episodes.
"""

import jax
import optax

from metarl_jax.checks import require_positive
from metarl_jax.learning.losses import (
    Loss,
    as_loss,
    clipped_policy_gradient,
    entropy_bonus,
    policy_gradient,
    value_error,
)
from metarl_jax.learning.optimizers import Optimizer, adam
from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.learning.steps import minibatch_epochs, single_gradient_step
from metarl_jax.learning.train_state import Algorithm, AlgorithmSpec, Objective, UpdateConfig
from metarl_jax.learning.update import make_algorithm
from metarl_jax.parallel.sharding import check_divides
from metarl_jax.policy.policy import Policy
from metarl_jax.policy.task_critic import with_task_critic
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.types import ConfigurationError

DEFAULT_CONFIG = UpdateConfig()


def a2c_objective(h: Hyperparameters) -> Loss:
    """Policy gradient + value error - entropy bonus."""
    return (
        policy_gradient()
        + h["value_coefficient"] * value_error()
        - h["entropy_coefficient"] * entropy_bonus()
    )


def reinforce_objective(h: Hyperparameters) -> Loss:
    """Policy gradient - entropy bonus; no value is learned."""
    return policy_gradient() - h["entropy_coefficient"] * entropy_bonus()


def ppo_objective(h: Hyperparameters) -> Loss:
    """Clipped policy gradient + value error - entropy bonus."""
    return (
        clipped_policy_gradient()
        + h["value_coefficient"] * value_error()
        - h["entropy_coefficient"] * entropy_bonus()
    )


def a2c(
    tasks: TaskDistribution,
    policy: Policy,
    hyperparameters: Hyperparameters,
    config: UpdateConfig = DEFAULT_CONFIG,
    *,
    objective: Objective = a2c_objective,
    optimizer: Optimizer = adam,
    critic_sees_task: bool = False,
    bptt_segments: int = 1,
    single_pass: bool | None = None,
) -> Algorithm:
    """Advantage actor-critic on meta-episodes.

    Args:
        tasks: p(M).
        policy: what is trained.
        hyperparameters: schedules.
        config: static structure.
        objective: this update's hyper-parameters to its loss.
        optimizer: this update's hyper-parameters to an optax transformation.
        critic_sees_task: whether a value head of its own reads `describe(task)`, in training alone:
            the policy's actions and its memory do not depend on it.
        bptt_segments: gradient steps a meta-episode, each on T / bptt_segments steps; the carry
            goes on from segment to segment but the gradient does not (truncated backpropagation
            through time).
            1, the default, is unbiased. With more, what the memory stores in one segment for the
            sake of a later one is credited only through the bootstrapped value of the segment's
            end, and the carry was made by the slightly older weights of the segments before.
        single_pass: the gradient through the rollout, else `collect_then_unroll`; None: what is
            faster for this policy on this machine.

    Raises:
        ConfigurationError: the segments do not divide the meta-episode.

    Reference:
        Mnih et al. 2016, "Asynchronous methods for deep reinforcement learning", algorithm S3,
        synchronous. On meta-episodes: Wang et al. 2016, "Learning to reinforcement learn".
    """
    spec = _make_spec(tasks, policy, config, objective, optimizer, critic_sees_task)
    single_pass = _steps_are_best(policy) if single_pass is None else single_pass
    learn = single_gradient_step(spec, bptt_segments, single_pass)
    return make_algorithm(spec._replace(name="a2c"), hyperparameters, learn)


def reinforce(
    tasks: TaskDistribution,
    policy: Policy,
    hyperparameters: Hyperparameters,
    config: UpdateConfig = DEFAULT_CONFIG,
    *,
    objective: Objective = reinforce_objective,
    optimizer: Optimizer = adam,
) -> Algorithm:
    """Monte Carlo policy gradient on meta-episodes: λ = 1, no baseline.

    Args:
        tasks: p(M).
        policy: what is trained.
        hyperparameters: schedules.
        config: static structure.
        objective: this update's hyper-parameters to its loss.
        optimizer: this update's hyper-parameters to an optax transformation.

    Reference:
        Williams 1992, "Simple statistical gradient-following algorithms for connectionist
        reinforcement learning".
    """
    spec = _make_spec(tasks, policy, config, objective, optimizer)
    spec = spec._replace(baseline=False, name="reinforce")
    learn = single_gradient_step(spec, 1, _steps_are_best(policy))
    return make_algorithm(spec, hyperparameters, learn)


def ppo(
    tasks: TaskDistribution,
    policy: Policy,
    hyperparameters: Hyperparameters,
    config: UpdateConfig = DEFAULT_CONFIG,
    *,
    objective: Objective = ppo_objective,
    optimizer: Optimizer = adam,
    critic_sees_task: bool = False,
    epochs: int = 4,
    minibatches: int = 4,
) -> Algorithm:
    """Proximal policy optimisation on meta-episodes.

    Args:
        tasks: p(M).
        policy: what is trained.
        hyperparameters: schedules.
        config: static structure.
        objective: this update's hyper-parameters to its loss.
        optimizer: this update's hyper-parameters to an optax transformation.
        critic_sees_task: whether a value head of its own reads `describe(task)`, in training alone.
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
    spec = _make_spec(tasks, policy, config, objective, optimizer, critic_sees_task)
    learn = minibatch_epochs(spec, epochs, minibatches)
    return make_algorithm(spec._replace(name="ppo"), hyperparameters, learn, minibatches)


def _make_spec(
    tasks: TaskDistribution,
    policy: Policy,
    config: UpdateConfig,
    objective: Objective,
    optimizer: Optimizer,
    critic_sees_task: bool = False,
) -> AlgorithmSpec:
    told = policy.contextual or critic_sees_task
    return AlgorithmSpec(
        policy=with_task_critic(policy, tasks.specification) if critic_sees_task else policy,
        meta_episode=MetaEpisode(tasks, told, config.meta_episode_steps),
        config=config,
        objective=lambda h: as_loss(objective(h)),
        optimizer=lambda h: _transformation(optimizer, h),
        baseline=True,
    )


def _transformation(optimizer: Optimizer, h: Hyperparameters) -> optax.GradientTransformation:
    made = optimizer(h)
    if not isinstance(made, optax.GradientTransformation):
        raise ConfigurationError(
            "expected an optimizer that turns the hyper-parameters into an optax transformation, "
            f"got a function that returns {type(made).__name__}; return optax.adam(...), say."
        )
    return made


def _steps_are_best(policy: Policy) -> bool:
    """Whether the forward pass of the rollout shall be that of the loss.

    An unroll over time at once is worth a second forward pass where every step is waited for, on
    an accelerator, and where the gradient of a step would keep a whole window of the past.
    """
    return not policy.parallel or (jax.default_backend() == "cpu" and policy.context_length is None)
