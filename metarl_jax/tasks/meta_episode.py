"""Meta-episodes: episodes of one task, concatenated.

The meta-episode owns the reset of the environment's state. It never touches the task, nor the
policy's memory. Written for one task; the rollout batches it with `vmap`.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.checks import require_positive
from metarl_jax.tasks import binding
from metarl_jax.tasks.actions import executed, no_action
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.trees import select, strong
from metarl_jax.types import (
    Array,
    Experience,
    Key,
    PyTree,
    StepOutcome,
    Task,
    Transition,
    blank_transition,
)


class MetaState(struct.PyTreeNode):
    """Where a meta-episode stands, before the next action."""

    task: Task
    environment_state: PyTree
    experience: Experience
    episode: Array  # [] int32, from 0
    step: Array  # [] int32, steps taken in this episode
    time: Array  # [] int32, steps taken in this meta-episode
    over: Array  # [] bool: the meta-episode has ended
    key: Key  # constant: step t folds t in, so that results do not depend on how steps are grouped


@dataclasses.dataclass(frozen=True)
class MetaEpisode:
    """How episodes of one task are strung together.

    Attributes:
        tasks: the task distribution.
        contextual: whether the experience carries `tasks.describe(task)` (else an empty context).
        num_steps: None: the meta-episode ends after `tasks.num_episodes` episodes, and steps after
            that are masked. A number: it ends after just so many steps, in whatever episode that is
            (as in RL², Duan et al. 2016).

    Raises:
        ConfigurationError: num_steps is less than 1.
    """

    tasks: TaskDistribution
    contextual: bool = False
    num_steps: int | None = None

    def __post_init__(self) -> None:
        if self.num_steps is not None:
            require_positive("a meta-episode's step budget", self.num_steps)

    @property
    def length(self) -> int:
        """T, the static number of steps a rollout takes."""
        return self.num_steps or self.tasks.max_steps

    def reset(self, key: Key, task: Task) -> MetaState:
        """Begins a meta-episode: first episode, blank transition.

        Args:
            key: of this meta-episode; everything random in its environment comes from it.
            task: one task, no batch axis.

        Returns:
            The state before the first action.
        """
        task = strong(task)
        observation, environment_state = self._reset_env(jax.random.fold_in(key, 0), task)
        context = jnp.zeros((0,), jnp.float32)
        if self.contextual:
            context = jnp.asarray(self.tasks.describe(task), jnp.float32)
        experience = Experience(
            observation=observation,
            transition=self._blank_transition(observation),
            episode_start=jnp.ones((), bool),
            context=context,
        )
        zero = jnp.zeros((), jnp.int32)
        return MetaState(
            task=task,
            environment_state=environment_state,
            experience=experience,
            episode=zero,
            step=zero,
            time=zero,
            over=jnp.zeros((), bool),
            key=key,
        )

    def advance(self, state: MetaState, action: PyTree) -> tuple[MetaState, StepOutcome]:
        """One environment step. At an episode's end the state waits there for `next_episode`.

        Args:
            state: before the action.
            action: as the policy's distribution gives it: [] or [K] int32, [A] float32, or a dict
                or tuple of these. That of a box is clipped to its bounds; see `tasks.actions`.

        Returns:
            The state, whose experience holds this transition, and what came of the step; of a step
            after the meta-episode's end reward and ends are 0 and `valid` is false.
        """
        action = executed(self.tasks.specification.action, action)
        observation, environment_state, reward, terminated = self._step_env(state, action)
        step, time = state.step + 1, state.time + 1
        out_of_budget = time >= self.length if self.num_steps else jnp.zeros((), bool)
        truncated = ~terminated & ((step >= self.tasks.episode_length) | out_of_budget)
        episode_end = terminated | truncated
        last_episode = episode_end & (state.episode + 1 >= self.tasks.num_episodes)
        meta_end = out_of_budget if self.num_steps else last_episode
        valid = ~state.over
        outcome = StepOutcome(
            reward=jnp.where(valid, reward, 0.0),
            terminated=terminated & valid,
            truncated=truncated & valid,
            episode=state.episode,
            episode_end=episode_end & valid,
            meta_end=meta_end & valid,
            valid=valid,
            state=state.environment_state,
            next_state=environment_state,
        )
        transition = Transition(
            observation=state.experience.observation,
            action=action,
            reward=reward,
            final_observation=observation,
            terminated=terminated,
            truncated=truncated,
        )
        experience = state.experience.replace(
            observation=observation, transition=transition, episode_start=jnp.zeros((), bool)
        )
        advanced = state.replace(
            environment_state=environment_state,
            experience=experience,
            step=step,
            time=time,
            over=state.over | meta_end,
        )
        return advanced, outcome

    def next_episode(self, state: MetaState) -> MetaState:
        """Resets the environment in the same task; the last transition stays in the experience.

        Args:
            state: after `advance` ended an episode.

        Returns:
            The state at the first step of the next one, `episode_start` set.
        """
        observation, environment_state = self._reset_env(
            jax.random.fold_in(state.key, 2 * state.time), state.task
        )
        return state.replace(
            environment_state=environment_state,
            experience=state.experience.replace(
                observation=observation, episode_start=jnp.ones((), bool)
            ),
            episode=state.episode + 1,
            step=jnp.zeros((), jnp.int32),
        )

    def step(self, state: MetaState, action: PyTree) -> tuple[MetaState, StepOutcome]:
        """`advance`, then `next_episode` where that ended one. Arguments and results as there."""
        advanced, outcome = self.advance(state, action)
        transition = advanced.experience.transition
        ended = transition.terminated | transition.truncated
        following = self.next_episode(advanced)

        return following.replace(
            environment_state=select(
                ended, following.environment_state, advanced.environment_state
            ),
            experience=select(ended, following.experience, advanced.experience),
            episode=select(ended, following.episode, advanced.episode),
            step=select(ended, following.step, advanced.step),
        ), outcome

    def _reset_env(self, key: Key, task: Task) -> tuple[PyTree, PyTree]:
        return binding.reset(self.tasks, key, task)

    def _step_env(self, state: MetaState, action: PyTree) -> tuple[PyTree, PyTree, Array, Array]:
        key = jax.random.fold_in(state.key, 2 * state.time + 1)
        return binding.step(self.tasks, key, state.environment_state, action, state.task)

    def _blank_transition(self, observation: PyTree) -> Transition:
        zero, no = jnp.zeros((), jnp.float32), jnp.zeros((), bool)
        action = no_action(self.tasks.specification.action)
        return blank_transition(Transition(observation, action, zero, observation, no, no))
