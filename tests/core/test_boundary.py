"""What happens at the ends of episodes and of meta-episodes.

A counter whose observations tell task, episode and step is played by a script, and everything that
comes out is compared with a plain loop.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_jax.memory import Memory, MemoryInput, gru, unroll_by_steps
from metarl_jax.policy.normalization import identity_statistics
from metarl_jax.policy.policy import Architecture, Policy, Statistics, adaptive_policy
from metarl_jax.rollout import Rollout, collect, start, task_keys, undiscounted_returns
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.types import Array, ConfigurationError, PyTree
from support.comparisons import assert_same, relative_error
from support.probes import counter, revealed_target, scripted_policy, small_policy
from support.random_inputs import random_params
from support.updates_seen import operations, remembering

NUM_TASKS, LENGTH, EPISODES = 8, 3, 3
SCRIPT = np.random.default_rng(0).choice([0, 1, 2], (NUM_TASKS, 32), p=[0.3, 0.4, 0.3])


class Plain(NamedTuple):
    """One row of what a plain loop expects."""

    episode: int
    step: int
    terminated: bool
    truncated: bool
    meta_end: bool


def plain_meta_episode(script: np.ndarray, ends_early: bool, num_steps: int | None) -> list[Plain]:
    """The meta-episode of one task, as a person would write it down."""
    rows: list[Plain] = []
    episode = step = 0
    while True:
        terminated = ends_early and script[len(rows)] == 1
        last_of_budget = num_steps is not None and len(rows) + 1 == num_steps
        truncated = not terminated and (step + 1 == LENGTH or last_of_budget)
        over = terminated or truncated
        meta_end = last_of_budget if num_steps else over and episode + 1 == EPISODES
        rows.append(Plain(episode, step, terminated, truncated, meta_end))
        if meta_end:
            return rows
        episode, step = (episode + 1, 0) if over else (episode, step + 1)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way of stringing episodes together."""

    ends_early: bool
    flat: bool = True  # whether the rollout is forced through the path for early ends
    num_steps: int | None = None


VARIANTS = {
    "early ends": Variant(ends_early=True),
    "in step": Variant(ends_early=False, flat=False),
    "in step, flat": Variant(ends_early=False, flat=True),
    "early ends, step budget": Variant(ends_early=True, num_steps=7),
    "step budget in mid-episode": Variant(ends_early=False, flat=False, num_steps=7),
    "step budget beyond all episodes": Variant(ends_early=False, flat=False, num_steps=12),
}


def family(variant: Variant) -> TaskDistribution:
    tasks = counter(ends_early=variant.ends_early, episode_length=LENGTH, num_episodes=EPISODES)
    return dataclasses.replace(tasks, ends_early=variant.flat)


def play(policy: Policy, params: Any, variant: Variant, parts: tuple[int, ...] = ()) -> Any:
    """Rolls out in all eight tasks, in one `collect` or in several; returns (rollout, outputs)."""
    tasks = family(variant)
    meta_episode = MetaEpisode(tasks, num_steps=variant.num_steps)
    assert tasks.all_tasks is not None
    every = tasks.all_tasks()

    @jax.jit
    def run(params: Any) -> Any:
        actors = start(policy, meta_episode, every, task_keys(jax.random.key(5), NUM_TASKS))
        pieces = []
        for num_steps in parts or (None,):
            actors, rollout, outputs = collect(policy, params, meta_episode, actors, num_steps)
            pieces.append((rollout.replace(final_value=rollout.final_value[None]), outputs))
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *pieces)

    return run(params)


@pytest.fixture(scope="module", params=VARIANTS)
def played(request: pytest.FixtureRequest) -> tuple[Variant, Rollout]:
    variant = VARIANTS[request.param]
    rollout, _ = play(scripted_policy(SCRIPT), (), variant)
    return variant, jax.tree.map(np.asarray, rollout)


def expected_of(variant: Variant, task: int) -> list[Plain]:
    return plain_meta_episode(SCRIPT[task], variant.ends_early, variant.num_steps)


