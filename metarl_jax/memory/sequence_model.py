"""A sequence model to be checked: its parameters, noise to read, and what came of it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.memory.base import unroll_by_steps
from metarl_jax.trees import leaves_by_path, without_key
from metarl_jax.types import Array, ConfigurationError, PyTree

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
Run = Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]


class SequenceModel(NamedTuple):
    """A sequence model, its parameters, and what it reads.

    Attributes:
        name: for people, such as "memory 'gru'".
        step: (params, carry, x) -> (carry, y), over any leading axes.
        unroll: the same over a leading time axis.
        params: of the model; none of its weights at a symmetric point.
        carry: the initial one of one task, without leading axes.
        xs: [T, B, ...] noise to read.
        others: [T, B, ...] other noise, to exchange inputs for.
    """

    name: str
    step: Run
    unroll: Run
    params: PyTree
    carry: PyTree
    xs: PyTree
    others: PyTree

    @property
    def batch(self) -> int:
        """B."""
        return jax.tree.leaves(self.xs)[0].shape[1]

    @property
    def num_steps(self) -> int:
        """T."""
        return jax.tree.leaves(self.xs)[0].shape[0]


def noise_like(shapes: PyTree, seed: int, scale: float = 1.0) -> PyTree:
    """Random leaves of these shapes and dtypes: normals, 0 or 1, coin flips."""
    rng = np.random.default_rng(seed)

    def draw(leaf: Any) -> np.ndarray:
        if leaf.dtype == jnp.bool_:
            return rng.random(leaf.shape) < 0.5
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return rng.integers(0, 2, leaf.shape).astype(leaf.dtype)
        return (scale * rng.normal(size=leaf.shape)).astype(leaf.dtype)

    return jax.tree.map(draw, shapes)


def disturbed(params: PyTree) -> PyTree:
    """Parameters with a little noise on them: fresh ones may hide what is wired wrongly."""

    def disturb(leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return jnp.asarray(np.asarray(leaf) + noise_like(leaf, leaf.size, 0.1))

    return jax.tree.map(disturb, params)


def squares(tree: PyTree) -> Array:
    """A scalar that reads every entry of the inexact leaves, each with a weight of its own."""
    total = jnp.zeros(())
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            weights = jnp.cos(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape)
            total += jnp.sum(weights * jnp.square(leaf).astype(jnp.float32))
    return total


def wide(carry: PyTree, *leading: int) -> PyTree:
    """The carry of one task, with leading axes."""
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*leading, *jnp.shape(leaf))), carry)


def attempt(name: str, what: str, function: Callable[..., Any], *given: Any) -> Any:
    """Calls the model's own code, whose errors become a refusal.

    Raises:
        ConfigurationError: says what raised, and the first line of its message.
    """
    try:
        return function(*given)
    except ConfigurationError:
        raise
    except Exception as error:  # whatever the model's own code raises
        raise ConfigurationError(
            f"{name}: expected {what} to run, got {type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')} Write it with jax.numpy, for inputs with "
            "any leading axes: count axes from the last."
        ) from error


def compile_once(run: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit` for a program that runs a few times: compiled faster, to slower code."""
    return jax.jit(run, compiler_options=QUICK)


class Compiled:
    """A model's two ways through time over [T, B] inputs, each compiled once.

    They begin with a carry that T steps over other inputs have reached: an unroll that begins with
    the initial one whatever it is given is seen.
    """

    def __init__(self, model: SequenceModel) -> None:
        self.model = model
        self._unroll = compile_once(model.unroll)
        self._steps = compile_once(unroll_by_steps(model.step))
        initial = wide(model.carry, model.batch)
        self.carry = self._run("step", self._steps, initial, model.others)[0]

    def unroll(self, xs: PyTree) -> tuple[PyTree, PyTree]:
        """(last carry, outputs) of `unroll`, on the host."""
        return _on_host(self._run("unroll", self._unroll, self.carry, xs))

    def steps(self, xs: PyTree) -> tuple[PyTree, PyTree]:
        """(last carry, outputs) of repeated `step`, on the host."""
        return _on_host(self._run("step", self._steps, self.carry, xs))

    def _run(self, method: str, run: Run, carry: PyTree, xs: PyTree) -> tuple[PyTree, PyTree]:
        what = f"{method} over {self.model.batch} tasks at once"
        return attempt(self.model.name, what, run, self.model.params, carry, xs)


def _on_host(tree: PyTree) -> Any:
    return jax.device_get(jax.tree.map(without_key, tree))


def exchanged(model: SequenceModel, steps: Any = slice(None), row: Any = slice(None)) -> PyTree:
    """The inputs, of which some steps of some tasks are exchanged for others."""

    def exchange(x: np.ndarray, other: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[steps, row] = other[steps, row]
        return x

    return jax.tree.map(exchange, model.xs, model.others)


def errors(got: PyTree, expected: PyTree) -> Iterator[tuple[str, float, tuple[int, ...]]]:
    """(leaf, relative error, where it is largest) of each leaf.

    A leaf of tiny numbers beside another's is a difference of large ones and has their rounding
    errors: it is measured against a thousandth of the largest leaf.
    """
    ours, theirs = dict(numbers(got)), dict(numbers(expected))
    sizes = {name: np.max(np.abs(leaf), initial=0.0) for name, leaf in theirs.items()}
    floor = max(1e-3 * max(sizes.values(), default=0.0), 1e-30)
    for name, leaf in theirs.items():
        if leaf.size:
            difference = np.nan_to_num(np.abs(ours[name] - leaf), nan=np.inf)
            at = np.unravel_index(np.argmax(difference), leaf.shape)
            error = float(difference[at] / max(sizes[name], floor))
            yield name, error, tuple(int(i) for i in at)


def differs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two arrays differ; NaN is NaN."""
    return (a != b) & ~((a != a) & (b != b))


def same_bits(a: PyTree, b: PyTree) -> bool:
    """Whether every leaf is the same, to the bit."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


def numbers(tree: PyTree) -> Iterator[tuple[str, np.ndarray]]:
    """(path, values) of every leaf, in double precision."""
    for path, leaf in leaves_by_path(tree).items():
        kind = complex if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else np.float64
        yield path or "output", np.asarray(leaf).astype(kind)
