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
from metarl_jax.policy.encoder import Encoder
from metarl_jax.policy.settings import CNN, Adaptive, Contextual, Flat, Grid, Memoryless
from metarl_jax.types import ConfigurationError


def _by_name(*kinds: Any) -> dict[str, type]:
    return {kind.name: kind for kind in kinds}


CHOICES: Mapping[str, Mapping[str, type]] = {
    "policy": _by_name(Adaptive, Memoryless, Contextual),
    "encoder": _by_name(Flat, CNN, Grid),
    "memory": _by_name(GRU, LSTM, LinearRecurrence, ContextSet, SNAIL, Transformer),
    "algorithm": _by_name(A2C, PPO, Reinforce),
    "optimizer": _by_name(Adam, AdamW, Muon, RMSProp, SGD),
    "objective": {},
}
"""The branches that are one of several kinds, and our own kinds by name."""
GROUPS: Mapping[str, str] = {
    "encoder": "metarl_jax.encoders",
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
    if branch == "encoder":
        return _encoder_kind(name, found)
    if not callable(found) or isinstance(found, type):
        raise ConfigurationError(
            f"{name}: expected a function of the hyper-parameters that returns an "
            f"{'optax transformation' if branch == 'optimizer' else 'objective'}, got "
            f"{type(found).__name__}."
        )
    bases, attribute = ((Adam,), "optimizer") if branch == "optimizer" else ((), "objective")
    return dataclasses.make_dataclass(
        getattr(found, "__name__", "Own"),
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
    if not isinstance(found, Memory):
        _require_returns(name, found, Memory)


def require_encoder(name: str, found: Any) -> None:
    """Refuses what makes no encoder before it is called: a run's folder may name anything.

    Raises:
        ConfigurationError: it is no function that says it returns an `Encoder`.
    """
    _require_returns(name, found, Encoder)


def _require_returns(name: str, found: Any, record: type) -> None:
    with contextlib.suppress(TypeError, ValueError):  # no signature, or nothing to call
        if return_type(found) == record.__name__:
            return
    raise ConfigurationError(
        f"{name}: expected a function that says it returns {_with_article(record.__name__)}, got "
        f"{getattr(found, '__name__', type(found).__name__)}; write "
        f"`def NAME(...) -> {record.__name__}:`."
    )


def _memory_kind(name: str, found: Any) -> type:
    make: Callable[..., Any] = (lambda: found) if isinstance(found, Memory) else found
    require_memory(name, found)
    parameters = _parameters(make)
    fields = _fields(name, "memory", parameters, STEPS)

    def build(self: Any, num_steps: int) -> Memory:
        """The memory, for meta-episodes of at most `num_steps` steps."""
        steps = {STEPS: num_steps} if STEPS in parameters else {}
        arguments = {n: getattr(self, n) for n, _, _ in fields} | steps
        return _made("memory", name, make(**arguments), Memory, arguments)

    return _kind(name, found, fields, build)


def _encoder_kind(name: str, found: Any) -> type:
    require_encoder(name, found)
    parameters = _parameters(found)
    fields = _fields(name, "encoder", parameters, next(iter(parameters), ""))

    def build(self: Any) -> Callable[[Any], Encoder]:
        """What makes the encoder of a space."""
        arguments = {n: getattr(self, n) for n, _, _ in fields}
        return lambda space: _made("encoder", name, found(space, **arguments), Encoder, arguments)

    return _kind(name, found, fields, build)


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function, eval_str=True).parameters  # a file may defer its annotations


_Field = tuple[str, Any, Any]


def _fields(
    name: str, branch: str, parameters: Mapping[str, inspect.Parameter], given: str
) -> list[_Field]:
    """The arguments that flags can set, which are all but the one that is given."""
    others = [p for p in parameters.values() if p.name != given]
    if bare := [p.name for p in others if p.empty in (p.annotation, p.default)]:
        raise ConfigurationError(
            f"{name}: every argument of {_with_article(branch)} but {given} must have a type and a "
            f"default, got {', '.join(bare)} without; write it as `hidden_size: int = 64`."
        )
    if mutable := [p.name for p in others if isinstance(p.default, list | dict | set)]:
        raise ConfigurationError(
            f"{name}: expected defaults that cannot change, got a list, dict or set for "
            f"{', '.join(mutable)}; write a tuple."
        )
    return [(p.name, p.annotation, dataclasses.field(default=p.default)) for p in others]


def _made(branch: str, name: str, record: Any, kind: Any, arguments: Mapping[str, Any]) -> Any:
    """The record, which knows how it was made."""
    if not isinstance(record, kind):
        raise ConfigurationError(
            f"{name}: expected a function that returns {_with_article(kind.__name__)}, got "
            f"{type(record).__name__}."
        )
    return record._replace(made_by=(_offered(branch).get(name, name), tuple(arguments.items())))


def _kind(name: str, found: Any, fields: list[_Field], build: Callable[..., Any]) -> type:
    return dataclasses.make_dataclass(
        getattr(found, "__name__", "Own"),
        fields,
        namespace={"name": name, "build": build, "__doc__": found.__doc__},
        frozen=True,
        kw_only=True,
    )


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"