def test_observations_decode_to_task_episode_and_step(played: tuple[Variant, Rollout]) -> None:
    variant, rollout = played
    marks_of_all: list[float] = []
    for task in range(NUM_TASKS):
        expected = expected_of(variant, task)
        identity, mark, step = rollout.experience.observation[: len(expected), task].T
        marks = list(dict.fromkeys(mark))  # each once, in the order in which they came
        decoded = [(marks.index(m), int(s)) for m, s in zip(mark, step, strict=True)]
        assert decoded == [(row.episode, row.step) for row in expected]
        assert np.all(identity == task)
        starts = rollout.experience.episode_start[: len(expected), task]
        assert starts.tolist() == [row.step == 0 for row in expected]
        marks_of_all += marks
    assert len(set(marks_of_all)) == len(marks_of_all), "two resets used the same key"


def test_ends_are_where_they_belong(played: tuple[Variant, Rollout]) -> None:
    variant, rollout = played
    outcome = rollout.outcome
    for task in range(NUM_TASKS):
        expected = expected_of(variant, task)
        for name in ("episode", "terminated", "truncated", "meta_end"):
            actual = getattr(outcome, name)[: len(expected), task].tolist()
            assert actual == [getattr(row, name) for row in expected], name
        ends = outcome.episode_end[: len(expected), task].tolist()
        assert ends == [row.terminated or row.truncated for row in expected]
        assert outcome.valid[:, task].sum() == len(expected)


def test_the_whole_last_transition_is_read_next(played: tuple[Variant, Rollout]) -> None:
    """Also over an episode's end: its own final observation, reward and end flags."""
    variant, rollout = played
    transition = rollout.experience.transition
    for task in range(NUM_TASKS):
        expected = expected_of(variant, task)
        seen = rollout.experience.observation[:, task]
        for t, row in enumerate(expected[:-1]):
            np.testing.assert_array_equal(transition.observation[t + 1, task], seen[t])
            np.testing.assert_array_equal(
                transition.final_observation[t + 1, task], seen[t] + np.float32([0, 0, 1])
            )
            assert transition.action[t + 1, task] == SCRIPT[task, t]
            assert transition.reward[t + 1, task] == task + (row.step + 1) / 8
            assert transition.terminated[t + 1, task] == row.terminated
            assert transition.truncated[t + 1, task] == row.truncated


def test_a_meta_episode_begins_with_the_blank_transition(played: tuple[Variant, Rollout]) -> None:
    _, rollout = played
    first = jax.tree.map(lambda x: x[0], rollout.experience.transition)
    assert np.all(first.action == -1)
    for leaf in jax.tree.leaves(first.replace(action=first.action + 1)):
        assert not leaf.any()


def test_states_before_and_after_each_step(played: tuple[Variant, Rollout]) -> None:
    """`next_state` is the state after the step, before any reset: what a drawing ends with."""
    variant, rollout = played
    outcome = rollout.outcome
    for task in range(NUM_TASKS):
        expected = expected_of(variant, task)
        steps = [row.step for row in expected]
        assert outcome.state.step[: len(expected), task].tolist() == steps
        assert outcome.next_state.step[: len(expected), task].tolist() == [s + 1 for s in steps]
        assert np.all(outcome.next_state.mark == outcome.state.mark)


def test_steps_after_the_end_are_masked(played: tuple[Variant, Rollout]) -> None:
    _, rollout = played
    outcome = rollout.outcome
    over = ~outcome.valid
    assert over.any() == (rollout.outcome.meta_end[-1].sum() < NUM_TASKS)
    for name in ("reward", "terminated", "truncated", "episode_end", "meta_end"):
        assert not getattr(outcome, name)[over].any(), name


def test_returns_of_the_episodes(played: tuple[Variant, Rollout]) -> None:
    variant, rollout = played
    expected = np.zeros((NUM_TASKS, EPISODES))
    total = np.zeros(NUM_TASKS)
    for task in range(NUM_TASKS):
        for row in expected_of(variant, task):
            total[task] += task + (row.step + 1) / 8
            if row.episode < EPISODES:
                expected[task, row.episode] += task + (row.step + 1) / 8
    actual = undiscounted_returns(jax.tree.map(jnp.asarray, rollout), EPISODES)
    np.testing.assert_array_equal(actual.episodes, expected.astype(np.float32))
    np.testing.assert_array_equal(actual.total, total.astype(np.float32))


