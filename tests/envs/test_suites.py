"""The suites that are extras: each is played where it is installed."""

import bz2
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from metarl_envs.adapters import (
    from_brax,
    from_craftax,
    from_jumanji,
    from_navix,
    from_playground,
    from_xminigrid,
    load_rulesets,
)
from metarl_envs.adapters.rulesets import (
    TWO_OBJECT_GOALS,
    TWO_OBJECT_RULES,
    Ruleset,
    is_held_out,
    ruleset_hash,
    sample_of_split,
    sample_ruleset,
)
from metarl_jax import ConfigurationError, TaskDistribution, check_task_distribution
from metarl_jax.tasks import binding
from metarl_jax.tasks.actions import random_action


@pytest.fixture(autouse=True)
def usual_flags() -> Iterator[None]:
    """The suites are not written for the strict flags that these tests are run under."""
    allowed = jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard")
    with allowed[0], allowed[1], jax.debug_key_reuse(False):
        yield


SUITES: dict[str, tuple[str, Callable[[], TaskDistribution]]] = {
    "jumanji, an instance": ("jumanji", lambda: from_jumanji("Maze-v0")),
    "jumanji, a game": ("jumanji", lambda: from_jumanji("Game2048-v1")),
    "craftax": ("craftax", from_craftax),
    "navix": ("navix", lambda: from_navix("Navix-DoorKey-5x5-v0")),
    "xminigrid": ("xminigrid", lambda: from_xminigrid(depth=1)),
    "brax": ("brax", lambda: from_brax("reacher", vary={"strength": (0.5, 1.5)})),
    "playground": (
        "mujoco_playground",
        lambda: from_playground("CartpoleBalance", vary={"mass": (0.5, 2.0)}),
    ),
}


@pytest.mark.parametrize("name", SUITES)
def test_an_adapted_suite_keeps_the_laws(name: str) -> None:
    package, make = SUITES[name]
    pytest.importorskip(package, reason=f"the extra of {package} is not installed")
    check_task_distribution(make())


@pytest.mark.parametrize("package", ["jumanji", "navix"])
def test_every_episode_of_a_task_begins_in_the_same_world(package: str) -> None:
    pytest.importorskip(package, reason=f"the extra of {package} is not installed")
    tasks = next(make for p, make in SUITES.values() if p == package)()
    first, second, other = jax.random.split(jax.random.key(0), 3)
    begin = jax.jit(lambda key, task: ravel_pytree(binding.reset(tasks, key, task)[0])[0])
    task = tasks.sample(first)
    np.testing.assert_array_equal(begin(first, task), begin(second, task))
    several = [begin(first, tasks.sample(key)) for key in jax.random.split(other, 5)]
    assert any(not np.array_equal(several[0], x) for x in several[1:])


def test_a_constant_of_a_body_is_a_factor() -> None:
    """A factor of 1 changes nothing, and any other does."""
    pytest.importorskip("brax", reason="the extra of brax is not installed")
    plain = from_brax("reacher")
    tasks = from_brax("reacher", vary={"strength": (0.5, 1.5)})

    def play(tasks: TaskDistribution, task: Any) -> np.ndarray:
        _, state = binding.reset(tasks, jax.random.key(1), task)
        step = lambda state, key: binding.step(
            tasks, key, state, random_action(tasks.specification.action, key), task
        )[1::-1]
        return jax.lax.scan(step, state, jax.random.split(jax.random.key(2), 5))[1]

    play_varied = jax.jit(lambda task: play(tasks, task))
    task = tasks.sample(jax.random.key(0))
    expected = jax.jit(lambda: play(plain, plain.sample(jax.random.key(0))))()
    for factor in (1.0, 1.4):
        found = play_varied(task.replace(scales={"strength": jnp.float32(factor)}))
        assert np.allclose(found, expected, atol=1e-4) == (factor == 1.0)


def test_a_constant_that_a_backend_ignores_is_refused() -> None:
    pytest.importorskip("brax", reason="the extra of brax is not installed")
    with pytest.raises(ConfigurationError, match="damping; take backend generalized"):
        from_brax("reacher", vary={"damping": (0.5, 1.5)})
    with pytest.raises(ConfigurationError, match="a backend among"):
        from_brax("reacher", backend="bullet")


# Rulesets of XLand-MiniGrid, which need no package.


def objects(tiles: np.ndarray) -> set[tuple[int, int]]:
    return {tuple(tile) for tile in tiles.tolist() if any(tile)}


