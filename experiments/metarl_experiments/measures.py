"""What a return does not tell.

How the mouse searched, how soon the cheetah ran at its speed, after what a choice is repeated.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarl_envs.cheetah import forward_velocity
from metarl_envs.grids import cell_number
from metarl_envs.mouse import Mouse, shortest_path_lengths
from metarl_jax import MetaEpisode, Rollout, collect, meta_test_tasks, start, task_keys
from metarl_jax.experiment.build import Setup
from metarl_jax.parallel.sharding import REPLICATED, SPLIT, DataParallel
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Key, PyTree, Task

Values = Mapping[str, list[float] | float]

NUM_TASKS = 1024
EARLY_STEPS = 20


class Measure(NamedTuple):
    """What to keep of a rollout on the device, and what to make of it on the host.

    Attributes:
        keep: (tasks, task [B], rollout [T, B]) -> arrays [T, B].
        summarize: (tasks, task [B], kept arrays as numpy) -> named numbers, or a number an episode.
    """

    keep: Callable[[TaskDistribution, Task, Rollout], PyTree]
    summarize: Callable[[TaskDistribution, Task, Any], Values]


def measure(setup: Setup, params: Any, key: Key) -> Values:
    """A family's measures on about 1,024 meta-test tasks; empty for a family that has none."""
    tasks = setup.tasks
    if tasks.name not in MEASURES:
        return {}
    chosen = MEASURES[tasks.name]
    tasks_key, actors_key = jax.random.split(key)
    meta_test = meta_test_tasks(tasks, tasks_key, NUM_TASKS)
    num_tasks = jax.tree.leaves(meta_test)[0].shape[0]
    meta_episode = MetaEpisode(tasks, setup.policy.contextual)
    devices = DataParallel(setup.num_devices)
    filling = devices.padded_indices(num_tasks)

    def kept(params: Any, meta_test: Task, keys: Key) -> PyTree:
        actors = start(setup.policy, meta_episode, meta_test, keys)
        _, rollout, _ = collect(setup.policy, params, meta_episode, actors)
        return devices.all_gather_tasks(chosen.keep(tasks, meta_test, rollout), axis=1)

    run = jax.jit(devices.shard_map(kept, (REPLICATED, SPLIT, SPLIT)))
    filled = jax.tree.map(lambda x: x[filling], meta_test)
    played = run(devices.replicate(params), filled, task_keys(actors_key, len(filling)))
    arrays = jax.tree.map(lambda x: np.asarray(x)[:, :num_tasks], played)
    return chosen.summarize(tasks, meta_test, arrays)


def _keep_mouse(tasks: TaskDistribution, task: Task, rollout: Rollout) -> PyTree:
    del task
    outcome = rollout.outcome
    return {
        "episode": outcome.episode,
        "valid": outcome.valid,
        "found": outcome.terminated,
        "cell": cell_number(outcome.next_state, _mouse(tasks).size),
    }


def _summarize_mouse(tasks: TaskDistribution, task: Task, kept: Any) -> Values:
    """Steps to the cheese (H where it was not found), and whether they were a shortest way."""
    episodes = range(tasks.num_episodes)
    inside = [kept["valid"] & (kept["episode"] == e) for e in episodes]
    steps = np.stack([rows.sum(axis=0) for rows in inside])  # [E, B]
    found = np.stack([(kept["found"] & rows).any(axis=0) for rows in inside])
    shortest = shortest_path_lengths(_mouse(tasks), task)
    values = {
        "success_rate": found.mean(axis=1).tolist(),
        "mean_steps_to_cheese": steps.mean(axis=1).tolist(),
        "shortest_path_rate": (found & (steps == shortest)).mean(axis=1).tolist(),
    }
    if tasks.num_episodes > 1:
        fruitless = ~found[0]
        repeats = [
            set(kept["cell"][inside[1][:, b], b]) <= _known_empty(tasks, kept["cell"], inside[0], b)
            for b in np.flatnonzero(fruitless).tolist()
        ]
        values["fruitless_repeat_rate"] = float(np.mean(repeats)) if repeats else 0.0
    return values


def _known_empty(
    tasks: TaskDistribution, cells: np.ndarray, rows: np.ndarray, task: int
) -> set[int]:
    """Cells seen without cheese in an episode, the start among them."""
    x, y = _mouse(tasks).start
    return {y * _mouse(tasks).size + x, *cells[rows[:, task], task]}


def _mouse(tasks: TaskDistribution) -> Mouse:
    assert isinstance(tasks.environment, Mouse)
    return tasks.environment


def _keep_cheetah(tasks: TaskDistribution, task: Task, rollout: Rollout) -> PyTree:
    del tasks
    target = task.target_velocity[None]
    return jnp.abs(forward_velocity(rollout.outcome.next_state) - target)


def _summarize_cheetah(tasks: TaskDistribution, task: Task, kept: Any) -> Values:
    """Mean |v - v*| in m/s, over an episode's first 20 steps and over all of it."""
    del task
    errors = kept.reshape(tasks.num_episodes, tasks.episode_length, -1)
    return {
        "velocity_error_first_20_steps": errors[:, :EARLY_STEPS].mean(axis=(1, 2)).tolist(),
        "velocity_error": errors.mean(axis=(1, 2)).tolist(),
    }


def _keep_two_step(tasks: TaskDistribution, task: Task, rollout: Rollout) -> PyTree:
    del tasks, task
    outcome = rollout.outcome
    return {
        "action": rollout.action,
        "swapped": outcome.state.swapped,
        "reached": outcome.next_state.stage - 1,
        "rewarded": outcome.reward > 0,
    }


def _summarize_two_step(tasks: TaskDistribution, task: Task, kept: Any) -> Values:
    """How often a trial's choice is the one before, by what that one led to; 0 where it never did.

    Who learns by reward alone stays after a reward, whatever the transition was; who knows the
    transitions leaves after a reward that a rare one led to (Daw et al. 2011, figure 2).
    """
    del tasks, task
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


MEASURES: Mapping[str, Measure] = {
    "mouse": Measure(_keep_mouse, _summarize_mouse),
    "cheetah_vel": Measure(_keep_cheetah, _summarize_cheetah),
    "two_step": Measure(_keep_two_step, _summarize_two_step),
}
