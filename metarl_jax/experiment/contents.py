"""What a module holds that a command can be given by name."""

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from metarl_jax.experiment.code import return_type
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.memory.base import Memory
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import TaskDistribution


def _is_experiment(found: Any, module: ModuleType) -> bool:
    del module
    return isinstance(found, Experiment)


def _is_memory(found: Any, module: ModuleType) -> bool:
    return isinstance(found, Memory) or _returns(Memory)(found, module)


def _returns(kind: type) -> Callable[[Any, ModuleType], bool]:
    """Whether something is a function of the module itself that says it returns such an object."""

    def holds(found: Any, module: ModuleType) -> bool:
        own = inspect.isfunction(found) and found.__module__ == module.__name__
        return own and return_type(found) == kind.__name__

    return holds


KINDS: Mapping[str, Callable[[Any, ModuleType], bool]] = {
    "experiments": _is_experiment,
    "task families": _returns(TaskDistribution),
    "memories": _is_memory,
    "policies": _returns(Policy),
}
"""The kinds of things that are looked for, and how each is told from everything else."""


def contents(module: ModuleType) -> dict[str, dict[str, str]]:
    """The public names of a module by kind, each with the first line of what describes it.

    Args:
        module: an imported module.

    Returns:
        Kind -> name -> summary, in the order of the module; only kinds that it has.
    """
    public = {name: found for name, found in vars(module).items() if not name.startswith("_")}
    every = {
        kind: {name: _summary(found) for name, found in public.items() if holds(found, module)}
        for kind, holds in KINDS.items()
    }
    return {kind: names for kind, names in every.items() if names}


def _summary(found: Any) -> str:
    text = found.summary if isinstance(found, Experiment) else inspect.getdoc(found) or ""
    return text.partition("\n")[0]
