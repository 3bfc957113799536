"""Meta-reinforcement learning on accelerators.

    import jax
    from metarl_envs.bandit import bandit
    from metarl_jax import UpdateConfig, a2c, evaluate, gru, hyperparameters, adaptive_policy

    tasks = bandit(num_arms=5, num_pulls=10)
    policy = adaptive_policy(tasks, gru(64))
    algorithm = a2c(tasks, policy, hyperparameters(), UpdateConfig(num_tasks=1024))
    state = algorithm.init(jax.random.key(0))
    state, metrics = jax.jit(algorithm.update)(state)
    print(evaluate(tasks, policy, state.learner.params, jax.random.key(1), 10_000))

Known methods are compositions of a few parts:

    method                        memory                      losses
    RL² (Duan et al. 2016),       gru, lstm                   policy_gradient + value_error
      L2RL (Wang et al. 2016)                                   - entropy_bonus
    SNAIL (Mishra et al. 2018)    snail                       the same
    transformer policies          transformer                 the same
      (TrMRL, AMAGO, AdA)
    state-space models (S5)       linear_recurrence           the same
    PEARL's encoder               context_set("gaussians")    + kl_to_prior
      (Rakelly et al. 2019)
    contextual policy             any, told the task          the same as RL²
    memoryless policy             none                        the same as RL²
"""

from metarl_jax.checkpoint import CheckpointError, Restored, SaveError, restore, save
from metarl_jax.evaluation import (
    Ablation,
    Evaluation,
    EvaluationRecord,
    EvaluationSubject,
    PointRecord,
    PopulationEvaluation,
    PopulationRecord,
    ReferenceTotals,
    Scores,
    evaluate,
    make_evaluator,
    make_task_evaluator,
    measure,
    meta_test_tasks,
    read_population_record,
    read_record,
    scores_of,
    write_record,
)
from metarl_jax.experiment import (
    Experiment,
    Settings,
    Setup,
    build_setup,
    experiment_names,
    load_experiment,
)
from metarl_jax.learning import (
    Algorithm,
    Hyperparameters,
    LearnerState,
    Loss,
    TrainState,
    UpdateConfig,
    a2c,
    a2c_objective,
    as_loss,
    clipped_policy_gradient,
    entropy_bonus,
    hyperparameters,
    policy_gradient,
    population,
    ppo,
    ppo_objective,
    reinforce,
    reinforce_objective,
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
from metarl_jax.parallel import DataParallel
from metarl_jax.policy import (
    Architecture,
    Categorical,
    DiagonalGaussian,
    Policy,
    PolicyOutput,
    PolicyParams,
    adaptive_policy,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.rollout import Rollout, collect, episode_returns, start, task_keys
from metarl_jax.tasks import (
    BoxSpace,
    Choice,
    DiscreteSpace,
    Environment,
    Limbs,
    Measure,
    MetaEpisode,
    MetaState,
    Rectangle,
    References,
    Scene,
    TaskDistribution,
    check_task_distribution,
)
from metarl_jax.training import (
    ExitCode,
    MetricsRow,
    Outcome,
    TensorBoardLogger,
    TrainingPlan,
    WandbLogger,
    read_rows,
    train,
)
from metarl_jax.types import ConfigurationError, Experience, Transition

__all__ = [
    "Ablation",
    "Algorithm",
    "Architecture",
    "BoxSpace",
    "Categorical",
    "CheckpointError",
    "Choice",
    "ConfigurationError",
    "DataParallel",
    "DiagonalGaussian",
    "DiscreteSpace",
    "Environment",
    "Evaluation",
    "EvaluationRecord",
    "EvaluationSubject",
    "ExitCode",
    "Experience",
    "Experiment",
    "Hyperparameters",
    "LearnerState",
    "Limbs",
    "Loss",
    "Measure",
    "Memory",
    "MemoryInput",
    "MetaEpisode",
    "MetaState",
    "MetricsRow",
    "Outcome",
    "PointRecord",
    "Policy",
    "PolicyOutput",
    "PolicyParams",
    "PopulationEvaluation",
    "PopulationRecord",
    "Rectangle",
    "ReferenceTotals",
    "References",
    "Restored",
    "Rollout",
    "SaveError",
    "Scene",
    "Scores",
    "Settings",
    "Setup",
    "TaskDistribution",
    "TensorBoardLogger",
    "TrainState",
    "TrainingPlan",
    "Transition",
    "UpdateConfig",
    "WandbLogger",
    "a2c",
    "a2c_objective",
    "adaptive_policy",
    "as_loss",
    "build_setup",
    "check_task_distribution",
    "clipped_policy_gradient",
    "collect",
    "context_set",
    "contextual_policy",
    "entropy_bonus",
    "episode_returns",
    "evaluate",
    "experiment_names",
    "gru",
    "hyperparameters",
    "kl_to_prior",
    "linear_recurrence",
    "load_experiment",
    "lstm",
    "make_evaluator",
    "make_task_evaluator",
    "measure",
    "memoryless",
    "memoryless_policy",
    "meta_test_tasks",
    "policy_gradient",
    "population",
    "ppo",
    "ppo_objective",
    "read_population_record",
    "read_record",
    "read_rows",
    "reinforce",
    "reinforce_objective",
    "restore",
    "save",
    "scores_of",
    "snail",
    "stacked",
    "start",
    "task_keys",
    "train",
    "transformer",
    "unroll_by_steps",
    "value_error",
    "write_record",
]
