"""Ablations: each against episodes played by hand."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.evaluation.ablations import make_play, without_memory, without_rewards
from metarl_jax.evaluation.evaluate import evaluate, make_task_evaluator, with_others
from metarl_jax.policy.policy import Architecture, Policy, memoryless_policy
from metarl_jax.rollout import Actors, collect, start, task_keys
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.types import ConfigurationError, PyTree
from support.comparisons import relative_error
from support.probes import counter, doors, small_policy
from support.random_inputs import random_params


def key() -> Any:
    return jax.random.key(7)


def roll_out(tasks: TaskDistribution, policy: Policy, params: PyTree) -> Any:
    meta_episode = MetaEpisode(tasks)
    assert tasks.all_tasks is not None
    every = tasks.all_tasks()

    @jax.jit
    def run() -> Any:
        num_tasks = jax.tree.leaves(every)[0].shape[0]
        actors = start(policy, meta_episode, every, task_keys(key(), num_tasks))
        return collect(policy, params, meta_episode, actors)[1:]

    return run()


@pytest.mark.parametrize("ends_early", [False, True])
def test_ablated_each_episode_is_played_as_if_it_were_the_first(ends_early: bool) -> None:
    """Its outputs are those of a fresh carry and the blank transition, unrolled by hand."""
    tasks = counter(ends_early=ends_early)
    policy = small_policy(tasks)
    params = random_params(policy)
    rollout, outputs = roll_out(tasks, without_memory(policy), params)
    unroll = jax.jit(policy.unroll)
    checked = 0
    for task in (0, 5):
        where = np.flatnonzero(np.asarray(rollout.experience.episode_start)[:, task])
        for first, end in zip(where, [*where[1:], rollout.value.shape[0]], strict=True):
            episode = jax.tree.map(lambda x, a=first, b=end, t=task: x[a:b, t], rollout.experience)
            blank = jax.tree.map(lambda x: x.at[0].set(jnp.zeros((), x.dtype)), episode.transition)
            blank = blank.replace(action=blank.action.at[0].set(-1))
            _, alone = unroll(params, jnp.zeros(8), episode.replace(transition=blank))
            together = jax.tree.map(lambda x, a=first, b=end, t=task: x[a:b, t], outputs)
            assert relative_error(together, alone) < 1e-5
            checked += 1
    assert checked >= 6
    _, whole = roll_out(tasks, policy, params)
    assert relative_error(outputs.value, whole.value) > 0.01, "the memory was not ablated"


def test_ablated_unroll_equals_ablated_steps() -> None:
    tasks = counter(ends_early=True)
    policy = without_memory(small_policy(tasks))
    params = random_params(policy)
    rollout, outputs = roll_out(tasks, policy, params)
    carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (8, *x.shape)), policy.initial_carry(key()))
    _, unrolled = jax.jit(policy.unroll)(params, carry, rollout.experience)
    assert relative_error(unrolled, outputs) < 1e-5


def test_ablated_a_memoryless_policy_stays_what_it_is() -> None:
    tasks = counter(ends_early=True)
    policy = memoryless_policy(tasks, Architecture(embedding_size=8))
    params = random_params(policy)
    plain, ablated = (
        evaluate(tasks, policy, params, key(), 8, ablation=taken) for taken in (None, "memory")
    )
    np.testing.assert_array_equal(ablated.episode_returns, plain.episode_returns)


def test_ablated_all_episodes_are_worth_the_same() -> None:
    """In distribution: means over 4,000 tasks, within four standard errors of their difference."""
    tasks = doors(num_episodes=4)
    policy = small_policy(tasks)
    result = evaluate(tasks, policy, random_params(policy, 3), key(), 4000, ablation="memory")
    for episode in range(1, 4):
        difference = result.episode_returns[:, episode] - result.episode_returns[:, 0]
        assert difference.std() > 0, "two episodes drew the same luck"
        assert abs(difference.mean()) < 4 * difference.std() / len(difference) ** 0.5


def test_without_rewards_every_transition_paid_nothing() -> None:
    """Outputs are those of the same experience with the rewards struck out."""
    tasks = counter(ends_early=True)
    policy = small_policy(tasks)
    params = random_params(policy)
    rollout, outputs = roll_out(tasks, without_rewards(policy), params)
    read = rollout.experience
    assert np.any(np.asarray(read.transition.reward) != 0), "there was nothing to strike out"
    struck = read.replace(transition=read.transition.replace(reward=0 * read.transition.reward))
    carry = jax.tree.map(lambda x: jnp.broadcast_to(x, (8, *x.shape)), policy.initial_carry(key()))
    _, unrolled = jax.jit(policy.unroll)(params, carry, struck)
    assert relative_error(unrolled, outputs) < 1e-5
    _, whole = roll_out(tasks, policy, params)
    assert relative_error(outputs.value, whole.value) > 0.01, "the rewards were read"


def exchanged_by_hand(
    tasks: TaskDistribution, act: Callable[[Actors], Any], actors: Actors, fresh: Actors
) -> list[float]:
    """One step after the other, in one task after the other."""

    def episode(actors: Actors) -> tuple[Actors, float]:
        earned, number = 0.0, int(actors.states.episode[0])
        while int(actors.states.episode[0]) == number and not bool(actors.states.over[0]):
            actors, rollout, _ = act(actors)
            earned += float(rollout.outcome.reward[0, 0])
        return actors, earned

    returns = []
    for _ in range(tasks.num_episodes - 1):
        actors, earned = episode(actors)
        returns.append(earned)
    experience = fresh.states.experience.replace(transition=actors.states.experience.transition)
    fresh = fresh.replace(carry=actors.carry, states=fresh.states.replace(experience=experience))
    return [*returns, episode(fresh)[1]]


@pytest.mark.parametrize(
    "tasks", [doors(num_episodes=3), counter(ends_early=True)], ids=["doors", "counter"]
)
def test_the_task_is_exchanged_before_the_last_episode(tasks: TaskDistribution) -> None:
    policy = small_policy(tasks)
    params = jax.tree.map(lambda x: 3 * x, random_params(policy))  # acts on what it remembers
    number, meta_episode = 24, MetaEpisode(tasks)
    own = jax.vmap(tasks.sample)(jax.random.split(jax.random.key(1), number))
    others = jax.vmap(tasks.sample)(jax.random.split(jax.random.key(2), number))
    play = jax.jit(make_play(tasks, policy, greedy=False, ablation="history"))
    returns = np.asarray(play(params, (own, others), task_keys(key(), number)))
    act = jax.jit(lambda actors: collect(policy, params, meta_episode, actors, 1))
    begin = jax.jit(lambda task, keys: start(policy, meta_episode, task, keys))
    for i in range(number):
        mine, other = (jax.tree.map(lambda x, i=i: x[i : i + 1], tree) for tree in (own, others))
        first, last = jax.random.split(task_keys(key(), 1, i)[0])
        by_hand = exchanged_by_hand(tasks, act, begin(other, first[None]), begin(mine, last[None]))
        np.testing.assert_allclose(returns[i], by_hand, rtol=1e-6)


def test_of_a_policy_that_remembers_nothing_no_history_is_missed() -> None:
    """In distribution: each policy's last door is opened as if it were the first."""
    tasks = doors(num_episodes=3)
    policy = memoryless_policy(tasks, Architecture(embedding_size=8))
    result = evaluate(tasks, policy, random_params(policy), key(), 4000, ablation="history")
    difference = result.episode_returns[:, 2] - result.episode_returns[:, 0]
    assert abs(difference.mean()) < 4 * difference.std() / len(difference) ** 0.5


