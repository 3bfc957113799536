"""The two-step task: a choice leads to one of two states, of which one pays; which, changes.

A reward after a rare transition speaks for the action that was not taken. Who learns by reward
alone repeats the action; who knows how the task is built takes the other.

Reference:
    Daw, Gershman, Seymour, Dayan, Dolan (2011), "Model-Based Influences on Humans' Choices and
    Striatal Prediction Errors"; as in Wang et al. (2016), "Learning to reinforcement learn",
    section 3.2.1 (one choice a trial, its chances, 100 trials). That transitions reverse too is
    after Akam, Costa, Dayan (2015), "Simple Plans or Sophisticated Habits?", and Wang et al.
    (2018), "Prefrontal cortex as a meta-reinforcement learning system"; that they do as often as
    rewards is ours.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs.agents.two_step import Chances, two_step_references
from metarl_jax.checks import check_number, check_whole_number
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.measures import Measure, Values
from metarl_jax.trees import take
from metarl_jax.types import Array, Key, PyTree, StepOutcome

FIRST = 0
"""The stage of a trial's choice; stages 1 and 2 are the states it leads to."""


class TwoStepTask(struct.PyTreeNode):
    """What is hidden but for the changes to come."""

    paying: Array  # [] int32, 0 or 1: the state that pays at first
    swapped: Array  # [] int32, 1 where action 0 commonly leads to state 1 at first


class TwoStepState(struct.PyTreeNode):
    """The stage, and what is hidden and changes."""

    stage: Array  # [] int32, 0 before the choice, 1 or 2 in state 0 or 1
    paying: Array  # [] int32
    swapped: Array  # [] int32


class TwoStep(environment.Environment[Any, Any]):
    """Trials of two steps: choose, then be paid. Both actions do the same in the second step.

    Action a leads to state a with the common chance, else to the other; the other way round while
    swapped. The paying state pays 1 with the reward's chance q, the other with 1 - q. After each
    trial the states change places with the chance of a change, and so do the transitions where they
    reverse. The observation is the stage, one-hot.
    """

    def __init__(self, chances: Chances) -> None:
        self.chances = chances

    def reset_env(self, key: Key, task: TwoStepTask) -> tuple[Array, TwoStepState]:
        """Returns (observation [3] float32, state); draws nothing."""
        del key
        state = TwoStepState(jnp.int32(FIRST), task.paying, task.swapped)
        return _observe(state), state

    def step_env(
        self, key: Key, state: TwoStepState, action: Array, task: TwoStepTask
    ) -> tuple[Array, TwoStepState, Array, Array, dict[str, Array]]:
        """Moves to a state, or pays and begins the next trial."""
        del task
        move_key, pay_key, paying_key, swap_key = jax.random.split(key, 4)
        chooses = state.stage == FIRST
        rare = ~jax.random.bernoulli(move_key, self.chances.common)
        reached = 1 + (action ^ state.swapped ^ rare.astype(jnp.int32))
        in_paying = state.stage == 1 + state.paying
        chance = jnp.where(in_paying, self.chances.reward, 1 - self.chances.reward)
        pays = ~chooses & (jax.random.uniform(pay_key, (), jnp.float32) < chance)
        changes = ~chooses & jax.random.bernoulli(paying_key, self.chances.change)
        swaps = ~chooses & jax.random.bernoulli(swap_key, self.chances.swap)
        state = TwoStepState(
            stage=jnp.where(chooses, reached, FIRST).astype(jnp.int32),
            paying=state.paying ^ changes.astype(jnp.int32),
            swapped=state.swapped ^ swaps.astype(jnp.int32),
        )
        return _observe(state), state, pays.astype(jnp.float32), jnp.zeros((), bool), {}

    def action_space(self, task: TwoStepTask) -> spaces.Discrete:
        """Two choices."""
        del task
        return spaces.Discrete(2)

    def observation_space(self, task: TwoStepTask) -> spaces.Box:
        """The stage, one-hot."""
        del task
        return spaces.Box(0.0, 1.0, (3,), jnp.float32)


