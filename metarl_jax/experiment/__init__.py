"""Experiments: a task family, the settings that learn it, and what they build."""

from metarl_jax.experiment.build import Setup, build_setup
from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.registry import experiment_names, load_experiment
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.experiment.settings import Budget, EvaluationSettings, Settings
from metarl_jax.experiment.sweep import Sweep, agents_of

__all__ = [
    "Budget",
    "EvaluationSettings",
    "Experiment",
    "FamilyAt",
    "RunConfig",
    "Settings",
    "Setup",
    "Sweep",
    "agents_of",
    "build_setup",
    "experiment_names",
    "load_config",
    "load_experiment",
]
