"""A replay's data: the tasks it shows, their steps, and its size."""

import json

import jax
import numpy as np
import pytest

from metarl_jax.report.behaviour import record
from metarl_jax.report.replay import RANKS, replay_data, rounded
from metarl_jax.types import ConfigurationError
from support.invented_runs import EPISODES, MOVES, STEPS, body, choices, family, plane, recording
from support.probes import counter, scripted_policy, tiny_bandit


def test_the_best_the_median_and_the_worst_are_shown_in_their_order():
    data = replay_data(family(plane), recording(9))
    assert data["recorded"] == 9
    assert [task["rank"] for task in data["tasks"]] == list(RANKS)
    assert [task["task"] for task in data["tasks"]] == [f"plane {i}" for i in (8, 6, 4, 2, 0)]
    # 12 steps of i each, and 0.1 more in each later episode.
    assert [task["total"] for task in data["tasks"]] == pytest.approx(
        [12 * i + 1.2 for i in (8, 6, 4, 2, 0)]
    )


def test_a_task_is_shown_once():
    assert [t["task"] for t in replay_data(family(plane), recording(1))["tasks"]] == ["plane 0"]
    assert len(replay_data(family(plane), recording(2))["tasks"]) == 2


def test_steps_of_a_plane_are_those_recorded():
    of = recording(9)
    task = replay_data(family(plane), of)["tasks"][0]
    (stage,) = task["stages"]  # what does not move is written once
    assert stage["bounds"] == [0, 0, 3, 3]
    assert stage["shapes"][-1] == ["rectangle", "wall", 1.5, 0.95, 1.5, 0.1]
    assert stage["moves"] == MOVES.tolist()
    assert len(task["episodes"]) == EPISODES
    for number, episode in enumerate(task["episodes"]):
        steps = slice(number * STEPS, (number + 1) * STEPS)
        assert episode["stage"] == 0
        assert episode["actions"] == of.actions[steps, 8].tolist()
        assert episode["rewards"] == pytest.approx(of.rewards[steps, 8])
        wanted = [of.before[number * STEPS, 8], *of.after[steps, 8]]
        np.testing.assert_array_equal(episode["path"], np.array(wanted) + 0.5)


def test_a_body_is_written_rod_after_rod():
    task = replay_data(family(body), recording())["tasks"][-1]
    episode = task["episodes"][1]
    assert task["stages"] == [{"widths": [0.1, 0.05], "unit": "m/s"}]
    assert episode["limbs"][2] == [2.0, 0.0, 2.5, 0.6, 2.5, 0.6, 2.8, 0.1]
    assert episode["markers"] == {"target": [[1.5 * i, 0.0] for i in range(STEPS + 1)]}
    assert episode["series"] == {"velocity": [0.5, 1.0, 1.5, 2.0], "target": [1.5] * STEPS}


def test_choices_have_their_worth():
    (stage,) = replay_data(family(choices), recording())["tasks"][0]["stages"]
    assert stage["choices"][2] == {"name": "arm 2", "worth": 0.7}


def test_what_is_too_large_is_left_out_from_the_least_telling():
    whole = replay_data(family(body), recording())
    sizes = {task["rank"]: len(json.dumps(task)) for task in whole["tasks"]}
    room = sizes["median"] + sizes["best"]
    some = replay_data(family(body), recording(), most_bytes=room)
    assert [task["rank"] for task in some["tasks"]] == ["best", "median"]
    none = replay_data(family(body), recording(), most_bytes=10)
    assert none["tasks"] == []


def test_numbers_are_short_and_never_not_a_number():
    assert rounded(np.array([123.456789, 0.123456])) == [123.46, 0.12]
    assert rounded(np.array([[0.00123456789, -0.0]])) == [[0.0012346, 0.0]]
    assert rounded(np.array([1.0, np.nan, np.inf])) == [1.0, None, None]
    assert rounded(np.array(0.25)) == 0.25
    assert rounded(np.zeros((0, 2))) == []


def test_a_recording_is_what_the_policy_did():
    """The script's actions, in episodes of 3 steps, and the counter's rewards for them."""
    script = np.random.default_rng(0).integers(0, 3, (8, 9))
    tasks = counter()
    assert tasks.all_tasks is not None
    of = record(tasks, scripted_policy(script), (), tasks.all_tasks(), jax.random.key(0))
    np.testing.assert_array_equal(of.actions, script.T)
    np.testing.assert_array_equal(of.episode, np.repeat(np.arange(3), 3)[:, None] + np.zeros(8))
    np.testing.assert_allclose(of.rewards, np.arange(8) + np.tile([1, 2, 3], 3)[:, None] / 8)
    np.testing.assert_allclose(of.returns, of.rewards.reshape(3, 3, 8).sum(axis=1).T)


def test_a_family_without_scenes_has_no_replay():
    with pytest.raises(ConfigurationError, match="tiny_bandit has no scene to draw: expected"):
        replay_data(tiny_bandit(), recording())
