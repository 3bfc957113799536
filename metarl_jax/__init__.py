"""Meta-reinforcement learning on accelerators.

    import jax
    from metarl_envs.bandit import bandit
    from metarl_jax import UpdateConfig, a2c, evaluate, gru, hyperparameters, recurrent_policy

    tasks = bandit(num_arms=5, num_pulls=10)
    policy = recurrent_policy(tasks, gru(64))
    algorithm = a2c(tasks, policy, hyperparameters(), UpdateConfig(num_tasks=1024))
    state = algorithm.init(jax.random.key(0))
    state, metrics = jax.jit(algorithm.update)(state)
    print(evaluate(tasks, policy, state.learner.params, jax.random.key(1), 10_000))

Checkpoints, the training loop and the pictures are imported by name (`metarl_jax.checkpoint`,
`metarl_jax.training`, `metarl_jax.report`), so that this import stays quick.
"""

from metarl_jax.algorithms import (
    a2c,
    a2c_objective,
    ppo,
    ppo_objective,
    reinforce,
    reinforce_objective,
)
from metarl_jax.conformance import check_task_distribution
from metarl_jax.evaluation import Evaluation, make_evaluator, meta_test_tasks
from metarl_jax.learner import Algorithm, TrainState, UpdateConfig
from metarl_jax.losses import (
    Loss,
    as_loss,
    clipped_policy_gradient,
    entropy_bonus,
    policy_gradient,
    value_error,
)
from metarl_jax.memory import (
    Memory,
    MemoryInput,
    context_set,
    gru,
    kl_to_prior,
    linear_recurrence,
    lstm,
    memoryless,
    snail,
    stacked,
    transformer,
    unroll_by_steps,
)
from metarl_jax.meta_episode import MetaEpisode
from metarl_jax.meta_test import evaluate, make_meta_test
from metarl_jax.policy import (
    Architecture,
    Policy,
    PolicyOutput,
    contextual_policy,
    memoryless_policy,
    recurrent_policy,
)
from metarl_jax.population import population
from metarl_jax.rollout import Rollout, collect, episode_returns, start, task_keys
from metarl_jax.schedules import Hyperparameters, hyperparameters
from metarl_jax.sharding import Devices
from metarl_jax.tasks import References, TaskDistribution
from metarl_jax.types import ConfigurationError, Experience, Transition

__all__ = [
    "Algorithm",
    "Architecture",
    "ConfigurationError",
    "Devices",
    "Evaluation",
    "Experience",
    "Hyperparameters",
    "Loss",
    "Memory",
    "MemoryInput",
    "MetaEpisode",
    "Policy",
    "PolicyOutput",
    "References",
    "Rollout",
    "TaskDistribution",
    "TrainState",
    "Transition",
    "UpdateConfig",
    "a2c",
    "a2c_objective",
    "as_loss",
    "check_task_distribution",
    "clipped_policy_gradient",
    "collect",
    "context_set",
    "contextual_policy",
    "entropy_bonus",
    "episode_returns",
    "evaluate",
    "gru",
    "hyperparameters",
    "kl_to_prior",
    "linear_recurrence",
    "lstm",
    "make_evaluator",
    "make_meta_test",
    "memoryless",
    "memoryless_policy",
    "meta_test_tasks",
    "policy_gradient",
    "population",
    "ppo",
    "ppo_objective",
    "recurrent_policy",
    "reinforce",
    "reinforce_objective",
    "snail",
    "stacked",
    "start",
    "task_keys",
    "transformer",
    "unroll_by_steps",
    "value_error",
]
