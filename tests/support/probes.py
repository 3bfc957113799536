"""Probe task families whose right answers are known; to look inside an update see `updates_seen`.

- `counter`: rewards and observations that tell task, episode and step. Script it with
  `scripted_policy`.
- `tiny_bandit`: Bernoulli arms, small enough to enumerate.
- `doors`: exploring costs something now and pays in later episodes.
- `revealed_target`: continuous actions; the task is seen in final observations alone.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.memory import Memory, gru
from metarl_jax.policy.distributions import Categorical
from metarl_jax.policy.policy import Architecture, Policy, PolicyOutput, adaptive_policy
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.types import Array, Experience, Key


@dataclasses.dataclass(frozen=True)
class Discrete:
    """Actions 0 … n-1."""

    n: int


@dataclasses.dataclass(frozen=True)
class Box:
    """Vectors between two bounds."""

    low: float
    high: float
    shape: tuple[int, ...]


class CounterTask(struct.PyTreeNode):
    """A task that is nothing but its number."""

    identity: Array  # [] float32, one of 0 … 7


class CounterState(struct.PyTreeNode):
    """Where a counter stands."""

    identity: Array  # [] float32
    mark: Array  # [] float32 in [0, 1), drawn afresh at each reset: tells the episodes apart
    step: Array  # [] float32, steps taken since the reset


class Counter:
    """Counts steps. Action 1 ends the episode where that is allowed; other actions do nothing.

    Observation [3]: identity, mark, steps since the reset. Reward: identity + step/8, with the step
    it leads to: exact in float32.
    """

    def __init__(self, ends_early: bool) -> None:
        self.ends_early = ends_early

    def reset_env(self, key: Key, task: CounterTask) -> tuple[Array, CounterState]:
        mark = jax.random.uniform(key, (), jnp.float32)
        state = CounterState(task.identity, mark, jnp.zeros((), jnp.float32))
        return self._observe(state), state

    def step_env(
        self, key: Key, state: CounterState, action: Array, task: CounterTask
    ) -> tuple[Array, CounterState, Array, Array, dict[str, Array]]:
        del key
        state = state.replace(step=state.step + 1)
        reward = task.identity + state.step / 8
        terminated = (action == 1) & self.ends_early
        return self._observe(state), state, reward, terminated, {}

    def action_space(self, task: CounterTask) -> Discrete:
        del task
        return Discrete(3)

    def observation_space(self, task: CounterTask) -> Box:
        del task
        return Box(0.0, 8.0, (3,))

    def _observe(self, state: CounterState) -> Array:
        return jnp.stack([state.identity, state.mark, state.step])


def counter(
    *, ends_early: bool = False, episode_length: int = 3, num_episodes: int = 3
) -> TaskDistribution:
    """Eight tasks, told apart by their observation."""
    return TaskDistribution(
        name="counter",
        environment=Counter(ends_early),
        sample=lambda key: CounterTask(jax.random.randint(key, (), 0, 8).astype(jnp.float32)),
        describe=lambda task: task.identity[None],
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=ends_early,
        all_tasks=lambda: CounterTask(jnp.arange(8, dtype=jnp.float32)),
    )


class ArmsTask(struct.PyTreeNode):
    """Rewards of a row of arms."""

    low: Array  # [k] float32
    high: Array  # [k] float32
    probability: Array  # [k] float32, of the high one


class ArmsState(struct.PyTreeNode):
    """Nothing changes in a row of arms."""


class Arms:
    """Pulling arm a pays high_a with probability_a, else low_a. The observation is one 0."""

    def __init__(self, num_arms: int) -> None:
        self.num_arms = num_arms

    def reset_env(self, key: Key, task: ArmsTask) -> tuple[Array, ArmsState]:
        del key, task
        return jnp.zeros((1,), jnp.float32), ArmsState()

    def step_env(
        self, key: Key, state: ArmsState, action: Array, task: ArmsTask
    ) -> tuple[Array, ArmsState, Array, Array, dict[str, Array]]:
        high = jax.random.uniform(key) < task.probability[action]
        reward = jnp.where(high, task.high[action], task.low[action])
        return jnp.zeros((1,), jnp.float32), state, reward, jnp.zeros((), bool), {}

    def action_space(self, task: ArmsTask) -> Discrete:
        del task
        return Discrete(self.num_arms)

    def observation_space(self, task: ArmsTask) -> Box:
        del task
        return Box(0.0, 0.0, (1,))


def tiny_bandit(*, num_arms: int = 2, num_pulls: int = 2) -> TaskDistribution:
    """Arms that pay 1 or 0, p ~ U(0, 1); every pull is an episode."""

    def sample(key: Key) -> ArmsTask:
        probability = jax.random.uniform(key, (num_arms,), jnp.float32)
        return ArmsTask(jnp.zeros_like(probability), jnp.ones_like(probability), probability)

    return TaskDistribution(
        name="tiny_bandit",
        environment=Arms(num_arms),
        sample=sample,
        describe=lambda task: task.probability,
        episode_length=1,
        num_episodes=num_pulls,
        ends_early=False,
    )


SAFE_DOOR = 0.2


def doors(*, num_episodes: int = 4) -> TaskDistribution:
    """Arm 0 pays 0.2; one of arms 1 and 2 pays 1 and the other -1, which is hidden.

    The optimum opens a door at once (worth 0 on average) and knows: 0 + (E - 1)·1. Whoever cares
    for the present episode alone, or remembers nothing, takes arm 0: E·0.2.
    """

    def both() -> ArmsTask:
        pays = jnp.array([[SAFE_DOOR, 1.0, -1.0], [SAFE_DOOR, -1.0, 1.0]], jnp.float32)
        return ArmsTask(pays, pays, jnp.ones_like(pays))

    def sample(key: Key) -> ArmsTask:
        which = jax.random.randint(key, (), 0, 2)
        return jax.tree.map(lambda x: x[which], both())

    return TaskDistribution(
        name="doors",
        environment=Arms(3),
        sample=sample,
        describe=lambda task: task.high[1:],
        episode_length=1,
        num_episodes=num_episodes,
        ends_early=False,
        all_tasks=both,
        references=lambda: References(
            optimal_total=num_episodes - 1.0,
            optimal_episodes=(0.0,) + (1.0,) * (num_episodes - 1),
            memoryless_total=SAFE_DOOR * num_episodes,
            oracle_total=float(num_episodes),
        ),
    )


class TargetTask(struct.PyTreeNode):
    """A point to name."""

    target: Array  # [] float32, -0.5 or 0.5


class TargetState(struct.PyTreeNode):
    """How long the point has been hidden."""

    step: Array  # [] int32


class RevealedTarget:
    """Reward -(a₀ - target)². The first observation of an episode is 0, every later one the target.

    With one step an episode, only the final observation of an episode tells the target.
    """

    def reset_env(self, key: Key, task: TargetTask) -> tuple[Array, TargetState]:
        del key, task
        return jnp.zeros((1,), jnp.float32), TargetState(jnp.zeros((), jnp.int32))

    def step_env(
        self, key: Key, state: TargetState, action: Array, task: TargetTask
    ) -> tuple[Array, TargetState, Array, Array, dict[str, Array]]:
        del key
        reward = -jnp.square(action[0] - task.target)
        state = TargetState(state.step + 1)
        return task.target[None], state, reward, jnp.zeros((), bool), {}

    def action_space(self, task: TargetTask) -> Box:
        del task
        return Box(-1.0, 1.0, (2,))

    def observation_space(self, task: TargetTask) -> Box:
        del task
        return Box(-0.5, 0.5, (1,))


def revealed_target(*, episode_length: int = 1, num_episodes: int = 3) -> TaskDistribution:
    """With H = 1 the optimum is -0.25 in the first episode, then 0; without memory -0.25 each."""
    return TaskDistribution(
        name="revealed_target",
        environment=RevealedTarget(),
        sample=lambda key: TargetTask(0.5 * jax.random.rademacher(key, (), jnp.float32)),
        describe=lambda task: task.target[None],
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=False,
        all_tasks=lambda: TargetTask(jnp.array([-0.5, 0.5], jnp.float32)),
    )


def small_policy(tasks: TaskDistribution, memory: Memory | None = None) -> Policy:
    """An adaptive policy that compiles quickly."""
    return adaptive_policy(tasks, memory or gru(8), Architecture(embedding_size=8))


def scripted_policy(script: Any) -> Policy:
    """Plays `script` [8, T] in `counter`: the action at time t in the task of that number.

    Its value at time t is t, and its carry is t itself.
    """
    script = jnp.asarray(script, jnp.int32)

    def step(params: Any, carry: Array, experience: Experience) -> tuple[Array, PolicyOutput]:
        del params
        identity = experience.observation[..., 0].astype(jnp.int32)
        action = script[identity, jnp.minimum(carry, script.shape[1] - 1)]
        logits = 1e4 * jax.nn.one_hot(action, 3, dtype=jnp.float32)
        value = carry.astype(jnp.float32)
        return carry + 1, PolicyOutput(Categorical(logits), value, jnp.zeros((*carry.shape, 0)))

    return Policy(
        name="scripted",
        contextual=False,
        init=lambda key: (),
        initial_carry=lambda key: jnp.zeros((), jnp.int32),
        step=step,
        unroll=lambda params, carry, xs: jax.lax.scan(lambda c, x: step(params, c, x), carry, xs),
    )
