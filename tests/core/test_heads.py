"""Heads whose weights a hypernetwork gives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax import Architecture, ConfigurationError, memoryless_policy
from metarl_jax.policy.heads import Heads
from support.probes import counter
from support.random_inputs import noise_like

NUM_ROWS, MEMORY_SIZE, OBSERVATION_SIZE, HIDDEN_SIZE = 3, 5, 4, 6
SPECIFICATION = counter().specification.action


def heads(*, generated: bool) -> Heads:
    return Heads(SPECIFICATION, (HIDDEN_SIZE,), -0.5, generated=generated)


def rows(seed: int = 0) -> tuple[jax.Array, jax.Array]:
    shape = lambda size: jax.ShapeDtypeStruct((NUM_ROWS, size), jnp.float32)
    return noise_like((shape(MEMORY_SIZE), shape(OBSERVATION_SIZE)), seed, 1.0)


def generated_layer(weights: Any, m: np.ndarray, x: np.ndarray, size: int) -> np.ndarray:
    dense = lambda layer: m @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
    matrix = dense(weights["Dense_0"]).reshape(x.shape[-1], size)
    return x @ matrix + dense(weights["Dense_1"])


def test_a_hypernetwork_gives_the_weights_of_a_network_that_reads_the_observation() -> None:
    module, (m, o) = heads(generated=True), rows()
    shapes = jax.eval_shape(module.init, jax.random.key(0), m, o)
    params = noise_like(shapes, 3)
    with jax.default_matmul_precision("highest"):
        distribution, value = jax.jit(module.apply)(params, m, o)
    layers = params["params"]
    num_actions = SPECIFICATION.n
    for i in range(NUM_ROWS):
        given = np.asarray(m[i]), np.asarray(o[i])
        hidden = np.tanh(generated_layer(layers["_Generated_1"], *given, HIDDEN_SIZE))
        expected = generated_layer(layers["_Generated_0"], given[0], hidden, 1)
        np.testing.assert_allclose(value[i], expected[0], rtol=1e-4, atol=1e-5)
        hidden = np.tanh(generated_layer(layers["_Generated_2"], *given, HIDDEN_SIZE))
        logits = generated_layer(layers["_Generated_3"], given[0], hidden, num_actions)
        np.testing.assert_allclose(distribution.logits[i], logits, rtol=1e-4, atol=1e-5)


def test_it_begins_as_one_network_whatever_it_remembers() -> None:
    """But its gradient reaches the memory's part of the weights."""
    module, (m, o) = heads(generated=True), rows()
    params = jax.jit(module.init)(jax.random.key(0), m, o)
    value = lambda params, m: module.apply(params, m, o)[1]
    np.testing.assert_array_equal(value(params, m), value(params, -m))
    gradient = jax.grad(lambda params: jnp.sum(value(params, m) ** 2))(params)
    kernels = [gradient["params"][f"_Generated_{i}"]["Dense_0"]["kernel"] for i in (0, 1)]
    assert all(np.any(kernel) for kernel in kernels)
    bias = params["params"]["_Generated_1"]["Dense_0"]["bias"]
    first = np.asarray(bias).reshape(OBSERVATION_SIZE, HIDDEN_SIZE)
    np.testing.assert_allclose(first @ first.T, 2 * np.eye(OBSERVATION_SIZE), atol=1e-5)


def test_a_hypernetwork_without_a_memory_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="got a policy without one"):
        memoryless_policy(counter(), Architecture(head="hypernetwork"))
    with pytest.raises(ConfigurationError, match="one of plain, hypernetwork, got 'mlp'"):
        Architecture(head="mlp")  # type: ignore[arg-type]
