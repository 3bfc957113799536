"""Rows and evaluations of runs that never were, whose every number tells where it belongs."""

import dataclasses
import json

import numpy as np

from metarl_jax.evaluation.population_record import PointRecord
from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.experiment.run_config import RunConfig, config_text
from metarl_jax.experiment.settings import Budget, Settings
from metarl_jax.memory.settings import GRU
from metarl_jax.report.behaviour import Recording
from metarl_jax.tasks.distribution import References
from metarl_jax.tasks.scene import Arrow, Choice, Circle, Limbs, Rectangle, ScaleBar, Scene
from metarl_jax.training.metrics_row import MetricsRow
from support.probes import counter

REFERENCES = References(
    optimal_total=9.0,
    optimal_episodes=(2.0, 3.5, 3.5),
    memoryless_total=6.0,
    oracle_total=10.5,
)


def rows(num=40, num_episodes=3, every=4):
    """Rows of a run whose every number tells its row."""
    found = []
    for i in range(1, num + 1):
        tested = tuple(0.01 * i + e for e in range(num_episodes)) if i % every == 0 else None
        row = MetricsRow(
            update=i,
            env_steps=1000 * i,
            seconds=float(i),
            entropy=2.0 / i,
            value_error=0.1 + i,
            gradient_norm=i % 3,
            total_return=0.2 * i,
            return_first_episode=0.05 * i,
            return_last_episode=0.1 * i,
            meta_test_episode_returns=tested,
            meta_test_total_return_ci95=0.5 if tested else None,
        )
        found.append(row)
    return found


def evaluation(policy, mean, half_width, **changes):
    fields = {
        "task_family": "probe",
        "update": 40,
        "num_tasks": 256,
        "task_set_hash": "same",
        "episode_return_mean": tuple(map(float, mean)),
        "episode_return_ci95": tuple(map(float, half_width)),
        "total_return_mean": float(np.sum(mean)),
        "total_return_ci95": 0.25,
        "policy": policy,
        "sampled_actions": True,
    }
    return EvaluationRecord(**fields | changes)


def point(values, agents, mean, half_width, **changes):
    """What some agents of a population came to, all of them the same."""
    fields = {
        "values": values,
        "seeds": tuple(range(len(agents))),
        "agents": tuple(agents),
        "episode_return_mean": tuple(map(float, mean)),
        "episode_return_ci95": (half_width,) * len(mean),
        "total_return_mean": float(np.sum(mean)),
        "total_return_ci95": half_width,
        "total_return_of_agents": (float(np.sum(mean)),) * len(agents),
    }
    return PointRecord(**fields | changes)


EPISODES, STEPS = 3, 4


def recording(num_tasks=9, seed=0):
    """Random walks on a grid of 3 by 3: task i pays i, and more in each episode."""
    draw = np.random.default_rng(seed)
    shape = (EPISODES * STEPS, num_tasks)
    actions = draw.integers(0, 4, shape)
    episode = np.repeat(np.arange(EPISODES), STEPS)[:, None] * np.ones(shape, int)
    place = np.zeros((*shape, 2), int)
    after = np.zeros((*shape, 2), int)
    for t in range(len(place)):
        place[t] = after[t - 1] if t % STEPS else 0
        after[t] = np.clip(place[t] + MOVES[actions[t]], 0, 2)
    rewards = np.arange(num_tasks) + 0.1 * episode
    returns = np.stack([rewards[episode[:, 0] == e].sum(axis=0) for e in range(EPISODES)], axis=1)
    tasks = np.arange(num_tasks)
    return Recording(tasks, place, after, episode, actions, rewards, returns)


MOVES = np.array([[0, 1], [1, 0], [0, -1], [-1, 0]])


def plane(task, states):
    cells = [Rectangle(x, y, 1, 1, "floor") for x in range(3) for y in range(3)]
    shapes = (*cells, Rectangle(0, 0, 1, 1, "start"), Rectangle(2, 2, 1, 1, "goal"))
    wall = Rectangle(1.5, 0.95, 1.5, 0.1, "wall")
    return Scene(
        bounds=(0, 0, 3, 3),
        shapes=(*shapes, wall),
        path=states + 0.5,
        moves=MOVES,
        task=f"plane {task}",
    )


def field(task, states):
    """A plane without cells: a round goal, a wind, and a scale; the agent sees 0.45 around it."""
    return Scene(
        bounds=(0, 0, 3, 3),
        shapes=(Circle(2.5, 2.5, 0.35, "goal"), Arrow(0.3, 2.6, 0.8, 0.0, "force")),
        scale_bar=ScaleBar(1.0, "1 m"),
        sight=0.45,
        path=states + 0.5,
        task=f"field {task}",
    )


def body(task, states):
    """Two rods that run 1 m a step, in place of a walk; the target runs ahead."""
    number = len(states)
    run = np.arange(number, dtype=float)
    ends = np.zeros((number, 2, 2, 2))
    ends[..., 0] = run[:, None, None] + np.array([[0, 0.5], [0.5, 0.8]])
    ends[..., 1] = np.array([[0, 0.6], [0.6, 0.1]])
    return Scene(
        limbs=Limbs(ends, np.array([0.1, 0.05])),
        markers={"target": np.stack([1.5 * run, 0 * run], axis=1)},
        series={"velocity": run[1:] / 2 + task, "target": np.full(number - 1, 1.5)},
        unit="m/s",
        task=f"body {task}",
    )


def choices(task, states):
    del states
    worth = (0.1, 0.4, 0.7, 0.2)
    return Scene(
        choices=tuple(Choice(f"arm {i}", w) for i, w in enumerate(worth)), task=f"arms {task}"
    )


def series(task, states):
    """Neither a plane nor a body: time series alone."""
    return Scene(series={"load": np.arange(len(states) - 1) + 0.5}, task=f"series {task}")


def empty(task, states):
    """A plane in which nothing moves."""
    del states
    return Scene(bounds=(0, 0, 2, 1), shapes=(Rectangle(0, 0, 1, 1, "goal"),), task=f"{task}")


def bare(task, states):
    """A plane without a shape: a point that moves."""
    return Scene(bounds=(0, 0, 3, 3), path=states + 0.5, task=f"bare {task}")


def family(scene):
    """A task distribution of as many episodes as are recorded, whose scenes are these."""
    return dataclasses.replace(
        counter(episode_length=STEPS, num_episodes=EPISODES), name="probe", scene=scene
    )


def write_run(folder):
    """What `write_report` reads of a run's folder."""
    settings = Settings(memory=GRU(hidden_size=8), budget=Budget(num_tasks=16))
    config = RunConfig("/files.py:probe", {"num_arms": 3, "step_cost": 0.5}, settings)
    run = {
        "devices": ["cpu"],
        "versions": {"jax": "1.2.3", "flax": "4.5.6"},
        "python": "3.99",
        "commit": "0123abc",
        "arguments": ["train", "probe", "--out", "my runs"],
    }
    (folder / "config.json").write_text(config_text(config))
    (folder / "run.json").write_text(json.dumps(run))
    lines = [json.dumps(row.to_json()) for row in rows()]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