def test_the_value_after_the_last_step(played: tuple[Variant, Rollout]) -> None:
    """The scripted policy's value is the number of steps it has read."""
    _, rollout = played
    num_steps = rollout.value.shape[0]
    np.testing.assert_array_equal(rollout.value[:, 0], np.arange(num_steps, dtype=np.float32))
    np.testing.assert_array_equal(rollout.final_value, np.float32(num_steps))


@pytest.fixture(scope="module")
def together_and_flat() -> tuple[Any, Any]:
    """A learned kind of policy on the same tasks and keys, by both paths."""
    policy = remembering(small_policy(counter()))
    params = random_params(policy)
    together, flat = (
        play(policy, params, Variant(ends_early=False, flat=flat)) for flat in (False, True)
    )
    return together, flat


def test_both_paths_give_the_same_rollout(together_and_flat: tuple[Any, Any]) -> None:
    (rollout, outputs), (flat_rollout, flat_outputs) = together_and_flat
    assert len(np.unique(rollout.action)) == 3
    assert_same(rollout.outcome, flat_rollout.outcome)
    assert_same(rollout.experience, flat_rollout.experience)
    assert_same(rollout.action, flat_rollout.action)
    assert relative_error(outputs, flat_outputs) < 1e-6


def resets_that_ask_first() -> int:
    """Conditions in the traced rollout of tasks that are in step."""
    together = Variant(ends_early=False, flat=False)
    traced = jax.make_jaxpr(lambda: play(scripted_policy(SCRIPT), (), together))()
    return len(list(operations(traced.jaxpr, "cond")))


def test_a_cpu_resets_where_it_is_due() -> None:
    assert resets_that_ask_first() == 1


@pytest.mark.usefixtures("accelerator")
def test_an_accelerator_does_not_ask_whether_a_reset_is_due() -> None:
    assert resets_that_ask_first() == 0


@pytest.mark.parametrize("path", ["together", "flat"])
def test_the_carry_crosses_every_step_untouched(
    together_and_flat: tuple[Any, Any], path: str
) -> None:
    """The ends of episodes too; and it begins as the initial carry."""
    rollout, outputs = together_and_flat[["together", "flat"].index(path)]
    carry = outputs.features
    assert rollout.outcome.episode_end[:-1].any()
    np.testing.assert_array_equal(carry["before"][1:], carry["after"][:-1])
    np.testing.assert_array_equal(carry["before"][0], 0.0)
    assert np.all(np.abs(carry["after"]).sum(-1) > 0)


@pytest.mark.parametrize(
    ("ends_early", "parts"),
    [(False, (1, 2, 6)), (False, (2, 3, 4)), (False, (3, 6)), (True, (4, 5))],
    ids=str,
)
def test_a_rollout_in_segments_is_the_whole_rollout(
    ends_early: bool, parts: tuple[int, ...]
) -> None:
    variant = Variant(ends_early=ends_early, flat=ends_early)
    policy = scripted_policy(SCRIPT)
    whole, _ = play(policy, (), variant)
    joined, _ = play(policy, (), variant, parts)
    assert_same(joined.outcome, whole.outcome)
    assert_same(joined.experience, whole.experience)
    np.testing.assert_array_equal(joined.final_value[-1], whole.final_value[-1])


def spy() -> Memory:
    """A memory that outputs what it reads, and remembers nothing."""

    def step(params: PyTree, carry: tuple[()], x: MemoryInput) -> tuple[tuple[()], Array]:
        del params
        return carry, jnp.concatenate([x.transition, x.observation], axis=-1)

    return Memory("spy", lambda key, x: (), lambda key: (), step, unroll_by_steps(step))


