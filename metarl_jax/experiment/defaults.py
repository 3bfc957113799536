"""The settings that a task family starts from where nobody has chosen any."""

import jax

from metarl_jax.experiment.settings import Budget, EvaluationSettings, Settings
from metarl_jax.learning.settings import PPO, Adam, Discounting
from metarl_jax.memory.settings import GRU
from metarl_jax.policy.settings import Adaptive
from metarl_jax.tasks.distribution import TaskDistribution, is_discrete

DISCRETE = Settings()
CONTINUOUS = Settings(
    policy=Adaptive(head_sizes=(64,), normalize_observations=True),
    memory=GRU(hidden_size=64),
    algorithm=PPO(gae_lambda=(0.9,), entropy_coefficient=(0.0,)),
    optimizer=Adam(learning_rate=(1e-3, 1e-4)),
    discounting=Discounting(discount=(0.97,)),
    budget=Budget(num_tasks=64),
    evaluation=EvaluationSettings(
        num_evaluations=10, evaluation_tasks=64, final_evaluation_tasks=256
    ),
)
"""Many gradient steps from small batches, and observations of unknown scale normalised."""


def settings_for(tasks: TaskDistribution) -> Settings:
    """`DISCRETE` or `CONTINUOUS`, as the actions of a task family are.

    Args:
        tasks: p(M), of which one task's action space is read.
    """
    try:
        task = tasks.sample(jax.random.key(0))
        continuous = not is_discrete(tasks.environment.action_space(task))
    except Exception:  # what is wrong with it is said, in words, when it is checked
        continuous = False
    return CONTINUOUS if continuous else DISCRETE