def wants(encoding: np.ndarray, kinds: tuple[int, ...]) -> set[tuple[int, int]]:
    number = 2 if encoding[0] in kinds else 1
    return objects(encoding[1 : 1 + 2 * number].reshape(-1, 2))


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_goal_can_be_made_of_what_is_there(depth: int) -> None:
    """Each object that is needed lies there or is made once, the goal's first at full depth."""
    draw = jax.jit(jax.vmap(lambda key: sample_ruleset(key, depth, 3)))
    drawn = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(depth), 200)))
    numbers = set()
    for goal, rules, tiles in zip(drawn.goal, drawn.rules, drawn.init_tiles, strict=True):
        there = objects(tiles)
        assert len(there) == np.any(tiles, axis=1).sum(), "no object lies there twice"
        made: dict[tuple[int, int], set[tuple[int, int]]] = {}
        for rule in rules[rules[:, 0] > 0]:
            two = rule[0] in TWO_OBJECT_RULES
            made[tuple(rule[5:7].tolist()) if two else tuple(rule[3:5].tolist())] = wants(
                rule, TWO_OBJECT_RULES
            )
        assert not made.keys() & there

        def height(thing: tuple[int, int], made=made, there=there) -> int:
            if thing in there:
                return 0
            return 1 + max(height(part) for part in made[thing])

        needed = wants(goal, TWO_OBJECT_GOALS)
        assert max(map(height, needed)) == depth
        used = set().union(needed, *made.values())
        assert len(there - used) == 3, "what nothing needs are the distractors"
        numbers.add((len(needed), len(made)))
    assert len(numbers) >= (2 if depth == 0 else 3)


def test_a_tenth_of_the_rulesets_is_never_drawn_for_training() -> None:
    keys = jax.random.split(jax.random.key(0), 2000)
    every = jax.vmap(lambda key: is_held_out(sample_ruleset(key, 1, 2)))(keys)
    assert 0.07 < np.mean(every) < 0.13
    for held_out in (True, False):
        draw = lambda key, held=held_out: sample_of_split(key, 1, 2, held_out=held)
        drawn = jax.jit(jax.vmap(draw))(keys[:200])
        assert (jax.vmap(is_held_out)(drawn) == held_out).all()


def test_the_hash_of_a_ruleset_is_the_same_for_ever() -> None:
    """FNV-1a, by an oracle in plain Python."""
    ruleset = sample_ruleset(jax.random.key(3), 1, 2)
    total = 2166136261
    for leaf in ruleset.goal, ruleset.rules, ruleset.init_tiles:
        for byte in np.asarray(leaf).tobytes():
            total = (total ^ byte) * 16777619 % 2**32
    assert int(ruleset_hash(ruleset)) == total ^ (total >> 16)


def test_reaching_the_goal_pays_and_ends_the_episode() -> None:
    """XLand-MiniGrid's own rules say when; each ruleset drawn here is solved by wandering about."""
    pytest.importorskip("xminigrid", reason="the extra of xminigrid is not installed")
    tasks = from_xminigrid(episode_length=200)

    def play(key: Any) -> tuple[Any, Any]:
        task_key, reset_key, key = jax.random.split(key, 3)
        task = tasks.sample(task_key)
        _, state = binding.reset(tasks, reset_key, task)

        def step(state: Any, key: Any) -> tuple[Any, Any]:
            action = random_action(tasks.specification.action, key)
            _, state, reward, ended = binding.step(tasks, key, state, action, task)
            return state, (reward, ended)

        return jax.lax.scan(step, state, jax.random.split(key, 200))[1]

    rewards, ended = jax.jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 64))
    np.testing.assert_array_equal(rewards > 0, ended)
    assert 0.1 < np.asarray(ended).any(axis=1).mean() < 1.0


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch exploded",)


def test_a_benchmark_file_is_read_and_opens_nothing_else(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = jax.vmap(lambda key: sample_ruleset(key, 0, 2))(jax.random.split(jax.random.key(0), 50))
    held = {"goals": drawn.goal, "rules": drawn.rules, "init_tiles": drawn.init_tiles}
    for name, convert in {"numpy": np.asarray, "jax": jnp.asarray}.items():
        with bz2.open(name, "wb") as file:
            pickle.dump({n: convert(x) for n, x in held.items()} | {"num_rules": convert(1)}, file)
        found = load_rulesets(tmp_path / name)
        assert isinstance(found, Ruleset)
        np.testing.assert_array_equal(found.rules, drawn.rules)
    with bz2.open("bomb", "wb") as file:
        pickle.dump(held | {"goals": Bomb()}, file)
    with pytest.raises(ConfigurationError, match="no array needs"):
        load_rulesets("bomb")
    assert not (tmp_path / "exploded").exists()
    with bz2.open("short", "wb") as file:
        pickle.dump({n: np.asarray(x)[..., :4] for n, x in held.items()}, file)
    with pytest.raises(ConfigurationError, match="expected goals as whole numbers"):
        load_rulesets("short")
    with pytest.raises(ConfigurationError, match="download"):
        load_rulesets("nowhere")


def test_a_benchmark_is_split_by_the_same_hash(tmp_path) -> None:
    pytest.importorskip("xminigrid", reason="the extra of xminigrid is not installed")
    drawn = jax.vmap(lambda key: sample_ruleset(key, 0, 2))(
        jax.random.split(jax.random.key(0), 200)
    )
    held = {"goals": drawn.goal, "rules": drawn.rules, "init_tiles": drawn.init_tiles}
    with bz2.open(tmp_path / "file", "wb") as file:
        pickle.dump({name: np.asarray(x) for name, x in held.items()}, file)
    tasks = from_xminigrid(benchmark=str(tmp_path / "file"))
    keys = jax.random.split(jax.random.key(1), 100)
    assert not jax.vmap(is_held_out)(jax.vmap(tasks.sample)(keys)).any()
    assert jax.vmap(is_held_out)(jax.vmap(tasks.splits["held_out"])(keys)).all()
