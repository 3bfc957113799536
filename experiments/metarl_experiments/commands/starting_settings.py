"""The settings that a run starts from where its experiment has none of its own."""

import dataclasses

from metarl_experiments.runs import make_tasks
from metarl_jax.experiment.defaults import CONTINUOUS, settings_for
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.experiment.settings import Settings
from metarl_jax.parallel.processes import is_first


def load_with_settings(name: str) -> Experiment:
    """The experiment of that name; one without settings of its own gets those for its actions."""
    experiment = load_experiment(name)
    if experiment.settings != Settings():
        return experiment
    settings = settings_for(make_tasks(experiment, experiment.arguments))
    kind = "continuous" if settings.algorithm == CONTINUOUS.algorithm else "discrete"
    if is_first():
        chosen = f"{settings.algorithm.name}, {settings.memory_name}"
        print(f"{name}: no settings of its own; starts from those for {kind} actions ({chosen}).")
    return dataclasses.replace(experiment, settings=settings)
