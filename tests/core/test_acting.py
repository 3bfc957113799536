"""An agent in somebody else's loop reads what a meta-episode would give it, and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from metarl_jax import (
    Agent,
    Architecture,
    ConfigurationError,
    MetaEpisode,
    TaskDistribution,
    adaptive_policy,
    collect,
    contextual_policy,
    gru,
    interface_of,
    load_interface,
    memoryless_policy,
    start,
    task_keys,
    transformer,
    write_interface,
)
from metarl_jax.tasks.actions import executed, to_environment
from metarl_jax.tasks.interface import NAME
from metarl_jax.tasks.spaces import Box, Discrete
from support.probes import Box as GymnaxBox
from support.probes import counter, revealed_target

B = 5


class DriftState(struct.PyTreeNode):
    x: jax.Array
    mark: jax.Array


class Drift:
    """Moves by the action and a constant wind; ends outside of the unit interval."""

    def reset_env(self, key, wind):
        mark = jax.random.uniform(key, (), jnp.float32)
        return jnp.stack([jnp.zeros(()), mark]), DriftState(jnp.zeros(()), mark)

    def step_env(self, key, state, action, wind):
        x = state.x + action[0] + wind
        return jnp.stack([x, state.mark]), state.replace(x=x), -x * x, jnp.abs(x) > 1, {}

    def action_space(self, wind):
        return GymnaxBox(-0.2, 0.2, (2,))

    def observation_space(self, wind):
        return GymnaxBox(-9.0, 9.0, (2,))


def drift() -> TaskDistribution:
    """Continuous actions, random first observations, episodes that end early or late."""
    return TaskDistribution(
        name="drift",
        environment=Drift(),
        sample=lambda key: jax.random.uniform(key, (), jnp.float32, -0.4, 0.4),
        describe=lambda wind: wind[None],
        episode_length=4,
        num_episodes=3,
        ends_early=True,
    )


@dataclasses.dataclass
class Recorded:
    """B meta-episodes, and the agent that is to play them again."""

    agent: Agent
    context: np.ndarray | None
    steps: list[tuple[np.ndarray, ...]]  # T of observation, reward, ends, final observation
    actions: np.ndarray  # [T, B, ...] that the environment executed
    carry: object  # [B] of the memory, after the last step


def record(tasks, policy) -> Recorded:
    """Plays greedily, with weights large enough that every input matters."""
    params = jax.tree.map(lambda x: 3.0 * x, policy.init(jax.random.key(2)))
    heads = jax.tree.map(lambda x: 10.0 * x, params.weights["heads"])
    params = params.replace(weights=params.weights | {"heads": heads})
    meta_episode = MetaEpisode(tasks, contextual=policy.contextual)
    keys = task_keys(jax.random.key(0), B)
    sampled = jax.vmap(tasks.sample)(keys)
    actors = start(policy, meta_episode, sampled, task_keys(jax.random.key(1), B))
    play = jax.jit(lambda actors: collect(policy, params, meta_episode, actors, greedy=True))
    actors, rollout, _ = play(actors)
    read = rollout.experience
    done = read.transition
    steps = (read.observation, done.reward, done.terminated, done.truncated, done.final_observation)
    actions = jnp.concatenate([done.action[1:], actors.states.experience.transition.action[None]])
    assert done.terminated.any() and (done.truncated.any() or tasks.name == "counter")
    return Recorded(
        Agent(policy, params, interface_of(tasks), greedy=True),
        np.asarray(read.context[0]) if policy.contextual else None,
        list(zip(*map(np.asarray, steps), strict=True)),
        np.asarray(to_environment_each(tasks, actions)),
        actors.carry,
    )


def to_environment_each(tasks, actions: jax.Array) -> jax.Array:
    space = tasks.specification.action
    return jax.vmap(jax.vmap(lambda action: to_environment(space, action)))(actions)


SMALL = Architecture(embedding_size=8)
CASES = {
    "continuous": lambda: (drift(), adaptive_policy(drift(), gru(8), SMALL)),
    "discrete": lambda: (counter(ends_early=True), adaptive_policy(counter(), gru(8), SMALL)),
    "told the task": lambda: (drift(), contextual_policy(drift(), gru(8), SMALL)),
    "memoryless": lambda: (drift(), memoryless_policy(drift(), SMALL)),
    "transformer": lambda: (
        drift(),
        adaptive_policy(drift(), transformer(5, 8, num_heads=2, episode_positions=True), SMALL),
    ),
}


@pytest.fixture(scope="module", params=CASES)
def recorded(request) -> Recorded:
    return record(*CASES[request.param]())


def assert_played(actions, recorded: Recorded) -> None:
    np.testing.assert_allclose(actions, recorded.actions[: len(actions)], rtol=1e-4, atol=1e-5)


def test_a_vector_that_resets_in_the_same_step(recorded: Recorded) -> None:
    agent, actions = recorded.agent, []
    agent.reset(batch=B, autoreset="SameStep", context=recorded.context)
    for time, (observation, reward, terminated, truncated, final) in enumerate(recorded.steps):
        ends = terminated | truncated
        given = np.full(B, None, object)  # as gymnasium gives them
        for i in np.flatnonzero(ends):
            given[i] = final[i]
        outcome = (reward, terminated, truncated, given if ends.any() else None)
        actions.append(agent.act(observation, *outcome) if time else agent.act(observation))
    assert_played(actions, recorded)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    jax.tree.map(close, agent._state.carry, recorded.carry)


@pytest.mark.parametrize("batch", [None, B])
def test_a_final_observation_that_is_missing_is_asked_for(
    recorded: Recorded, batch: int | None
) -> None:
    """Where the environment resets itself, the observation is of the next episode already."""
    first = lambda tree: tree if batch else jax.tree.map(lambda x: x[0], tree)
    context = None if recorded.context is None else first(recorded.context)
    recorded.agent.reset(batch=batch, autoreset="SameStep", context=context)
    observation = first(recorded.steps[0][0])
    recorded.agent.act(observation)
    ends = first(np.ones(B, bool))
    outcome = (observation, first(np.zeros(B)), ends, ends)
    with pytest.raises(ConfigurationError, match="final observation"):
        recorded.agent.act(*outcome)
    if batch:
        with pytest.raises(ConfigurationError, match=r"environments \[0, 1"):
            recorded.agent.act(*outcome, np.full(B, None, object))


def test_a_vector_that_resets_in_the_next_step(recorded: Recorded) -> None:
    """Its environments fall out of step: each has one more call for each of its resets."""
    calls = [[] for _ in range(B)]  # of each environment: what is told, and the action's time
    for time, (observation, *told, final) in enumerate(recorded.steps):
        for i in range(B):
            reward, terminated, truncated = (x[i] for x in told)
            if time and (terminated or truncated):
                calls[i].append((final[i], reward, terminated, truncated, None))
            if not time or terminated or truncated:
                reward, terminated, truncated = 0.0, False, False
            calls[i].append((observation[i], reward, terminated, truncated, time))
    recorded.agent.reset(batch=B, autoreset="NextStep", context=recorded.context)
    compared = 0
    for together in zip(*calls, strict=False):
        *told, times = (list(x) for x in zip(*together, strict=True))
        actions = recorded.agent.act(*map(np.array, told))
        for i, time in enumerate(times):
            if time is not None:
                expected = recorded.actions[time, i]
                np.testing.assert_allclose(actions[i], expected, rtol=1e-4, atol=1e-5)
                compared += 1
    assert compared > 2 * B


def test_one_environment_that_the_loop_resets(recorded: Recorded) -> None:
    agent, actions = recorded.agent, []
    agent.reset(context=None if recorded.context is None else recorded.context[0])
    for time, step in enumerate(recorded.steps):
        observation, *outcome, final = (x[0] for x in step)
        if time and (outcome[1] or outcome[2]):
            assert agent.act(final, *outcome) is None
            actions.append(agent.act(observation))
        else:
            actions.append(agent.act(observation, *outcome))
    np.testing.assert_allclose(actions, recorded.actions[: len(actions), 0], rtol=1e-4, atol=1e-5)


def test_a_termination_is_no_truncation_too(recorded: Recorded) -> None:
    """gymnasium may say both, a meta-episode says one of them."""
    observation, carries = recorded.steps[0][0][0], []
    for terminated, truncated in ((True, True), (True, False), (False, True)):
        recorded.agent.reset(context=None if recorded.context is None else recorded.context[0])
        recorded.agent.act(observation)
        recorded.agent.act(observation, 1.0, terminated, truncated)
        recorded.agent.act(observation)
        leaves = jax.tree.leaves(recorded.agent._state.carry)
        carries.append(np.concatenate([[], *map(np.ravel, leaves)]))
    np.testing.assert_array_equal(carries[0], carries[1])
    assert not carries[0].size or (carries[1] != carries[2]).any()


def test_a_reset_forgets(recorded: Recorded) -> None:
    told = [x[0] for x in recorded.steps[1]]
    plays = []
    for _ in range(2):
        recorded.agent.reset(context=None if recorded.context is None else recorded.context[0])
        plays.append([recorded.agent.act(told[0]), recorded.agent.act(told[0], told[1], 0, 0)])
    np.testing.assert_array_equal(*plays)


@pytest.fixture(scope="module")
def agent() -> Agent:
    tasks = revealed_target(episode_length=2)
    policy = adaptive_policy(tasks, gru(4), Architecture(embedding_size=4, initial_log_std=1.0))
    return Agent(policy, policy.init(jax.random.key(0)), interface_of(tasks))


def test_sampled_actions_are_clipped_and_follow_the_seed(agent: Agent) -> None:
    def play(seed):
        agent.reset(batch=200, seed=seed)
        return agent.act(np.zeros((200, 1)))

    actions = play(0)
    assert actions.dtype == np.float32 and actions.shape == (200, 2)
    assert actions.min() == -1 and actions.max() == 1 and len(np.unique(actions)) > 50
    np.testing.assert_array_equal(actions, play(0))
    assert (play(0) != play(1)).any()


def test_actions_are_what_gymnasium_takes(agent: Agent) -> None:
    agent.reset()
    action = agent.act([0.0])
    assert action.shape == (2,) and action.dtype == np.float32
    tasks = counter()
    policy = adaptive_policy(tasks, gru(4), SMALL)
    discrete = Agent(policy, policy.init(jax.random.key(0)), interface_of(tasks))
    discrete.reset()
    assert type(discrete.act(np.zeros(3, int))) is int
    discrete.reset(batch=2)
    assert discrete.act(np.zeros((2, 3))).dtype == np.int64


ZERO = np.zeros(1)
TWO = np.zeros((2, 1))
MISUSES = {
    "wrong size": ({}, [(np.zeros(3),)], "observation must have shape [1], got [3]"),
    "batch unsaid": ({}, [(TWO,)], "agent.reset(batch=...)"),
    "text": ({}, [("here",)], "observation must hold numbers"),
    "ragged": ({}, [([[0.0], [0.0, 1.0]],)], "observation must hold numbers"),
    "NaN": ({}, [([np.nan],)], "observation must be finite"),
    "infinite reward": ({}, [(ZERO,), (ZERO, np.inf, False, False)], "reward must be finite"),
    "no outcome": ({}, [(ZERO,), (ZERO,)], "call agent.reset()"),
    "half an outcome": ({}, [(ZERO,), (ZERO, 1.0)], "call agent.reset()"),
    "reward at the start": ({}, [(ZERO, 1.0, False, False)], "only the first observation"),
    "already reset": (
        {},
        [(ZERO,), (ZERO, 0.0, True, False), (ZERO, 1.0, False, False)],
        "final_observation",
    ),
    "vector without final observations": (
        {"batch": 2},
        [(TWO,), (TWO, [0, 1], [True, False], [False, False])],
        "NextStep",
    ),
    "vector that does not reset in the next step": (
        {"batch": 2, "autoreset": "NextStep"},
        [
            (TWO,),
            (TWO, [0, 1], [True, False], [False] * 2),
            (TWO, [1, 1], [False] * 2, [False] * 2),
        ],
        "only the first observation",
    ),
    "no such mode": ({"autoreset": "Never"}, [], "autoreset must be one of"),
    "no batch": ({"batch": 0}, [], "batch"),
    "no seed": ({"seed": -1}, [], "seed"),
    "told what it cannot read": ({"context": ZERO}, [], "no context"),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_is_refused_in_words(name: str, agent: Agent) -> None:
    reset, calls, fragment = MISUSES[name]
    fresh = Agent(agent.policy, agent.params, agent.interface)

    def misuse() -> None:
        fresh.reset(**reset)
        for call in calls:
            fresh.act(*call)

    with pytest.raises(ConfigurationError) as caught:
        misuse()
    assert fragment in str(caught.value)


def test_the_contextual_policy_must_be_told() -> None:
    policy = contextual_policy(drift(), gru(4), SMALL)
    agent = Agent(policy, policy.init(jax.random.key(0)), interface_of(drift()))
    for context in (None, np.zeros(3)):
        with pytest.raises(ConfigurationError, match=r"context of shape \[1\].*describe\(task\)"):
            agent.reset(context=context)


@pytest.mark.parametrize("tasks", [drift(), counter()], ids=lambda tasks: tasks.name)
def test_an_interface_is_read_back(tasks, tmp_path) -> None:
    interface = interface_of(tasks)
    write_interface(tmp_path, interface)
    assert load_interface(tmp_path) == interface
    assert interface.specification == tasks.specification
    assert interface.max_steps == tasks.max_steps


def test_bounds_may_be_infinite(tmp_path) -> None:
    box = Box((-np.inf, -1.0), (0.1, np.inf), (2,))
    spec = dataclasses.replace(drift().specification, action=box)
    interface = dataclasses.replace(interface_of(drift()), specification=spec)
    write_interface(tmp_path, interface)
    assert load_interface(tmp_path) == interface
    clipped = executed(box, jnp.array([-9.0, 9.0], jnp.float32))
    np.testing.assert_array_equal(clipped, np.float32([-9.0, 9.0]))


FIRST_FORMAT = """{
  "format": 1,
  "family": "counter",
  "specification": {
    "observation_size": 3,
    "num_actions": %s,
    "action_size": %s,
    "context_size": 1
  },
  "action_low": %s,
  "action_high": %s,
  "episode_length": 4,
  "num_episodes": 3
}"""


def test_an_interface_of_the_first_format_is_read(tmp_path) -> None:
    (tmp_path / NAME).write_text(FIRST_FORMAT % ("3", "null", "[]", "[]"))
    assert load_interface(tmp_path).specification.action == Discrete(3)
    (tmp_path / NAME).write_text(FIRST_FORMAT % ("null", "2", "[-1.0, null]", "[1.0, 5.0]"))
    assert load_interface(tmp_path).specification.action == Box((-1, -np.inf), (1, 5), (2,))


def test_a_run_whose_actions_were_not_scaled_is_refused(tmp_path) -> None:
    (tmp_path / NAME).write_text(FIRST_FORMAT % ("null", "1", "[-0.2]", "[0.2]"))
    for read in (load_interface, lambda folder: write_interface(folder, interface_of(drift()))):
        with pytest.raises(ConfigurationError, match="train it again"):
            read(tmp_path)


def test_a_run_goes_on_in_the_spaces_that_it_was_trained_in(tmp_path) -> None:
    write_interface(tmp_path, interface_of(counter()))
    write_interface(tmp_path, interface_of(counter()))
    with pytest.raises(ConfigurationError, match="observation that the run"):
        write_interface(tmp_path, interface_of(drift()))


DAMAGE = {
    '"format": 2': ('"format": 9', "format"),
    '"n": 3': ('"n": "three"', "action"),
    '"discrete": {': ('"discreet": {', "action"),
    '"float32"': ('"float99"', "observation"),
    '"num_episodes": 3': ('"num_episodes": 0', "num_episodes"),
    '"family": "counter"': ('"family": 1', "family"),
    '"context_size": 1': ('"context_size": 1, "more": 1', "more"),
}


@pytest.mark.parametrize("old", DAMAGE)
def test_a_damaged_interface_is_refused(old: str, tmp_path) -> None:
    write_interface(tmp_path, interface_of(counter()))
    text = (tmp_path / NAME).read_text()
    new, fragment = DAMAGE[old]
    assert old in text
    (tmp_path / NAME).write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError, match=fragment):
        load_interface(tmp_path)
