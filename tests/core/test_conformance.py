"""`check_memory`, `check_policy` and `check_unroll` refuse what breaks a law, in words."""

import pathlib

import jax
import jax.numpy as jnp
import pytest

from metarl_jax import (
    ConfigurationError,
    adaptive_policy,
    check_memory,
    check_policy,
    check_unroll,
    gru,
    memoryless,
    memoryless_policy,
    stacked,
)
from metarl_jax.experiment.code import load_object
from support import broken_memories
from support.probes import counter, revealed_target

EXAMPLE = pathlib.Path(__file__).parents[2] / "docs" / "examples" / "corridor.py"


@pytest.fixture(scope="module")
def tasks():
    return counter()


def test_the_min_gru_of_the_documentation_passes():
    report = check_memory(load_object(f"{EXAMPLE}:min_gru")())
    assert report.carry_size == 32 and report.num_parameters == 128 * 64
    assert "no output depends on a later input" in report.laws
    assert "min_gru" in str(report) and "8,192 parameters" in str(report)


def test_a_min_gru_that_unrolls_backwards_is_refused():
    memory = load_object(f"{EXAMPLE}:min_gru")()

    def unroll(weights, carry, xs):
        carry, ys = memory.unroll(weights, carry, jax.tree.map(lambda x: x[::-1], xs))
        return carry, ys[::-1]

    with pytest.raises(ConfigurationError, match="output 0 .* input 11 .*looks into the future"):
        check_memory(memory._replace(unroll=unroll))


def test_a_min_gru_that_forgets_is_refused():
    memory = load_object(f"{EXAMPLE}:min_gru")()
    forget = lambda run: lambda w, carry, x: (carry, run(w, jnp.zeros_like(carry), x)[1])
    step = forget(memory.step)
    unroll = lambda w, carry, xs: (carry, jax.vmap(lambda x: step(w, carry, x)[1])(xs))
    with pytest.raises(ConfigurationError, match="forgets everything"):
        check_memory(memory._replace(step=step, unroll=unroll))


@pytest.mark.parametrize(
    ("specimen", "told"),
    [
        ("acausal", "output 0 .* input 11 .*Scan forwards"),
        ("forgetful", "forgets everything.*remembers=False"),
        ("unroll_decays_otherwise", "unroll to be that of repeated step.*unroll_by_steps"),
        ("unroll_begins_with_zeros", "output of unroll.*at step 0"),
        ("unroll_has_other_gradients", "gradient of unroll in its parameters"),
        ("carry_grows", r"float32\[6\] and is float32\[12\].*window of fixed size"),
        ("carry_changes_its_dtype", r"int32\[6\] and is float32\[6\].*dtypes of initial_carry"),
        ("axes_counted_from_the_first", "expected step to run.*count axes from the last"),
        ("tasks_mixed", "independent.*over the last axis"),
        ("gradients_are_nan", "finite gradients.*nan.*blank.*under square roots"),
        ("outputs_are_nan", "finite outputs.*at step 0"),
        ("draws_with_numpy", "arguments alone.*jax.random"),
        ("callback_counts", "second run.*callback"),
        ("raises", "AttributeError.*transitions"),
    ],
)
def test_a_broken_memory_is_refused(specimen, told):
    with pytest.raises(ConfigurationError, match=f"specimen.*{told}"):
        check_memory(getattr(broken_memories, specimen)())


def test_what_is_meant_to_forget_may():
    check_memory(memoryless(), remembers=False)
    check_memory(broken_memories.forgetful()._replace(context_length=1))


def test_what_is_no_memory_is_refused():
    with pytest.raises(ConfigurationError, match="expects a Memory, got function"):
        check_memory(gru)  # pyright: ignore[reportArgumentType]


def test_policies_pass(tasks):
    assert check_policy(adaptive_policy(tasks, gru(5))).carry_size == 5
    check_policy(memoryless_policy(revealed_target()))


def test_a_policy_without_shapes_asks_for_them(tasks):
    policy = adaptive_policy(tasks, gru(5))._replace(specification=None)
    with pytest.raises(ConfigurationError, match="the tasks"):
        check_unroll(policy)
    check_unroll(policy, tasks)


@pytest.mark.parametrize(
    ("specimen", "told"),
    [
        ("acausal", "memory 'specimen'.*output 0 .* input 4 "),
        ("unroll_decays_otherwise", "repeated step"),
        ("unroll_begins_with_zeros", "repeated step"),
        ("carry_grows", "window of fixed size"),
    ],
)
def test_a_wrong_unroll_is_found_before_training(tasks, specimen, told):
    memory = getattr(broken_memories, specimen)()
    with pytest.raises(ConfigurationError, match=told):
        check_unroll(adaptive_policy(tasks, memory))


def test_our_own_memories_are_not_checked_again_but_yours_in_layers_are(tasks):
    ours = adaptive_policy(tasks, gru(5))
    check_unroll(ours._replace(unroll=None))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="looks into the future"):
        check_unroll(adaptive_policy(tasks, stacked(broken_memories.acausal(), 1)))


def test_weights_that_random_numbers_cannot_be_are_initial_ones(tasks):
    """A memory whose weights must be positive is checked with those that its init gives."""
    sound = broken_memories.sound()
    positive = lambda run: lambda weights, carry, x: run(jnp.log(weights), carry, x)
    memory = sound._replace(
        init=lambda key, x: jnp.exp(sound.init(key, x)),
        step=positive(sound.step),
        unroll=positive(sound.unroll),
    )
    check_unroll(adaptive_policy(tasks, memory))
    backwards = memory._replace(unroll=positive(broken_memories.acausal().unroll))
    with pytest.raises(ConfigurationError, match="looks into the future"):
        check_unroll(adaptive_policy(tasks, backwards))
