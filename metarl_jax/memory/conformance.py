"""Whether a memory keeps the laws that the framework relies on."""

from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.checks import require_positive
from metarl_jax.memory.base import Memory, MemoryInput
from metarl_jax.memory.laws import LawReport, check_laws
from metarl_jax.memory.sequence_model import (
    SequenceModel,
    attempt,
    compile_once,
    disturbed,
    noise_like,
)
from metarl_jax.types import ConfigurationError

NUM_STEPS, NUM_TASKS = 12, 4
LONGEST = 64
"""Steps of a check at most, where a memory's window says how many are wanted."""


def check_memory(
    memory: Memory,
    *,
    remembers: bool | None = None,
    transition_size: int = 64,
    observation_size: int = 64,
    num_steps: int | None = None,
) -> LawReport:
    """Raises where a memory breaks a law that the framework relies on.

    Args:
        memory: the one to check. It reads noise, with its initial weights slightly disturbed.
        remembers: whether its outputs must depend on earlier inputs; by default they must, unless
            its `context_length` is 1.
        transition_size: D, units of the embedded transition; 64 is a policy's default.
        observation_size: D', units of the embedded observation.
        num_steps: steps to read; by default 12, or a few more than the memory's context where that
            is known, 64 at most.

    Returns:
        What was checked. `print` shows it.

    Raises:
        ConfigurationError: names the law, where it is broken, and how to mend it.
    """
    if not isinstance(memory, Memory):
        raise ConfigurationError(
            f"check_memory expects a Memory, got {type(memory).__name__}; return "
            "metarl_jax.Memory(name=..., init=..., initial_carry=..., step=..., unroll=...)."
        )
    steps = _steps_for(memory) if num_steps is None else num_steps
    require_positive("num_steps", steps)
    model = _model(memory, transition_size, observation_size, steps)
    wanted = memory.context_length != 1 if remembers is None else remembers
    return check_laws(model, remembers=wanted)


def _steps_for(memory: Memory) -> int:
    return min(max(NUM_STEPS, (memory.context_length or 0) + 4), LONGEST)


def _model(
    memory: Memory, transition_size: int, observation_size: int, num_steps: int
) -> SequenceModel:
    name = f"memory {memory.name!r}"
    sizes = transition_size, observation_size, 1
    form: Any = jax.ShapeDtypeStruct
    shapes = lambda *leading: MemoryInput(*(form((*leading, n), jnp.float32) for n in sizes))
    init_key, carry_key = jax.random.split(jax.random.key(0))
    params = attempt(name, "init", compile_once(memory.init), init_key, noise_like(shapes(), 0))
    return SequenceModel(
        name=name,
        step=memory.step,
        unroll=memory.unroll,
        params=disturbed(params),
        carry=attempt(name, "initial_carry", jax.jit(memory.initial_carry), carry_key),
        xs=noise_like(shapes(num_steps, NUM_TASKS), 1),
        others=noise_like(shapes(num_steps, NUM_TASKS), 2),
    )
