"""The kinds that a branch of the settings chooses from: ours by name, and yours by place.

A kind is a frozen dataclass of what it can be told. One of your own is named as `FILE.py:NAME` or
`MODULE:NAME`, or by the name of an entry point that a package installs:

    [project.entry-points."metarl_jax.memories"]
    min_gru = "mypackage.memories:min_gru"
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metarl_jax.experiment.code import load_object, return_type
from metarl_jax.learning.settings import A2C, PPO, SGD, Adam, AdamW, Muon, Reinforce, RMSProp
from metarl_jax.memory.base import Memory
from metarl_jax.memory.settings import (
    GRU,
    LSTM,
    SNAIL,
    ContextSet,
    LinearRecurrence,
    Transformer,
)
from metarl_jax.policy.settings import Adaptive, Contextual, Memoryless
from metarl_jax.types import ConfigurationError


def _by_name(*kinds: Any) -> dict[str, type]:
    return {kind.name: kind for kind in kinds}


CHOICES: Mapping[str, Mapping[str, type]] = {
    "policy": _by_name(Adaptive, Memoryless, Contextual),
    "memory": _by_name(GRU, LSTM, LinearRecurrence, ContextSet, SNAIL, Transformer),
    "algorithm": _by_name(A2C, PPO, Reinforce),
    "optimizer": _by_name(Adam, AdamW, Muon, RMSProp, SGD),
    "objective": {},
}
"""The branches that are one of several kinds, and our own kinds by name."""
GROUPS: Mapping[str, str] = {
    "memory": "metarl_jax.memories",
    "optimizer": "metarl_jax.optimizers",
    "objective": "metarl_jax.objectives",
}
"""The branches that take a kind of your own, and the entry points that offer one by name."""
STEPS = "num_steps"
"""An argument of your memory's that is given the steps of the longest meta-episode."""


def kind_names(branch: str) -> tuple[str, ...]:
    """The names that a branch can be given: ours, and those that packages offer."""
    return (*CHOICES[branch], *sorted(_offered(branch)))


def kind_of(branch: str, name: str) -> Any:
    """The kind of that name.

    Args:
        branch: of `CHOICES`.
        name: of `kind_names`; where the branch is one of `GROUPS`, also `FILE.py:NAME` or
            `MODULE:NAME`.

    Raises:
        ConfigurationError: there is none, or what is there cannot be one.
    """
    if name in CHOICES[branch]:
        return CHOICES[branch][name]
    offered = _offered(branch)
    if branch in GROUPS and (":" in name or name in offered):
        return _own_kind(branch, name if name in offered else absolute_place(name))
    also = ", or FILE.py:NAME" if branch in GROUPS else ""
    raise ConfigurationError(
        f"{branch} must be one of {', '.join(kind_names(branch)) or 'yours'}{also}, got {name!r}."
    )


def absolute_place(place: str) -> str:
    """FILE.py:NAME with an absolute path, so that a run can be read from any folder."""
    file, _, name = place.rpartition(":")
    return f"{Path(file).absolute()}:{name}" if file.endswith(".py") else place


def _offered(branch: str) -> dict[str, str]:
    points = importlib.metadata.entry_points(group=GROUPS[branch]) if branch in GROUPS else ()
    return {point.name: point.value for point in points}


@functools.cache
def _own_kind(branch: str, name: str) -> type:
    found = load_object(_offered(branch).get(name, name))
    if branch == "memory":
        return _memory_kind(name, found)
    if not callable(found) or isinstance(found, type):
        raise ConfigurationError(
            f"{name}: expected a function of the hyper-parameters that returns an "
            f"{'optax transformation' if branch == 'optimizer' else 'objective'}, got "
            f"{type(found).__name__}."
        )
    bases, attribute = ((Adam,), "optimizer") if branch == "optimizer" else ((), "objective")
    return dataclasses.make_dataclass(
        found.__name__,
        (),
        bases=bases,
        namespace={"name": name, attribute: staticmethod(found), "__doc__": found.__doc__},
        frozen=True,
        kw_only=True,
    )


def require_memory(name: str, found: Any) -> None:
    """Refuses what is no memory before it is called: a run's folder may name anything.

    Raises:
        ConfigurationError: it is neither a `Memory` nor a function that says it returns one.
    """
    if isinstance(found, Memory):
        return
    with contextlib.suppress(TypeError, ValueError):  # no signature, or nothing to call
        if return_type(found) == Memory.__name__:
            return
    raise ConfigurationError(
        f"{name}: expected a Memory, or a function that says it returns one, got "
        f"{getattr(found, '__name__', type(found).__name__)}; write `def NAME(...) -> Memory:`."
    )


def _memory_kind(name: str, found: Any) -> type:
    make: Callable[..., Any] = (lambda: found) if isinstance(found, Memory) else found
    require_memory(name, found)
    parameters = inspect.signature(make).parameters
    fields = [
        (p.name, p.annotation, dataclasses.field(default=p.default))
        for p in parameters.values()
        if p.name != STEPS
    ]
    if bare := [n for n, kind, field in fields if inspect.Parameter.empty in (kind, field.default)]:
        raise ConfigurationError(
            f"{name}: every argument of a memory but {STEPS} must have a type and a default, got "
            f"{', '.join(bare)} without; write it as `hidden_size: int = 64`."
        )

    def build(self: Any, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        steps = {STEPS: num_steps} if STEPS in parameters else {}
        arguments = {n: getattr(self, n) for n, _, _ in fields} | steps
        memory = make(**arguments)
        if not isinstance(memory, Memory):
            raise ConfigurationError(
                f"{name}: expected a function that returns a Memory, got {type(memory).__name__}."
            )
        return memory._replace(
            made_by=(_offered("memory").get(name, name), tuple(arguments.items()))
        )

    return dataclasses.make_dataclass(
        getattr(found, "__name__", "OwnMemory"),
        fields,
        namespace={"name": name, "build": build, "__doc__": make.__doc__},
        frozen=True,
        kw_only=True,
    )
