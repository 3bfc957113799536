"""Each memory against its equations, in numpy loops or in flax's own cell."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.memory import (
    Memory,
    MemoryInput,
    context_set,
    kl_to_prior,
    linear_recurrence,
    lstm,
    snail,
    stacked,
    transformer,
)
from metarl_jax.memory.linear_recurrence import _Layer
from metarl_jax.memory.lstm import FORGET_BIAS, LSTMState
from metarl_jax.memory.ring import ages, extended, oldest, push
from metarl_jax.memory.snail import dilations
from metarl_jax.types import ConfigurationError
from support.comparisons import relative_error
from support.random_inputs import noise_like

NUM_STEPS = 9


def inputs(*leading: int, seed: int = 1) -> MemoryInput:
    shape = lambda size: jax.ShapeDtypeStruct((*leading, size), jnp.float32)
    return noise_like(MemoryInput(shape(5), shape(4), shape(1)), seed, 1.0)


def params_of(memory: Memory) -> Any:
    return noise_like(jax.eval_shape(memory.init, jax.random.key(0), inputs()), 3)


def unrolled(memory: Memory, params: Any, xs: MemoryInput) -> np.ndarray:
    """[T, M]: y of one task from the initial carry."""
    with jax.default_matmul_precision("highest"):
        run = jax.jit(memory.unroll)
        return np.asarray(run(params, memory.initial_carry(jax.random.key(0)), xs)[1])


def dense(weights: Any, x: np.ndarray) -> np.ndarray:
    y = x @ np.asarray(weights["kernel"], np.float64)
    return y + np.asarray(weights["bias"], np.float64) if "bias" in weights else y


def layer_norm(weights: Any, x: np.ndarray, epsilon: float = 1e-6) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return normed * np.asarray(weights["scale"]) + np.asarray(weights["bias"])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def side_by_side(xs: MemoryInput) -> np.ndarray:
    return np.concatenate([xs.transition, xs.observation], axis=-1, dtype=np.float64)


def test_an_lstm_is_flax_s_but_for_the_forget_bias() -> None:
    memory, size = lstm(6), 6
    params, x = params_of(memory), inputs(3)
    state = noise_like(LSTMState(*2 * [jax.ShapeDtypeStruct((3, size), jnp.float32)]), 5)
    after, y = jax.jit(memory.step)(params, state, x)
    weights = params["params"]
    of = lambda layer, leaf: np.split(np.asarray(weights[layer][leaf]), 4, axis=-1)
    bias = dict(zip("ifgo", of("input_gates", "bias"), strict=True))
    bias["f"] = bias["f"] + FORGET_BIAS
    theirs = {
        f"i{g}": {"kernel": k} for g, k in zip("ifgo", of("input_gates", "kernel"), strict=True)
    }
    for gate, kernel in zip("ifgo", of("state_gates", "kernel"), strict=True):
        theirs[f"h{gate}"] = {"kernel": kernel, "bias": bias[gate]}
    cell = nn.OptimizedLSTMCell(size)
    (c, h), out = cell.apply({"params": theirs}, (state.c, state.h), jnp.asarray(side_by_side(x)))
    for ours, expected in ((after.c, c), (after.h, h), (y, out)):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_a_linear_recurrence_follows_its_equations() -> None:
    memory, size = linear_recurrence(6, 2), 6
    params, xs = params_of(memory), inputs(NUM_STEPS)
    weights = params["params"]
    x = dense(weights["enter"], side_by_side(xs))
    for name in ("layers_0", "layers_1"):
        layer = weights[name]
        decay, phase = np.exp(np.asarray(layer["exponents"], np.float64))
        eigenvalue = np.exp(-decay + 1j * phase)
        h, ys = np.zeros(size, complex), []
        for row in x:
            u = layer_norm(layer["norm"], row, 1e-2)
            real, imaginary = np.split(dense(layer["enter"], u), 2)
            entering = sigmoid(dense(layer["input_gate"], u)) * (real + 1j * imaginary)
            h = eigenvalue * h + np.sqrt(1 - np.abs(eigenvalue) ** 2) * entering
            z = gelu(dense(layer["leave"], np.concatenate([h.real, h.imag])))
            value, gate = np.split(dense(layer["gate"], z), 2)
            ys.append(row + value * sigmoid(gate))
        x = np.stack(ys)
    assert relative_error(unrolled(memory, params, xs), layer_norm(weights["norm"], x, 1e-2)) < 1e-5


def test_eigenvalues_lie_inside_the_unit_circle_whatever_the_parameters() -> None:
    layer = _Layer(64)
    x = jnp.zeros((64,))
    fresh = layer.init(jax.random.key(0), jnp.zeros((128,)), x)
    eigenvalues = np.asarray(layer.apply(fresh, method=_Layer.eigenvalues))
    steps = -1 / np.log(np.abs(eigenvalues))
    assert 2 <= steps.min() < 4 and 500 < steps.max() <= 1000
    assert 15 <= np.sum(steps > 100) <= 35, "a third of them, evenly over the logarithm"
    assert np.angle(eigenvalues).min() >= 0.001 and np.angle(eigenvalues).max() <= np.pi / 10
    total = lambda params: jnp.sum(layer.apply(params, jnp.ones((128,)), x + 1)[0])
    for exponent in (-100.0, -16.0, 5.0, 100.0):
        wild = jax.tree.map(lambda leaf: leaf, fresh)
        wild["params"]["exponents"] = fresh["params"]["exponents"].at[0].set(exponent)
        assert np.all(np.abs(layer.apply(wild, method=_Layer.eigenvalues)) < 1)
        gradient = jax.grad(total)(wild)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def encoded(weights: Any, aggregation: str, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """w and v of a transition."""
    e = np.tanh(dense(weights["encoder"], row))
    v = dense(weights["values"], e)
    if aggregation == "mean":
        return np.ones(1), v
    scores = dense(weights["scores"], e)
    if aggregation == "gaussians":
        return np.log1p(np.exp(scores)), v
    return np.exp(8 * np.tanh(scores / 8)), v


AGGREGATIONS = ("mean", "attention", "gaussians")


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_context_set_follows_its_equations(aggregation: Any) -> None:
    memory = context_set(8, aggregation)
    params, xs = params_of(memory), inputs(NUM_STEPS)
    weights = params["params"]
    weight, total = 1.0, np.zeros(8)
    for row, y in zip(xs.transition, unrolled(memory, params, xs), strict=True):
        w, v = encoded(weights, aggregation, np.asarray(row, np.float64))
        units = np.repeat(w, 8 // len(w))  # each weight is that of so many neighbours
        weight, total = weight + w, total + units * v
        pooled = np.concatenate([total / np.repeat(weight, 8 // len(w)), 1 / np.sqrt(weight)])
        expected = np.concatenate([pooled, np.tanh(dense(weights["decoder"], pooled))])
        np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_order_of_transitions_is_nothing_to_a_context_set(aggregation: Any) -> None:
    memory = context_set(8, aggregation)
    params, xs = params_of(memory), inputs(50)
    order = np.random.default_rng(0).permutation(50)
    ys = [unrolled(memory, params, x)[-1] for x in (xs, jax.tree.map(lambda a: a[order], xs))]
    assert relative_error(*ys) < 1e-5
    other = unrolled(memory, params, xs._replace(transition=xs.transition.at[7].add(1.0)))[-1]
    assert relative_error(other, ys[0]) > 1e-3, "a transition is not read"


def test_the_divergence_from_the_prior_is_that_of_two_gaussians() -> None:
    mean, variance = np.array([0.5, -1.0]), np.array([0.25, 2.0])
    features = jnp.asarray([*mean, *np.sqrt(variance), 9.0, 9.0], jnp.float32)
    expected = 0.5 * np.sum(mean**2 + variance - 1 - np.log(variance))
    np.testing.assert_allclose(kl_to_prior(features), expected, rtol=1e-6)
    memory = context_set(8, "gaussians")
    prior = memory.initial_carry(jax.random.key(0))
    features = jnp.concatenate([prior.weighted[:, 0], 1 / jnp.sqrt(prior.weight), prior.weight])
    assert float(kl_to_prior(features)) == 0.0
    near = jnp.asarray([[0.0, 1 - x, 0.0] for x in np.logspace(-6, -2, 50)], jnp.float32)
    assert np.all(np.asarray(kl_to_prior(near)) >= 0)


def gated(weights: Any, x: np.ndarray, added: np.ndarray) -> np.ndarray:
    """GTrXL's gate; its bias is 2."""
    y = np.maximum(added, 0)
    y_z, y_r, y_h = np.split(dense(weights["Dense_0"], y), 3, axis=-1)
    x_z, x_r = np.split(dense(weights["Dense_1"], x), 2, axis=-1)
    z, r = sigmoid(y_z + x_z - 2), sigmoid(y_r + x_r)
    return (1 - z) * x + z * np.tanh(y_h + dense(weights["Dense_2"], r * x))


