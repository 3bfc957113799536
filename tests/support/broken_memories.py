"""Memories that each break one law, made of a sound one; `metarl check` refuses them by name."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax import Memory, unroll_by_steps

SIZE = 6


def step(weights, carry, x):
    carry = 0.8 * carry + jnp.tanh(x.transition @ weights)
    return carry, carry


def made_of(step=step, unroll=None, name="specimen", **parts) -> Memory:
    return Memory(
        name=name,
        init=parts.get("init", lambda key, x: jax.random.normal(key, (64, SIZE)) / 8),
        initial_carry=parts.get("initial_carry", lambda key: jnp.zeros((SIZE,), jnp.float32)),
        step=step,
        unroll=unroll or unroll_by_steps(step),
    )


def sound() -> Memory:
    return made_of(name="sound")


def acausal() -> Memory:
    def unroll(weights, carry, xs):
        return jax.lax.scan(lambda carry, x: step(weights, carry, x), carry, xs, reverse=True)

    return made_of(unroll=unroll)


def forgetful() -> Memory:
    return made_of(lambda weights, carry, x: (carry, jnp.tanh(x.transition @ weights)))


def unroll_decays_otherwise() -> Memory:
    other = lambda w, carry, x: (lambda c: (c, c))(0.81 * carry + jnp.tanh(x.transition @ w))
    return made_of(unroll=unroll_by_steps(other))


def unroll_begins_with_zeros() -> Memory:
    unroll = lambda weights, carry, xs: unroll_by_steps(step)(weights, 0 * carry, xs)
    return made_of(unroll=unroll)


def unroll_has_other_gradients() -> Memory:
    stopped = lambda w, carry, x: step(w, jax.lax.stop_gradient(carry), x)
    return made_of(unroll=unroll_by_steps(stopped))


def carry_grows() -> Memory:
    def step(weights, carry, x):
        new = jnp.tanh(x.transition @ weights)
        carry = jnp.concatenate([carry, new], axis=-1)
        return carry, carry[..., -SIZE:] + carry[..., :SIZE]

    return made_of(step, unroll=step)


def carry_changes_its_dtype() -> Memory:
    return made_of(initial_carry=lambda key: jnp.zeros((SIZE,), jnp.int32))


def axes_counted_from_the_first() -> Memory:
    def step(weights, carry, x):
        carry = 0.8 * carry + jnp.tanh(jnp.concatenate([x.transition], axis=1) @ weights)
        return carry, carry

    return made_of(step)


def tasks_mixed() -> Memory:
    def mixed(weights, carry, x):
        carry, y = step(weights, carry, x)
        tasks = tuple(range(y.ndim - 1))
        return carry, y - jnp.mean(y, axis=tasks, keepdims=True)

    return made_of(mixed)


def gradients_are_nan() -> Memory:
    def normed(weights, carry, x):
        carry, y = step(weights, carry, x)
        return carry, y / (1 + jnp.linalg.norm(y, axis=-1, keepdims=True))

    return made_of(normed)


def outputs_are_nan() -> Memory:
    return made_of(lambda w, carry, x: (step(w, carry, x)[0], jnp.log(carry - 9)))


def draws_with_numpy() -> Memory:
    rng = np.random.default_rng(0)
    noisy = lambda w, carry, x: step(w, carry + np.float32(rng.random()), x)
    return made_of(noisy)


def callback_counts() -> Memory:
    counter = itertools.count()

    def counted(weights, carry, x):
        shape = jax.ShapeDtypeStruct((), np.float32)
        added = jax.pure_callback(lambda: np.float32(next(counter)), shape)
        return step(weights, carry + jax.lax.stop_gradient(added), x)

    return made_of(counted)


def raises() -> Memory:
    return made_of(lambda weights, carry, x: step(weights, carry, x.transitions))