def _observe(state: TwoStepState) -> Array:
    return jax.nn.one_hot(state.stage, 3, dtype=jnp.float32)


def _keep(task: TwoStepTask, action: Array, outcome: StepOutcome) -> PyTree:
    del task
    return {
        "action": action,
        "swapped": outcome.state.swapped,
        "reached": outcome.next_state.stage - 1,
        "rewarded": outcome.reward > 0,
    }


def _summarize(task: TwoStepTask, kept: Any) -> Values:
    """How often a trial's choice is the one before, by what that one led to; 0 where it never did.

    Who learns by reward alone stays after a reward, whatever the transition was; who knows the
    transitions leaves after a reward that a rare one led to (Daw et al. 2011, figure 2).
    """
    del task
    action = kept["action"][::2]
    common = kept["reached"][::2] == action ^ kept["swapped"][::2]
    rewarded = kept["rewarded"][1::2]
    stays = action[1:] == action[:-1]
    values = {}
    for way, led in (("common", common), ("rare", ~common)):
        for end, got in (("reward", rewarded), ("no_reward", ~rewarded)):
            chosen = stays[led[:-1] & got[:-1]]
            values[f"stay_after_{way}_{end}"] = float(chosen.mean()) if chosen.size else 0.0
    return values


def two_step(
    *,
    reversing_transitions: bool = False,
    common_chance: float = 0.8,
    reward_chance: float = 0.9,
    change_chance: float = 0.025,
    num_trials: int = 100,
) -> TaskDistribution:
    """Choose one of two actions; one of the states they lead to pays, until that changes.

    A meta-episode is one episode of n trials, two steps each. A trial cannot be an episode: an
    episode begins in the state that its task says, and what has changed has to last. So nothing
    crosses an episode's end, and a return without memory is not among the references; a policy that
    remembers nothing at all earns n / 2.

    Args:
        reversing_transitions: which action leads where is hidden too, and changes as often as what
            pays; else action a commonly leads to state a in every task, always.
        common_chance: of the common transition, from 0.5 to 1.
        reward_chance: q, how often the paying state pays, from 0.5 to 1; the other with 1 - q.
        change_chance: that the states change places after a trial, from 0 to 0.5.
        num_trials: n.

    Returns:
        The task distribution, of two or four tasks: what is so at first. Its Bayes-optimal total is
        exact to about 1e-6.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    check_number("two_step", "common_chance", common_chance, at_least=0.5, at_most=1.0)
    check_number("two_step", "reward_chance", reward_chance, at_least=0.5, at_most=1.0)
    check_number("two_step", "change_chance", change_chance, at_least=0.0, at_most=0.5)
    check_whole_number("two_step", "num_trials", num_trials, at_least=1)
    swap_chance = change_chance if reversing_transitions else 0.0
    chances = Chances(common_chance, reward_chance, change_chance, swap_chance)
    starts = [
        (paying, swapped) for swapped in range(1 + reversing_transitions) for paying in (0, 1)
    ]

    def all_tasks() -> TwoStepTask:
        return TwoStepTask(*jnp.array(starts, jnp.int32).T)

    def sample(key: Key) -> TwoStepTask:
        start = jax.random.randint(key, (), 0, len(starts), jnp.int32)
        return take(all_tasks(), start)

    return TaskDistribution(
        name="two_step",
        environment=TwoStep(chances),
        sample=sample,
        describe=lambda task: jnp.stack([task.paying, task.swapped]).astype(jnp.float32),
        episode_length=2 * num_trials,
        num_episodes=1,
        ends_early=False,
        all_tasks=all_tasks,
        references=functools.cache(
            lambda: two_step_references(chances, num_trials, hidden_swap=reversing_transitions)
        ),
        measures=(Measure(_keep, _summarize),),
    )
