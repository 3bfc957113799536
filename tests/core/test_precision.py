"""Which products are rounded: the policy's, forward and backward, and no others."""

from pathlib import Path
from typing import Any

import jax
import pytest

from metarl_jax import Architecture, a2c, adaptive_policy, gru, hyperparameters, memoryless_policy
from metarl_jax.learning.train_state import UpdateConfig
from metarl_jax.policy.policy import blank_experience
from metarl_jax.types import ConfigurationError
from support.command_line import SMALL, assert_refused, assert_well_put, metarl_here
from support.probes import counter
from support.updates_seen import operations

TASKS = counter(ends_early=True)
BF16 = str(jax.lax.DotAlgorithmPreset.BF16_BF16_F32)


def update(precision: Any) -> Any:
    policy = adaptive_policy(TASKS, gru(4), Architecture(4, precision=precision))
    return a2c(TASKS, policy, hyperparameters(), UpdateConfig(num_tasks=2))


@pytest.mark.usefixtures("accelerator")
def test_all_products_of_the_policy_are_rounded_and_all_sums_are_not() -> None:
    algorithm = update("bf16")
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    found = list(operations(jax.make_jaxpr(algorithm.update)(state).jaxpr, "dot_general"))
    # Forward 6 layers, and 6 for the final value; backward 6 weights and 4 inputs, those of the
    # embeddings being data; the 2 embeddings again. What is left is the returns' own product, which
    # stays exact.
    assert len([e for e in found if BF16 in str(e.params["precision"])]) == 24
    assert {str(v.aval.dtype) for e in found for v in (*e.invars, *e.outvars)} == {"float32"}
    exact = [e for e in found if BF16 not in str(e.params["precision"])]
    assert ["HIGHEST" in str(e.params["precision"]) for e in exact] == [True]


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize(("precision", "algorithm"), [("f32", False), ("bf16", True)])
def test_a_gpu_is_told_the_algorithm(precision: str, algorithm: bool) -> None:
    policy = adaptive_policy(TASKS, gru(4), Architecture(4, precision=precision))  # type: ignore[arg-type]
    experience = blank_experience(TASKS.specification, contextual=False)
    params, carry = policy.init(jax.random.key(0)), policy.initial_carry(jax.random.key(1))
    step = jax.export.export(jax.jit(policy.step), platforms=["cuda"])(params, carry, experience)
    text = step.mlir_module()
    lines = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert len(lines) == 6
    assert all(("rhs_precision_type = bf16" in line) == algorithm for line in lines)


@pytest.mark.usefixtures("cpu")
def test_a_cpu_has_no_such_product(tmp_path: Path) -> None:
    for make in (
        lambda a: adaptive_policy(TASKS, gru(4), a),
        lambda a: memoryless_policy(TASKS, a),
    ):
        with pytest.raises(ConfigurationError, match="leave precision at f32") as refusal:
            make(Architecture(precision="bf16"))
        assert_well_put(str(refusal.value))
    with pytest.raises(ConfigurationError, match="f32, bf16"):
        Architecture(precision="f16")  # type: ignore[arg-type]
    train = metarl_here("train", "goal_grid_3", *SMALL, "--policy.precision", "bf16", cwd=tmp_path)
    assert_refused(train, "got a CPU")
