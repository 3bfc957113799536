"""Experiments: a task family, the settings that learn it, and what they build."""

from metarl_jax.experiment.build import Program, make_program
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.registry import experiment_names, load_experiment
from metarl_jax.experiment.settings import Settings
from metarl_jax.experiment.sweep import Sweep, agents_of

__all__ = [
    "Experiment",
    "Program",
    "Settings",
    "Sweep",
    "agents_of",
    "experiment_names",
    "load_experiment",
    "make_program",
]
