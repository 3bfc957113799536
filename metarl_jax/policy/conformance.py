"""Whether a policy keeps the laws that the framework relies on."""

from typing import Any

import jax
import numpy as np

import metarl_jax.memory as memories
from metarl_jax.memory.base import Memory
from metarl_jax.memory.laws import (
    LawReport,
    check_laws,
    influence,
    is_causal,
    keeps_its_carry,
    unrolls_as_it_steps,
)
from metarl_jax.memory.sequence_model import (
    Compiled,
    SequenceModel,
    attempt,
    compile_once,
    disturbed,
    noise_like,
    numbers,
)
from metarl_jax.policy.policy import Policy, PolicyParams, blank_experience
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.specification import Specification
from metarl_jax.types import ConfigurationError, PyTree

NUM_STEPS, NUM_TASKS = 12, 4
NUM_STEPS_QUICK, NUM_TASKS_QUICK = 5, 2
Shapes = TaskDistribution | Specification | None


def check_policy(
    policy: Policy, tasks: Shapes = None, *, remembers: bool | None = None
) -> LawReport:
    """Raises where a policy breaks a law that the framework relies on.

    Args:
        policy: the one to check. It reads noise, with its initial weights slightly disturbed.
        tasks: what it acts in, read for shapes alone; those shapes; or None for a policy that knows
            them, as those of `adaptive_policy` and its siblings do.
        remembers: whether its outputs must depend on earlier experience; by default they must,
            unless the policy has no memory or one whose context is a single step.

    Returns:
        What was checked. `print` shows it.

    Raises:
        ConfigurationError: names the law, where it is broken, and how to mend it.
    """
    params = disturbed(_initial_params(policy))
    model = _model(policy, _shapes(policy, tasks), params, NUM_STEPS, NUM_TASKS)
    by_default = policy.name != "memoryless" and policy.context_length != 1
    return check_laws(model, remembers=by_default if remembers is None else remembers)


def check_unroll(policy: Policy, tasks: Shapes = None) -> None:
    """Compares `unroll` with repeated `step`, and looks for outputs that see later experience.

    It takes a few seconds and runs before training, which a wrong `unroll` would waste: the policy
    would learn from features that it does not have when it acts. The memories of `metarl_jax` are
    passed over: the tests of the framework hold them to these laws.

    Args:
        policy: the one to check.
        tasks: see `check_policy`.

    Raises:
        ConfigurationError: the two differ; says where, and how to mend it.
    """
    shapes = _shapes(policy, tasks)
    if _has_known_memory(policy):
        return
    with jax.default_matmul_precision("highest"):
        compiled = _compiled(policy, shapes, _random_params(policy))
        if not _finite(compiled):  # weights may have a meaning that random numbers do not
            compiled = _compiled(policy, shapes, _initial_params(policy))
        is_causal(compiled.model, influence(compiled))
        unrolls_as_it_steps(compiled)


def _has_known_memory(policy: Policy) -> bool:
    """Whether its memory is one of `metarl_jax.memory`, around no memory of a user's own."""
    if policy.architecture is None or policy.memory_made_by is None:
        return False
    name, arguments = policy.memory_made_by
    own = any(isinstance(argument, Memory) for _, argument in arguments)
    return name in memories.__all__ and not own


def _compiled(policy: Policy, shapes: Specification, params: PyTree) -> Compiled:
    model = _model(policy, shapes, params, NUM_STEPS_QUICK, NUM_TASKS_QUICK)
    keeps_its_carry(model)
    return Compiled(model)


def _finite(compiled: Compiled) -> bool:
    outputs = compiled.steps(compiled.model.xs)
    return all(np.isfinite(leaf).all() for _, leaf in numbers(outputs))


def _name(policy: Policy) -> str:
    return f"{policy.name} policy" + (f" with memory {policy.memory!r}" if policy.memory else "")


def _shapes(policy: Policy, tasks: Shapes) -> Specification:
    if not isinstance(policy, Policy):
        raise ConfigurationError(
            f"expected a Policy, got {type(policy).__name__}; adaptive_policy(tasks, memory) makes "
            "one."
        )
    if isinstance(tasks, TaskDistribution):
        return tasks.specification
    if found := tasks or policy.specification:
        return found
    raise ConfigurationError(
        f"expected the tasks that the {_name(policy)} acts in, got none; call "
        "check_policy(policy, tasks)."
    )


def _random_params(policy: Policy) -> PyTree:
    """Random weights and constant statistics: `init` takes longer to compile than the check."""
    shapes = jax.eval_shape(policy.init, jax.random.key(0))
    if not isinstance(shapes, PolicyParams):
        return _initial_params(policy)
    half = lambda leaf: np.full(leaf.shape, 0.5, leaf.dtype)
    return PolicyParams(noise_like(shapes.weights, 0, 0.4), jax.tree.map(half, shapes.statistics))


def _initial_params(policy: Policy) -> PyTree:
    return attempt(_name(policy), "init", compile_once(policy.init), jax.random.key(0))


def _model(
    policy: Policy, shapes: Specification, params: PyTree, num_steps: int, num_tasks: int
) -> SequenceModel:
    blank = blank_experience(shapes, policy.contextual)
    wide: Any = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((num_steps, num_tasks, *leaf.shape), leaf.dtype), blank
    )
    carry = attempt(_name(policy), "initial_carry", policy.initial_carry, jax.random.key(1))
    return SequenceModel(
        name=_name(policy),
        step=policy.step,
        unroll=policy.unroll,
        params=params,
        carry=carry,
        xs=noise_like(wide, 1),
        others=noise_like(wide, 2),
    )
