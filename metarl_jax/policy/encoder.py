"""Encoders: from an observation, whatever its form, to the vector that the policy embeds.

An encoder is made for a space, and reads one observation or many:

    encoder = cnn(space)
    params = encoder.init(key, observation)
    x = encoder.encode(params, observation)        # [..., D] float32

Both observations of a transition and the current one go through the same encoder. Floats come
normalised, if the policy normalises observations; whole numbers come as they are.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Concatenate, NamedTuple, ParamSpec

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.checks import require_positive
from metarl_jax.tasks.spaces import Box, Leaf, Space, bounds_of, leaves_of
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

SMALL = 8
"""A feature map with a side of this length, or a shorter one, is not made smaller."""


class Encoder(NamedTuple):
    """An encoder of observations, over any leading axes.

    Attributes:
        name: for people and configurations.
        init: (key, observation) -> params; one observation, read for its shapes.
        encode: (params, observation [...]) -> [..., D] float32.
        made_by: the name of the function that made it and its arguments but the space, so that a
            run's folder can say how to make it again; None for an encoder of your own.
    """

    name: str
    init: Callable[[Key, PyTree], PyTree]
    encode: Callable[[PyTree, PyTree], Array]
    made_by: tuple[str, tuple[tuple[str, Any], ...]] | None = None


MakeEncoder = Callable[[Space], Encoder]
Arguments = ParamSpec("Arguments")


def recorded(
    make: Callable[Concatenate[Space, Arguments], Encoder],
) -> Callable[Concatenate[Space, Arguments], Encoder]:
    """A constructor of encoders, each of which knows its arguments: see `Encoder.made_by`."""
    signature = inspect.signature(make)

    @functools.wraps(make)
    def recording(space: Space, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Encoder:
        given = signature.bind(space, *args, **kwargs)
        given.apply_defaults()
        arguments = tuple(given.arguments.items())[1:]
        return make(space, *args, **kwargs)._replace(made_by=(make.__name__, arguments))

    return recording


def encoder_of(name: str, module: nn.Module) -> Encoder:
    """An encoder from a Flax module, whose call maps an observation [...] to [..., D].

    Args:
        name: of the encoder.
        module: takes the observation alone; `nn.Conv` and `nn.Dense` take any leading axes.
    """
    apply: Any = module.apply
    return Encoder(name, module.init, apply)


@recorded
def flat(space: Space) -> Encoder:
    """Flattens all parts into one vector; has no parameters.

    Discrete parts become one-hots. Whole numbers between finite bounds are scaled to [0, 1], so
    that the pixels of an image are.

    Args:
        space: of observations.
    """
    return Encoder("flat", lambda key, observation: {}, lambda _, x: _flatten(space, x))


@recorded
def cnn(space: Space, *, channels: tuple[int, ...] = (16, 32), features: int = 128) -> Encoder:
    """A convolutional network for images [H, W, C] or [H, W]; other parts are flattened beside it.

    3 × 3 kernels and ReLUs; the stride is 2 while both sides are longer than 8. Then one layer of
    `features` units. Pixels that are whole numbers are scaled to [0, 1].

    Args:
        space: of observations, with at least one box of rank 2 or 3.
        channels: of each convolution.
        features: D of each image.

    Raises:
        ConfigurationError: no part is an image.
    """
    images = _require(space, "cnn", _is_image, "an image: a box of shape [H, W, C] or [H, W]")
    return encoder_of("cnn", _Convolutional(space, images, tuple(channels), features))


@recorded
def grid(
    space: Space,
    *,
    embedding_size: int = 8,
    channels: tuple[int, ...] = (16, 32),
    features: int = 128,
) -> Encoder:
    """A convolutional network for grids [H, W] or [H, W, C] of whole numbers, each embedded.

    The embeddings of a cell's C numbers stand side by side. What follows is `cnn`'s network; other
    parts are flattened beside it.

    Args:
        space: of observations, with at least one such grid between finite bounds.
        embedding_size: units of each number's embedding.
        channels: of each convolution.
        features: D of each grid.

    Raises:
        ConfigurationError: no part is a grid of whole numbers.
    """
    require_positive("embedding_size", embedding_size, usual="8")
    grids = _require(
        space, "grid", is_grid, "a grid: whole numbers of shape [H, W] or [H, W, C] within bounds"
    )
    module = _Convolutional(space, grids, tuple(channels), features, embedding_size)
    return encoder_of("grid", module)


class _Convolutional(nn.Module):
    space: Space
    convolved: tuple[str, ...]  # paths of the leaves that are images or grids
    channels: tuple[int, ...]
    features: int
    embedding_size: int | None = None  # None: an image's pixels are not embedded

    @nn.compact
    def __call__(self, observation: PyTree) -> Array:
        parts = []
        for (path, leaf), x in zip(leaves_of(self.space), _arrays(observation), strict=True):
            if path in self.convolved:
                parts.append(self._convolve(self._cells(leaf, x)))
            else:
                parts.append(flatten_leaf(leaf, x))
        return jnp.concatenate(parts, axis=-1)

    def _cells(self, leaf: Leaf, x: Array) -> Array:
        """[..., H, W, channels] float32."""
        x = x if len(leaf.shape) == 3 else x[..., None]
        if self.embedding_size is None:
            return scaled(leaf, x)
        low, high = bounds_of(leaf)
        lows, kinds = (v if v.ndim == 3 else v[..., None] for v in (low, high - low + 1))
        first = lows.min(axis=(0, 1)).astype(np.int32)
        number = kinds.max(axis=(0, 1)).astype(int)
        embedded = [
            nn.Embed(number[i], self.embedding_size)(x[..., i].astype(jnp.int32) - first[i])
            for i in range(len(number))
        ]
        return jnp.concatenate(embedded, axis=-1)

    def _convolve(self, x: Array) -> Array:
        orthogonal = nn.initializers.orthogonal(2**0.5)
        for size in self.channels:
            stride = 2 if min(x.shape[-3:-1]) > SMALL else 1
            x = nn.relu(nn.Conv(size, (3, 3), stride, kernel_init=orthogonal)(x))
        x = x.reshape(*x.shape[:-3], -1)
        return nn.relu(nn.Dense(self.features, kernel_init=orthogonal)(x))


def flatten_leaf(leaf: Leaf, x: Array) -> Array:
    """One part of an observation as a vector.

    Args:
        leaf: its space.
        x: [..., *leaf.shape].

    Returns:
        [..., D] float32: one-hots of discrete parts, and the numbers of boxes.
    """
    leading = x.shape[: x.ndim - len(leaf.shape)]
    if isinstance(leaf, Box):
        return scaled(leaf, x).reshape(*leading, math.prod(leaf.shape))
    numbers = x.reshape(*leading, -1)
    values = zip(np.reshape(leaf.n, -1).tolist(), np.reshape(leaf.start, -1).tolist(), strict=True)
    hot = [
        jax.nn.one_hot(numbers[..., i] - start, n, dtype=jnp.float32)
        for i, (n, start) in enumerate(values)
    ]
    return hot[0] if len(hot) == 1 else jnp.concatenate(hot, axis=-1)


def scaled(leaf: Leaf, x: Array) -> Array:
    """The numbers of a box as float32; whole numbers between finite bounds in [0, 1]."""
    if x.dtype == jnp.float32:
        return x
    low, high = bounds_of(leaf)
    low, width = float(low.min()), float(high.max() - low.min())
    return (x.astype(jnp.float32) - low) / (width or 1.0)


def _flatten(space: Space, observation: PyTree) -> Array:
    parts = [
        flatten_leaf(leaf, x)
        for (_, leaf), x in zip(leaves_of(space), _arrays(observation), strict=True)
    ]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def _arrays(observation: PyTree) -> list[Array]:
    """In the order of `leaves_of`: jax sorts a dict's names, and so does a `Dict` space."""
    return jax.tree.leaves(observation)


def _is_image(leaf: Leaf) -> bool:
    return isinstance(leaf, Box) and len(leaf.shape) in (2, 3)


def is_grid(leaf: Leaf) -> bool:
    """Whether a leaf is a grid [H, W] or [H, W, C] of whole numbers between finite bounds."""
    whole = not isinstance(leaf, Box) or leaf.dtype != "float32"
    return len(leaf.shape) in (2, 3) and whole and bool(np.isfinite(bounds_of(leaf)).all())


def _require(
    space: Space, name: str, wanted: Callable[[Leaf], bool], description: str
) -> tuple[str, ...]:
    """Paths of the leaves that an encoder convolves."""
    found = tuple(path for path, leaf in leaves_of(space) if wanted(leaf))
    if not found:
        raise ConfigurationError(
            f"the encoder {name} expected {description}, got {space!r:.200}; leave encoder at flat."
        )
    return found