def located(weights: Any, starts: np.ndarray) -> np.ndarray:
    """What is added for the number of each step's episode, and of the step in it."""
    rows, episode, step = [], 0, 0
    for begins in starts:
        episode, step = episode + begins, 0 if begins else step + 1
        angles = [count / 1000 ** (np.arange(8) / 7) for count in (episode, step)]
        rows.append(np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)]))
    return dense(weights["locate"], np.stack(rows))


@pytest.mark.parametrize(
    ("context_length", "options"),
    [(4, {}), (NUM_STEPS, {}), (NUM_STEPS, {"gated": True, "episode_positions": True})],
)
def test_a_transformer_follows_its_equations(context_length: int, options: dict[str, bool]) -> None:
    memory, heads, size = transformer(context_length, 8, num_heads=2, **options), 2, 8
    starts = np.array([1, 0, 0, 1, 1, 0, 0, 0, 1])
    xs = inputs(NUM_STEPS)._replace(episode_start=jnp.asarray(starts, jnp.float32)[:, None])
    params = params_of(memory)
    weights = params["params"]
    x = dense(weights["enter"], side_by_side(xs))
    x = x + located(weights, starts) if options else x
    residual = lambda block, i, x, added: (
        gated(block[f"gates_{i}"], x, added) if options else x + added
    )
    frequency = 10_000.0 ** (-np.arange(2) / 2)

    def turned(v: np.ndarray, t: int) -> np.ndarray:
        z = (v[:, :2] + 1j * v[:, 2:]) * np.exp(1j * t * frequency)
        return np.concatenate([z.real, z.imag], axis=-1)

    for name in ("blocks_0", "blocks_1"):
        block = weights[name]
        normed = layer_norm(block["attention_norm"], x)
        kernel = np.asarray(block["heads"]["kernel"], np.float64)
        qkv = np.einsum("td,dchk->tchk", normed, kernel) + np.asarray(block["heads"]["bias"])
        out = np.zeros((NUM_STEPS, heads, size // heads))
        for t in range(NUM_STEPS):
            seen = range(max(0, t - context_length + 1), t + 1)
            for h in range(heads):
                q = turned(qkv[t, 0], t)[h]
                scores = np.array([q @ turned(qkv[s, 1], s)[h] for s in seen]) / np.sqrt(4)
                values = np.stack([qkv[s, 2, h] * sigmoid(qkv[s, 3, h]) for s in seen])
                out[t, h] = np.sqrt(len(seen)) * (softmax(scores) @ values)
        mixed = np.einsum("thk,hkd->td", out, np.asarray(block["mix"]["kernel"], np.float64))
        a = residual(block, 0, x, mixed + np.asarray(block["mix"]["bias"]))
        hidden = gelu(dense(block["widen"], layer_norm(block["layer_norm"], a)))
        x = residual(block, 1, a, dense(block["narrow"], hidden))
    assert relative_error(unrolled(memory, params, xs), layer_norm(weights["norm"], x)) < 1e-5


@pytest.mark.parametrize("context_length", [4, NUM_STEPS])
def test_snail_follows_its_equations(context_length: int) -> None:
    memory = snail(context_length, 3, num_layers=1)
    params, xs = params_of(memory), inputs(NUM_STEPS)
    weights = params["params"]
    x = dense(weights["enter"], side_by_side(xs))
    for i, dilation in enumerate(dilations(context_length)):
        layer = weights[f"blocks_{i}"]["Dense_0"]
        past = np.concatenate([np.zeros((dilation, x.shape[1])), x])[:NUM_STEPS]
        f, g = np.split(dense(layer, np.concatenate([past, x], axis=-1)), 2, axis=-1)
        x = np.concatenate([x, np.tanh(f) * sigmoid(g)], axis=-1)
    attention = weights[f"blocks_{len(dilations(context_length))}"]
    q = dense(attention["queries"], x)
    k, v = np.split(dense(attention["memories"], x), 2, axis=-1)
    read = []
    for t in range(NUM_STEPS):
        seen = slice(max(0, t - context_length + 1), t + 1)
        read.append(softmax(k[seen] @ q[t] / np.sqrt(3)) @ v[seen])
    expected = np.concatenate([x, np.stack(read)], axis=-1)
    assert relative_error(unrolled(memory, params, xs), expected) < 1e-5


def test_the_dilations_of_snail_span_its_window() -> None:
    assert dilations(100) == (1, 2, 4, 8, 16, 32, 64)
    assert [dilations(w) for w in (1, 2, 3, 8, 9)] == [(1,), (1,), (1, 2), (1, 2, 4), (1, 2, 4, 8)]


def test_a_stack_adds_what_each_layer_makes_of_the_one_below() -> None:
    memory, one = stacked(lstm(6), 2), lstm(6)
    xs = inputs(NUM_STEPS)
    params = noise_like(jax.eval_shape(memory.init, jax.random.key(0), inputs()), 3)
    first = unrolled(one, params[0], xs)
    second = unrolled(one, params[1], xs._replace(transition=jnp.asarray(first)))
    np.testing.assert_allclose(unrolled(memory, params, xs), first + second, rtol=1e-5, atol=1e-6)
    assert stacked(one, 1) is one


@pytest.mark.parametrize(("start", "many"), [(0, 3), (3, 3), (7, 3), (0, 6), (5, 6)])
def test_a_ring_holds_the_last_rows(start: int, many: int) -> None:
    """Against a list: row by row, and many at once, more than the ring holds among them."""
    context_length, rows = 4, jnp.arange(1.0, 12.0)
    ring, held = jnp.zeros((context_length,)), [0.0] * context_length
    for t in range(start):
        assert oldest(ring, jnp.int32(t)) == held[0]
        ring, held = push(ring, jnp.int32(t), rows[t]), [*held[1:], float(rows[t])]
    sequence, after = extended(ring, jnp.int32(start), rows[start : start + many])
    assert sequence.tolist() == held + rows[start : start + many].tolist()
    for t in range(start, start + many):
        ring = push(ring, jnp.int32(t), rows[t])
    assert after.tolist() == ring.tolist()
    last = jnp.int32(start + many - 1)
    assert sorted(ages(context_length, last).tolist()) == [0, 1, 2, 3]
    for slot, age in enumerate(ages(context_length, last).tolist()):
        assert ring[slot] == (rows[last - age] if last >= age else 0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lstm(0), "an LSTM's hidden size must be at least 1, got 0"),
        (lambda: linear_recurrence(8, 0), "layers must be at least 1, got 0"),
        (lambda: context_set(8, "median"), "one of mean, attention, gaussians, got 'median'"),
        (lambda: context_set(10, "attention"), "got 10; 12 would do"),
        (lambda: snail(0), "context length must be at least 1, got 0"),
        (lambda: transformer(8, 20), "got 20; 16 would do"),
        (
            lambda: transformer(0, 16),
            "context length must be at least 1, got 0; a meta-episode's length",
        ),
        (lambda: stacked(lstm(4), 0), "layers must be at least 1, got 0"),
    ],
)
def test_what_no_memory_can_have_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()
