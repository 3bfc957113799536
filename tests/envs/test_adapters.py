"""Adapters to the field's suites keep the laws, and change nothing about what they adapt."""

import dataclasses
from collections.abc import Iterator

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.adapters import from_gymnax, from_jumanji
from metarl_envs.adapters.vary import vary_parameters
from metarl_jax import ConfigurationError, check_task_distribution
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.tasks import binding
from support.comparisons import assert_same


@pytest.fixture(autouse=True)
def usual_flags() -> Iterator[None]:
    """The suites are not written for the strict flags that these tests are run under."""
    allowed = jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")
    with allowed[0], allowed[1], jax.debug_key_reuse(False):
        yield


DOWNLOADS = ("MNISTBandit-bsuite",)
PARAMETERS = {"gravity": 9.8, "players": 3, "ramping": True, "table": np.ones(3)}


def draws(vary, number=500):
    varied = vary_parameters("game", PARAMETERS, vary)
    drawn = jax.vmap(varied.sample)(jax.random.split(jax.random.key(0), number))
    return drawn, jax.vmap(varied.describe)(drawn)


@pytest.mark.parametrize("values", [(5, 15), "5,15"])
def test_a_range_is_drawn_from_evenly_and_the_rest_stays(values) -> None:
    drawn, told = draws({"gravity": values})
    gravity = np.sort(drawn["gravity"])
    assert gravity.dtype == np.float32 and gravity[0] >= 5 and gravity[-1] < 15
    np.testing.assert_allclose(gravity, np.linspace(5, 15, 500), atol=1.0)
    assert (drawn["players"] == 3).all() and drawn["players"].dtype == np.int32
    np.testing.assert_allclose(told[:, 0], (drawn["gravity"] - 10) / 5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("players", (2, 4), {2, 3, 4}),
        ("players", [2, 4], {2, 4}),
        ("players", "2,4,9", {2, 4, 9}),
        ("players", "[2,4]", {2, 4}),
        ("ramping", "true,false", {True, False}),
        ("ramping", (False, True), {True, False}),
    ],
)
def test_whole_numbers_and_lists_take_every_value(name, values, expected) -> None:
    drawn, told = draws({name: values})
    assert set(drawn[name].tolist()) == expected
    assert np.abs(told).max() == 1


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ({"gravitiy": (5, 15)}, "did you mean gravity"),
        ({"table": (5, 15)}, "a parameter to vary"),
        ({"gravity": (15, 5)}, "swap them"),
        ({"gravity": "5"}, "LOW,HIGH"),
        ({"gravity": "low,high"}, "LOW,HIGH"),
        ({"gravity": (5, float("inf"))}, "LOW,HIGH"),
        ({"gravity": 5}, "LOW,HIGH"),
        ({"players": (1.5, 3)}, "whole numbers"),
    ],
)
def test_ranges_that_are_none_are_refused_by_name(vary, told) -> None:
    with pytest.raises(ConfigurationError, match=told):
        draws(vary)


@pytest.mark.parametrize("name", [n for n in gymnax.registered_envs if n not in DOWNLOADS])
def test_every_environment_of_gymnax_keeps_the_laws(name: str) -> None:
    check_task_distribution(from_gymnax(name, same_reset=True))


def test_a_step_is_gymnaxs_own_under_the_parameters_of_the_task() -> None:
    tasks = from_gymnax("CartPole-v1", vary={"length": (0.3, 1.0), "masspole": (0.05, 0.5)})
    own = gymnax.make("CartPole-v1")[0]
    for seed in range(3):
        task_key, reset_key, step_key = jax.random.split(jax.random.key(seed), 3)
        task = tasks.sample(task_key)
        p = task.parameters
        # gymnax states both once, for its own length and masses.
        np.testing.assert_allclose(p.polemass_length, p.masspole * p.length)
        np.testing.assert_allclose(p.total_mass, p.masspole + p.masscart)
        observation, state = binding.reset(tasks, reset_key, task)
        expected = own.reset_env(reset_key, p)
        assert_same(observation, expected[0])
        stepped = binding.step(tasks, step_key, state, jnp.int32(1), task)
        expected = own.step_env(step_key, expected[1], 1, p)
        assert_same(stepped[0], expected[0])
        assert float(stepped[2]) == float(expected[2]) and bool(stepped[3]) == bool(expected[3])


def test_gymnaxs_time_limit_ends_no_episode() -> None:
    tasks = from_gymnax("MountainCar-v0")
    key = jax.random.key(0)
    task = tasks.sample(key)
    _, state = binding.reset(tasks, key, task)
    _, _, _, ended = binding.step(tasks, key, state.replace(time=state.time + 10**6), 1, task)
    assert not ended


def test_what_reset_draws_can_be_part_of_the_task() -> None:
    """PointRobot draws a goal; it is hidden in the task where every episode has the same one."""
    first, second = jax.random.split(jax.random.key(0))
    for same in (True, False):
        tasks = from_gymnax("PointRobot-misc", same_reset=same)
        task = tasks.sample(jax.random.key(1))
        goals = [binding.reset(tasks, key, task)[1].goal for key in (first, second)]
        assert np.array_equal(*goals) == same
        if same:
            other = tasks.sample(jax.random.key(2))
            assert not np.array_equal(goals[0], binding.reset(tasks, first, other)[1].goal)


def test_one_may_draw_the_parameters_oneself() -> None:
    default = gymnax.make("Pendulum-v1")[1]

    def sample(key):
        return default.replace(m=jax.random.uniform(key, (), minval=0.5, maxval=1.5))

    tasks = from_gymnax("Pendulum-v1", sample=sample, describe=lambda p: p.m[None])
    assert check_task_distribution(tasks) and tasks.specification.context_size == 1
    with pytest.raises(ConfigurationError, match="got both"):
        from_gymnax("Pendulum-v1", vary={"m": (1, 2)}, sample=sample)


@pytest.mark.parametrize("name", ["gymnax:CartPol", "jumanji:Maze", "brax:aunt", "navix:x"])
def test_an_environment_that_there_is_not_is_refused(name: str) -> None:
    if name.startswith(("brax", "jumanji", "navix")):
        pytest.importorskip(name.partition(":")[0], reason="the extra is not installed")
    with pytest.raises(ConfigurationError, match="expected an environment of"):
        load_experiment(name).family()


def test_a_suite_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jumanji", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'metarl-jax\[jumanji\]'"):
        from_jumanji("Maze-v0")


def test_a_task_distribution_can_be_named_by_its_suite() -> None:
    experiment = load_experiment("gymnax:CartPole-v1")
    tasks = experiment.family(vary={"gravity": "5,15", "length": ""}, num_episodes=2)
    assert tasks.num_episodes == 2 and dataclasses.is_dataclass(tasks)
    assert tasks.specification.context_size == 1
