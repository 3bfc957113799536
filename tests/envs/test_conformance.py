"""What the check passes can be trained on, and what it refuses it names."""

import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces

from metarl_jax import (
    ConfigurationError,
    TaskDistribution,
    UpdateConfig,
    a2c,
    check_task_distribution,
    contextual_policy,
    gru,
    hyperparameters,
)
from metarl_jax.trees import strong
from support.broken_families import Line, sample
from support.command_line import assert_well_put


class Reach(struct.PyTreeNode):
    """A task with bounds of its own."""

    reach: jax.Array  # [] float32, 0.5 or 8


def family(environment: Any, **changes: Any) -> TaskDistribution:
    given: dict[str, Any] = {
        "name": "line",
        "environment": environment,
        "sample": sample,
        "describe": lambda task: task.side[None],
        "episode_length": 3,
        "num_episodes": 2,
        "ends_early": False,
    }
    return TaskDistribution(**given | changes)


class EndsWithPython(Line):
    def step_env(self, key: Any, state: Any, action: Any, task: Any) -> Any:
        observation, state, reward, _, info = super().step_env(key, state, action, task)
        return observation, state, reward, False, info


class CountsWithPython(Line):
    """Its state begins as Python's number."""

    def reset_env(self, key: Any, task: Any) -> Any:
        return jnp.zeros((1,), jnp.float32), 0

    def step_env(self, key: Any, state: Any, action: Any, task: Any) -> Any:
        state = state + 2 * action - 1
        observed = jnp.asarray(state, jnp.float32)
        return observed[None], state, observed * task.side, jnp.zeros((), bool), {}


class HoldsAScalar(Line):
    def __init__(self) -> None:
        super().__init__()
        self.scale = jnp.asarray(2.0, jnp.float32)

    def step_env(self, key: Any, state: Any, action: Any, task: Any) -> Any:
        observation, state, reward, *rest = super().step_env(key, state, action, task)
        return observation, state, reward * self.scale, *rest


class OwnBounds(Line):
    """Each task is observed, and acted in, within its own reach."""

    def step_env(self, key: Any, state: Any, action: Any, task: Any) -> Any:
        reached = task.reach * jnp.tanh(action)
        return reached, state, reached[0], jnp.zeros((), bool), {}

    def action_space(self, task: Any) -> Any:
        return spaces.Box(-task.reach, task.reach, (1,))

    def observation_space(self, task: Any) -> Any:
        return spaces.Box(-task.reach, task.reach, (1,))


def sample_reach(key: jax.Array) -> Reach:
    return Reach(jnp.where(jax.random.bernoulli(key), 8.0, 0.5).astype(jnp.float32))


ODD_BUT_SOUND: dict[str, Callable[[], TaskDistribution]] = {
    "an end that is Python's False": lambda: family(EndsWithPython()),
    "a state that is Python's number": lambda: family(CountsWithPython()),
    "an environment that holds a scalar array": lambda: family(HoldsAScalar()),
    "a description of whole numbers": lambda: family(
        Line(), describe=lambda task: task.side[None].astype(jnp.int32)
    ),
    "the same where episodes may end early": lambda: family(CountsWithPython(), ends_early=True),
    "an end that is Python's where they may": lambda: family(EndsWithPython(), ends_early=True),
}


@pytest.mark.parametrize("name", ODD_BUT_SOUND)
def test_what_the_check_passes_is_trained_on(name: str) -> None:
    tasks = ODD_BUT_SOUND[name]()
    check_task_distribution(tasks)
    algorithm = a2c(
        tasks, contextual_policy(tasks, gru(4)), hyperparameters(), UpdateConfig(num_tasks=2)
    )
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    after, _ = jax.eval_shape(algorithm.update, state)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)


def test_the_cast_costs_a_sound_family_nothing() -> None:
    """Not one operation: its programs, and what is compiled of them, stay what they were."""
    sound = (jnp.zeros((3,), jnp.float32), jnp.zeros((), bool), jax.random.key(0))
    assert not jax.make_jaxpr(strong)(sound).eqns
    cast = jax.eval_shape(lambda: strong({"end": False, "count": 2, "reward": 0.5}))
    assert {name: str(x.dtype) for name, x in cast.items()} == {
        "end": "bool",
        "count": "int32",
        "reward": "float32",
    }
    assert not any(x.weak_type for x in cast.values())


