"""The GRU against its equations, and against flax's own cell."""

from collections.abc import Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.memory import MemoryInput, gru
from metarl_jax.types import ConfigurationError
from support.random_inputs import noise_like

SIZE = 5


@pytest.fixture
def exact_products() -> Iterator[None]:
    """As a policy has them; a GPU by itself rounds the factors."""
    with jax.default_matmul_precision("float32"):
        yield


@pytest.mark.usefixtures("exact_products")
def test_a_step_follows_the_equations_and_flax() -> None:
    """One product of [r, z, n] with x, one with h; flax keeps six, with the same biases."""
    shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, jnp.float32)
    x = noise_like(MemoryInput(shape(3, 4), shape(3, 2), shape(3, 1)), 1, 1.0)
    h = noise_like(shape(3, SIZE), 2, 1.0)
    memory = gru(SIZE)
    params = noise_like(jax.eval_shape(memory.init, jax.random.key(0), x), 3)
    after, y = jax.jit(memory.step)(params, h, x)
    np.testing.assert_array_equal(after, y)

    weights = params["params"]
    projected = np.concatenate([x.transition, x.observation], axis=-1) @ np.asarray(
        weights["input_gates"]["kernel"]
    ) + np.asarray(weights["input_gates"]["bias"])
    x_r, x_z, x_n = np.split(projected, 3, axis=-1)
    h_r, h_z, h_n = np.split(np.asarray(h) @ np.asarray(weights["state_gates"]["kernel"]), 3, -1)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    candidate = np.tanh(x_n + sigmoid(x_r + h_r) * (h_n + np.asarray(weights["candidate_bias"])))
    update = sigmoid(x_z + h_z)
    expected = (1 - update) * candidate + update * np.asarray(h)
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)

    kernels = np.split(np.asarray(weights["input_gates"]["kernel"]), 3, axis=-1)
    biases = np.split(np.asarray(weights["input_gates"]["bias"]), 3)
    recurrent = np.split(np.asarray(weights["state_gates"]["kernel"]), 3, axis=-1)
    theirs = {
        **{
            f"i{g}": {"kernel": k, "bias": b}
            for g, k, b in zip("rzn", kernels, biases, strict=True)
        },
        **{f"h{g}": {"kernel": k} for g, k in zip("rzn", recurrent, strict=True)},
    }
    theirs["hn"]["bias"] = np.asarray(weights["candidate_bias"])
    inputs = jnp.concatenate([x.transition, x.observation], axis=-1)
    _, oracle = nn.GRUCell(SIZE).apply({"params": theirs}, h, inputs)
    np.testing.assert_allclose(after, oracle, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [0, -1])
def test_a_gru_without_units_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"at least 1, got {size}"):
        gru(size)
