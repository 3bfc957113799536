"""The laws of a sequence model; each function here checks one and raises where it is broken.

A memory over its inputs and a policy over its experiences obey the same laws.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.memory.base import unroll_by_steps
from metarl_jax.memory.sequence_model import (
    Compiled,
    SequenceModel,
    attempt,
    compile_once,
    differs,
    errors,
    exchanged,
    numbers,
    same_bits,
    squares,
    wide,
)
from metarl_jax.tasks.purity import impurity
from metarl_jax.trees import first_difference, structure
from metarl_jax.types import ConfigurationError, PyTree

TOLERANCE = 1e-4
"""The largest relative error that rounding explains: associative scans add in another order."""

LAWS = (
    "unroll is repeated step in outputs, carry and gradients",
    "no output depends on a later input",
    "a carry of fixed size",
    "tasks kept apart under any leading axes",
    "finite outputs and gradients",
    "the same numbers each time",
)


@dataclasses.dataclass(frozen=True)
class LawReport:
    """What was checked, and of what size it is.

    Attributes:
        name: of the model, such as "memory 'gru'".
        laws: those that it keeps, for people.
        num_parameters: numbers in its parameters.
        carry_size: numbers in the carry of one task.
    """

    name: str
    laws: tuple[str, ...]
    num_parameters: int
    carry_size: int

    def __str__(self) -> str:
        return (
            f"{self.name} keeps the laws: {'; '.join(self.laws)}. It has {self.num_parameters:,} "
            f"parameters and a carry of {self.carry_size:,} numbers."
        )


def check_laws(model: SequenceModel, *, remembers: bool) -> LawReport:
    """Checks every law of this file.

    Args:
        model: the one to check.
        remembers: whether an output must depend on earlier inputs.

    Raises:
        ConfigurationError: one is broken.
    """
    with jax.default_matmul_precision("highest"):
        keeps_its_carry(model)
        is_pure(model)
        compiled = Compiled(model)
        is_finite_and_repeats(compiled)
        depends = influence(compiled)
        is_causal(model, depends)
        unrolls_as_it_steps(compiled)
        if remembers:
            remembers_the_past(model, depends)
        keeps_tasks_apart(compiled)
        has_sound_gradients(model)
    size = lambda tree: sum(jnp.size(leaf) for leaf in jax.tree.leaves(tree))
    laws = (*LAWS, "outputs that depend on the past") if remembers else LAWS
    return LawReport(model.name, laws, size(model.params), size(model.carry))


def keeps_its_carry(model: SequenceModel) -> None:
    """The carry has the same structure, shapes and dtypes after one step and after T."""
    x = jax.tree.map(lambda leaf: leaf[0, 0], model.xs)
    xs = jax.tree.map(lambda leaf: leaf[:, 0], model.xs)
    trace = lambda what, run, x: attempt(
        model.name, what, lambda: jax.eval_shape(run, model.params, model.carry, x)
    )
    after, y = trace("step", model.step, x)
    _expect_carry(model, "step", after)
    later, ys = trace("unroll", model.unroll, xs)
    _expect_carry(model, "unroll", later)
    wanted = jax.tree.map(lambda leaf: (model.num_steps, *leaf.shape), y)
    if jax.tree.map(jnp.shape, ys) != wanted:
        raise ConfigurationError(
            f"{model.name}: expected unroll to return the outputs of {model.num_steps} steps, time "
            f"first, {structure(y)} each, got {structure(ys)}; stack them along the first axis."
        )


def _expect_carry(model: SequenceModel, method: str, carry: PyTree) -> None:
    if different := first_difference(structure(model.carry), structure(carry)):
        path, old, new = different
        raise ConfigurationError(
            f"{model.name}: expected {method} to return a carry like the one it was given, got "
            f"another: leaf {path or 'carry'} was {old} and is {new}. A carry keeps its "
            "structure, shapes and dtypes however long it has run: keep a window of fixed size, "
            "or a sum, and state the dtypes of initial_carry."
        )
    if jax.tree.structure(carry) != jax.tree.structure(model.carry):
        raise ConfigurationError(
            f"{model.name}: expected {method} to return a carry like the one it was given, got "
            f"{jax.tree.structure(carry)} for {jax.tree.structure(model.carry)}; return "
            "(carry, y), the carry in the containers that initial_carry uses."
        )


def is_pure(model: SequenceModel) -> None:
    """The same arguments give the same numbers."""
    x = jax.tree.map(lambda leaf: leaf[0, 0], model.xs)
    xs = jax.tree.map(lambda leaf: leaf[:, 0], model.xs)
    for method, run, given in (("step", model.step, x), ("unroll", model.unroll, xs)):
        if seen := impurity(run, (model.params, model.carry, given), None):
            raise ConfigurationError(
                f"{model.name}: expected {method} to depend on its arguments alone, got one that "
                f"{seen}; keep what changes in the carry, and draw with jax.random from a key "
                "there."
            )


def is_finite_and_repeats(compiled: Compiled) -> None:
    """Finite outputs, and the same ones twice."""
    model = compiled.model
    runs = lambda: (compiled.unroll(model.xs), compiled.steps(model.xs))
    first, again = runs(), runs()
    for name, leaf in numbers(first[1][1]):
        if not np.isfinite(leaf).all():
            step = int(np.argwhere(~np.isfinite(leaf))[0][0])
            raise ConfigurationError(
                f"{model.name}: expected finite outputs, got {leaf[~np.isfinite(leaf)][0]} in "
                f"{name} at step {step}, for inputs of about 1; look for a division by 0, the "
                "logarithm of 0 or an exponential that overflows."
            )
    if not same_bits(first, again):
        raise ConfigurationError(
            f"{model.name}: expected the same outputs for the same inputs, got others in a second "
            "run; a callback draws on randomness or on a state of its own: use a key in the carry."
        )


def influence(compiled: Compiled) -> np.ndarray:
    """Which inputs each output of `unroll` depends on, to the bit: [T, T] bool, output by input."""
    model = compiled.model
    outputs = lambda xs: jax.tree.leaves(compiled.unroll(xs)[1])
    before, columns = outputs(model.xs), []
    for k in range(model.num_steps):
        after = outputs(exchanged(model, (k,)))
        pairs = zip(before, after, strict=True)
        columns.append(np.any([differs(a, b).reshape(len(a), -1).any(1) for a, b in pairs], axis=0))
    return np.stack(columns, axis=1)


def is_causal(model: SequenceModel, depends: np.ndarray) -> None:
    """∂y_t/∂x_{t+k} = 0: no output changes, not by a bit, when a later input does."""
    future = np.argwhere(np.triu(depends, 1))
    if future.size:
        t, k = future[0][0], future[future[:, 0] == future[0][0]][:, 1].max()
        raise ConfigurationError(
            f"{model.name}: expected output {t} to depend on inputs 0 to {t} alone, got one that "
            f"changes when input {k} changes: its unroll looks into the future. Scan forwards in "
            "time, and mask later steps."
        )


def remembers_the_past(model: SequenceModel, depends: np.ndarray) -> None:
    """Some output depends on an earlier input."""
    if not np.tril(depends, -1).any():
        raise ConfigurationError(
            f"{model.name}: expected outputs that depend on earlier inputs, got ones that depend "
            f"on none of the {model.num_steps - 1} steps before: it forgets everything. Write into "
            "the carry what was read, and read the carry for the output; or say remembers=False."
        )


def unrolls_as_it_steps(compiled: Compiled, tolerance: float = TOLERANCE) -> None:
    """`unroll` is repeated `step`, in outputs and in the last carry."""
    by_unroll, by_steps = (run(compiled.model.xs) for run in (compiled.unroll, compiled.steps))
    for part, got, expected in (
        ("output", by_unroll[1], by_steps[1]),
        ("last carry", by_unroll[0], by_steps[0]),
    ):
        for name, error, at in errors(got, expected):
            if error > tolerance:
                where = f" at step {at[0]}" if part == "output" else ""
                raise ConfigurationError(
                    f"{compiled.model.name}: expected the {part} of unroll to be that of repeated "
                    f"step, got another {name}{where}: a relative difference of {error:.2g}, of "
                    f"which rounding explains {tolerance:g}. Make the two the same computation; "
                    "unroll_by_steps(step) is the unroll that every step has."
                )


def keeps_tasks_apart(compiled: Compiled, tolerance: float = TOLERANCE) -> None:
    """Leading axes are free: rows of a batch are independent, and [], [B], [S, B] are one."""
    _expect_rows(compiled)
    model = compiled.model
    first = lambda axis: lambda leaf: leaf.take(0, axis)
    fold = lambda axis: (
        lambda leaf: leaf.reshape(
            *leaf.shape[:axis], 2, leaf.shape[axis] // 2, *leaf.shape[axis + 1 :]
        )
    )
    for axes, cut in (("no leading axes", first), ("two leading axes", fold)):
        given = jax.tree.map(cut(0), compiled.carry), jax.tree.map(cut(1), model.xs)
        expected = jax.tree.map(cut(1), compiled.steps(model.xs)[1])
        for method, run in (("unroll", model.unroll), ("step", unroll_by_steps(model.step))):
            what = f"{method} with {axes}"
            _, ys = attempt(model.name, what, compile_once(run), model.params, *given)
            _expect_alike(model, what, ys, expected, tolerance)


def _expect_rows(compiled: Compiled) -> None:
    """The outputs of other tasks keep every bit when the inputs of task 0 change."""
    model = compiled.model
    changed = exchanged(model, row=0)
    for method, run in (("unroll", compiled.unroll), ("step", compiled.steps)):
        old, new = (jax.tree.leaves(run(xs)[1]) for xs in (model.xs, changed))
        if any(differs(a[:, 1:], b[:, 1:]).any() for a, b in zip(old, new, strict=True)):
            raise ConfigurationError(
                f"{model.name}: expected each task of a batch to be independent of the others, got "
                f"outputs of {method} for tasks 1 to {model.batch - 1} that change with the inputs "
                "of task 0; reduce and normalise over the last axis alone."
            )


def has_sound_gradients(model: SequenceModel, tolerance: float = TOLERANCE) -> PyTree:
    """Gradients in parameters, carry and inputs: finite, and those of repeated steps.

    Returns:
        The gradients of `squares(carry, ys)`: (params, carry, xs).
    """
    blank_first = jax.tree.map(
        lambda leaf: np.concatenate([np.zeros_like(leaf[:1]), leaf[1:]]), model.xs
    )
    given = model.params, wide(model.carry, model.batch), blank_first
    slope = lambda run: jax.grad(lambda *given: squares(run(*given)), (0, 1, 2), allow_int=True)

    @compile_once
    def both(*given: PyTree) -> Any:
        slopes = slope(model.unroll)(*given), slope(unroll_by_steps(model.step))(*given)
        return jax.tree.map(lambda x: () if x.dtype == jax.dtypes.float0 else x, slopes)

    got, expected = jax.device_get(attempt(model.name, "the gradient of unroll", both, *given))
    for part, ours, steps in zip(("parameters", "carry", "inputs"), got, expected, strict=True):
        for method, tree in (("unroll", ours), ("step", steps)):
            for name, leaf in numbers(tree):
                if not np.isfinite(leaf).all():
                    raise ConfigurationError(
                        f"{model.name}: expected finite gradients, got "
                        f"{leaf[~np.isfinite(leaf)][0]} from {method} in its {part}, leaf {name}, "
                        "where the carry is the initial one and the first input is blank, all 0. "
                        "Add a small number under square roots and in denominators."
                    )
        _expect_alike(model, f"the gradient of unroll in its {part}", ours, steps, tolerance)
    return got


def _expect_alike(
    model: SequenceModel, what: str, got: PyTree, expected: PyTree, tolerance: float
) -> None:
    if different := first_difference(structure(expected), structure(got)):
        path, old, new = different
        raise ConfigurationError(
            f"{model.name}: expected {what} to be {old}, got {new} in leaf {path or 'output'}; "
            "count axes from the last, so that any leading ones will do."
        )
    for name, error, _ in errors(got, expected):
        if error > tolerance:
            raise ConfigurationError(
                f"{model.name}: expected {what} to be the same as for a batch by repeated steps, "
                f"got a relative difference of {error:.2g} in {name}, of which rounding explains "
                f"{tolerance:g}; treat every task alike, and each step as step does."
            )