class SwappedObservation(Line):
    def observation_space(self, task: Any) -> Any:
        return spaces.Box(np.array([9.0]), np.array([-9.0]), (1,))


class SwappedActions(Line):
    def step_env(self, key: Any, state: Any, action: Any, task: Any) -> Any:
        return super().step_env(key, state, action[0], task)

    def action_space(self, task: Any) -> Any:
        return spaces.Box(np.array([-1.0, 2.0]), np.array([1.0, -2.0]), (2,))


class NoActions(Line):
    def action_space(self, task: Any) -> Any:
        return spaces.Discrete(0)


class ActionsOfTheTask(Line):
    def action_space(self, task: Any) -> Any:
        return types.SimpleNamespace(n=task.side.astype(jnp.int32) + 2, shape=())


class NoBounds(Line):
    def observation_space(self, task: Any) -> Any:
        return spaces.Box(float(task.side), 9.0, (1,))


class LeavesLate(Line):
    """Its third observation is the first that lies outside: -99 in a task whose side is -1."""

    def observation_space(self, task: Any) -> Any:
        return spaces.Box(-9.0, 9.0, (1,))

    def reset_env(self, key: Any, task: Any) -> Any:
        return jnp.zeros((1,), jnp.float32), jnp.zeros((), jnp.float32)

    def step_env(self, key: Any, state: Any, action: Any, task: Any) -> Any:
        state = state + 1
        seen = jnp.where((state == 3) & (task.side < 0), -99.0, state)
        return seen[None], state, state, jnp.zeros((), bool), {}


class ObservesADict(Line):
    def reset_env(self, key: Any, task: Any) -> Any:
        return {"place": jnp.zeros((1,), jnp.float32)}, jnp.zeros((), jnp.float32)


class ResetsAlone(Line):
    def reset_env(self, key: Any, task: Any) -> Any:
        return jnp.zeros((1,), jnp.float32)


def described(describe: Callable[[Any], Any]) -> Callable[[], TaskDistribution]:
    return lambda: family(Line(), describe=describe)


REFUSED: dict[str, tuple[Callable[[], TaskDistribution], list[str]]] = {
    "a dict for a description": (described(lambda t: {"side": t.side}), ["describe", "dict"]),
    "a tuple for a description": (described(lambda t: (t.side,)), ["describe", "tuple"]),
    "None for a description": (described(lambda t: None), ["describe", "NoneType"]),
    "a key for a description": (
        described(lambda t: jax.random.split(jax.random.key(0), 2)),
        ["describe", "key<"],
    ),
    "a matrix for a description": (
        described(lambda t: t.side[None, None]),
        ["describe", "float32[1, 1]"],
    ),
    "a description of NaN": (
        described(lambda t: jnp.full((2,), jnp.nan, jnp.float32)),
        ["finite", "describe", "[nan nan]"],
    ),
    "no actions": (lambda: family(NoActions()), ["action_space", "at least one choice", "n=0"]),
    "as many actions as the task says": (
        lambda: family(ActionsOfTheTask()),
        ["action_space", "same in every task", "Discrete(n=1", "Discrete(n=3"],
    ),
    "bounds of each task's own": (
        lambda: family(OwnBounds(), sample=sample_reach, describe=lambda task: task.reach[None]),
        ["space(task)", "same in every task", "0.5", "8.0"],
    ),
    "a bound that is the task's": (
        lambda: family(NoBounds()),
        ["observation_space(task)", "same in every task"],
    ),
    "low above high in observations": (
        lambda: family(SwappedObservation()),
        ["observation_space", "low 9 and high -9", "number 0"],
    ),
    "low above high in actions": (
        lambda: family(SwappedActions()),
        ["action_space", "low 2 and high -2", "number 1"],
    ),
    "an observation outside, after others within": (
        lambda: family(LeavesLate()),
        ["[-9, 9]", "step_env", "[-99.]"],
    ),
    "an observation that is a dict": (
        lambda: family(ObservesADict()),
        ["observation", "one array", "['place']"],
    ),
    "a reset without a state": (
        lambda: family(ResetsAlone()),
        ["reset_env", "(observation, state"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_on_is_named(name: str) -> None:
    make, fragments = REFUSED[name]
    with pytest.raises(ConfigurationError) as refusal:
        check_task_distribution(make())
    assert_well_put(str(refusal.value))
    for fragment in ["line", *fragments]:
        assert fragment in str(refusal.value)