def test_the_last_transition_of_an_episode_reaches_the_memory() -> None:
    """What the memory reads at the first step of the second episode, decoded.

    The embedding tanh(v W + b) is inverted; that gives all numbers of the transition, in whatever
    order the policy put them.
    """
    variant, size = Variant(ends_early=True), 16
    tasks = family(variant)
    policy = adaptive_policy(tasks, spy(), Architecture(embedding_size=size))
    params = random_params(policy)
    statistics = Statistics(identity_statistics((3,)), identity_statistics(), identity_statistics())
    params = params.replace(
        statistics=statistics, weights=jax.tree.map(lambda x: 0.1 * x, params.weights)
    )
    rollout, outputs = jax.tree.map(np.asarray, play(policy, params, variant))
    layers = jax.tree.leaves(
        params.weights["embedding"], is_leaf=lambda x: isinstance(x, dict) and "kernel" in x
    )
    (layer,) = [layer for layer in layers if layer["kernel"].shape[0] == 12]  # 3 + 3 + 3 + 3
    begins = rollout.experience.episode_start & rollout.outcome.valid
    for task in range(NUM_TASKS):
        first = np.flatnonzero(begins[:, task])[1]  # of the second episode
        embedded = outputs.features[first, task, :size].astype(np.float64)
        decoded = np.linalg.lstsq(
            np.asarray(layer["kernel"], np.float64).T, np.arctanh(embedded) - layer["bias"]
        )[0]
        outcome = jax.tree.map(lambda x, at=(first - 1, task): x[at], rollout.outcome)
        action = np.eye(3)[rollout.action[first - 1, task]]
        seen = rollout.experience.observation[first - 1, task]
        scalars = [outcome.reward, outcome.terminated, outcome.truncated]
        expected = np.concatenate([seen, seen + np.array([0, 0, 1]), action, scalars])
        np.testing.assert_allclose(np.sort(decoded), np.sort(expected), atol=2e-3)


def test_actions_are_clipped_for_the_environment_but_kept_as_sampled() -> None:
    tasks = revealed_target(episode_length=2)
    policy = adaptive_policy(tasks, gru(4), Architecture(embedding_size=4))
    params = random_params(policy)
    wide = jax.tree.map(lambda x: x + 1.0 if x.shape == (2,) else x, params.weights)  # log σ, bias
    params = params.replace(weights=wide)
    meta_episode = MetaEpisode(tasks)
    assert tasks.all_tasks is not None

    @jax.jit
    def run() -> Rollout:
        actors = start(policy, meta_episode, tasks.all_tasks(), task_keys(jax.random.key(0), 2))
        return collect(policy, params, meta_episode, actors)[1]

    rollout = jax.tree.map(np.asarray, run())
    executed = rollout.experience.transition.action[1:]
    np.testing.assert_array_equal(executed, np.clip(rollout.action[:-1], -1.0, 1.0))
    assert np.any(np.abs(rollout.action) > 1)
    target = np.array([-0.5, 0.5], np.float32)
    error = np.clip(rollout.action[..., 0], -1, 1) - target
    np.testing.assert_allclose(rollout.outcome.reward, -(error**2), rtol=1e-6)


def test_the_contextual_experience_carries_the_description() -> None:
    tasks = counter()
    meta_episode = MetaEpisode(tasks, contextual=True)
    assert tasks.all_tasks is not None
    state = jax.vmap(meta_episode.reset)(task_keys(jax.random.key(0), 8), tasks.all_tasks())
    np.testing.assert_array_equal(state.experience.context[:, 0], np.arange(8))
    blind = jax.eval_shape(
        MetaEpisode(tasks).reset, jax.random.key(0), jax.tree.map(lambda x: x[0], tasks.all_tasks())
    )
    assert blind.experience.context.shape == (0,)


@pytest.mark.parametrize("num_steps", [0, -3])
def test_a_step_budget_below_1_is_refused(num_steps: int) -> None:
    with pytest.raises(ConfigurationError, match=f"at least 1, got {num_steps}"):
        MetaEpisode(counter(), num_steps=num_steps)