def test_what_lies_before_an_episode_needs_one_before_and_another_task() -> None:
    tasks = counter(num_episodes=1)
    for ablation in ("memory", "history"):
        with pytest.raises(ConfigurationError, match="at least 2 episodes"):
            make_task_evaluator(tasks, small_policy(tasks), ablation=ablation)
    tasks = doors(num_episodes=2)
    policy = small_policy(tasks)
    one = jax.tree.map(lambda x: x[None], tasks.sample(key()))
    same = jax.tree.map(lambda x: jnp.concatenate([x, x]), one)
    with pytest.raises(ConfigurationError, match="at least 2 different tasks"):
        make_task_evaluator(tasks, policy, ablation="history")(random_params(policy), same, key())


def test_the_other_task_is_any_that_differs() -> None:
    """Each of the others about as often, of a family that is repeated."""
    tasks = jnp.arange(700) % 7
    own, others = (np.asarray(x) for x in with_others(tasks))
    np.testing.assert_array_equal(own, tasks)
    counts = np.zeros((7, 7))
    np.add.at(counts, (own, others), 1)
    assert np.trace(counts) == 0
    away = counts[~np.eye(7, dtype=bool)]  # 42 pairs, 16.7 ± 3.7 each
    assert away.min() > 0 and away.max() < 40
