"""An actor as one file that jax alone can run: two exported functions, `reset` and `act`."""

import io
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.policy.acting import Actor, ActorState, Sensed
from metarl_jax.tasks.spaces import dtype_of, map_spaces
from metarl_jax.tasks.specification import Specification
from metarl_jax.trees import is_key, without_key
from metarl_jax.types import Array, PyTree

_TIME_STAMP = (1980, 1, 1, 0, 0, 0)  # the same actor gives the same bytes


def begin(actor: Actor, batch: int | None, seed: Array, *context: Array) -> ActorState:
    """The state at a meta-episode's start.

    Args:
        actor: of one environment.
        batch: None for one environment, or B of them: every array then has a leading axis [B].
        seed: [] uint32.
        context: what the policy is told of the task, [C] or [B, C] float32; nothing for most.
    """
    key = jax.random.key(seed)
    told = context[0] if context else jnp.zeros((*_leading(batch), 0), jnp.float32)
    if batch is None:
        return actor.begin(key, told)
    return jax.vmap(actor.begin)(jax.random.split(key, batch), told)


def export_actor(
    actor: Actor,
    params: PyTree,
    spec: Specification,
    *,
    context_size: int,
    batch: int | None,
    platforms: Sequence[str],
) -> bytes:
    """A zip archive of two functions, `reset` and `act`, as `jax.export` serialises them.

        reset(seed [] uint32) -> state
        act(state, observation, reward, terminated, truncated, final_observation) -> (state, action)

    The state is a tuple of arrays. `act` reads what a `Sensed` holds. Where the policy is told the
    task, `reset` takes the description [C] float32 as a second argument.

    Args:
        actor: of one environment.
        params: the policy's, which become constants of `act`.
        spec: shapes of one environment.
        context_size: C; 0 where the policy is not told the task.
        batch: B, environments side by side; None: one, without a leading axis.
        platforms: where the functions can run, such as "cpu" or "cuda".
    """
    arrays = partial(_shape, batch)
    context = (arrays(np.float32, context_size),) * (context_size > 0)
    seed = jax.ShapeDtypeStruct((), np.uint32)
    template = jax.eval_shape(partial(begin, actor, batch), seed, *context)
    act = actor.act if batch is None else jax.vmap(actor.act, in_axes=(None, 0, 0))
    constants = jax.tree.map(np.asarray, params)

    def reset(*arguments: Array) -> tuple[Array, ...]:
        return _flat(begin(actor, batch, *arguments))

    def step(state: tuple[Array, ...], *sensed: PyTree) -> tuple[tuple[Array, ...], PyTree]:
        after, action = act(constants, _like(template, state), Sensed(*sensed))
        return _flat(after), action

    flag = arrays(np.bool_)
    observation = map_spaces(lambda leaf: arrays(dtype_of(leaf), *leaf.shape), spec.observation)
    sensed = (observation, arrays(np.float32), flag, flag, observation)
    state = jax.eval_shape(_flat, template)
    return _archive(
        reset=_serialized(reset, platforms, seed, *context),
        act=_serialized(step, platforms, state, *sensed),
    )


def _flat(state: ActorState) -> tuple[Array, ...]:
    """Its arrays; a key's data, for typed keys are jax's own."""
    return tuple(map(without_key, jax.tree.leaves(state)))


def _like(template: Any, flat: tuple[Array, ...]) -> ActorState:
    leaves = [
        jax.random.wrap_key_data(x) if is_key(leaf) else x
        for x, leaf in zip(flat, jax.tree.leaves(template), strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def _serialized(function: Callable[..., Any], platforms: Sequence[str], *arguments: Any) -> bytes:
    from jax import export

    return bytes(export.export(jax.jit(function), platforms=platforms)(*arguments).serialize())


def _archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME_STAMP), content)
    return buffer.getvalue()


def _leading(batch: int | None) -> tuple[int, ...]:
    return () if batch is None else (batch,)


def _shape(batch: int | None, dtype: Any, *sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((*_leading(batch), *sizes), dtype)
