"""Spaces of any library become static values, and actions come and go in their units."""

import json
import math

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces as gymnax_spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_jax import ConfigurationError
from metarl_jax.files import json_text
from metarl_jax.tasks.actions import (
    executed,
    from_environment,
    no_action,
    random_action,
    split_mask,
    to_environment,
)
from metarl_jax.tasks.space_json import space_from_json, space_to_json
from metarl_jax.tasks.spaces import (
    Box,
    Dict,
    Discrete,
    MultiDiscrete,
    Tuple,
    bounds_of,
    leaves_of,
    map_spaces,
    read_space,
    summary,
)

GYM = gymnasium.spaces
READ = {
    "a discrete": (GYM.Discrete(4), Discrete(4)),
    "one that starts elsewhere": (GYM.Discrete(4, start=-2), Discrete(4, -2)),
    "several discretes": (
        GYM.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 0], [0, 1]]),
        MultiDiscrete((2, 3, 4, 5), (0, 0, 0, 1), (2, 2)),
    ),
    "bits": (GYM.MultiBinary((2, 3)), MultiDiscrete((2,) * 6, shape=(2, 3))),
    "an image": (GYM.Box(0, 255, (9, 9, 3), np.uint8), Box(0.0, 255.0, (9, 9, 3), "uint8")),
    "bounds of each": (
        GYM.Box(np.float32([-1, 0]), np.float32([1, np.inf])),
        Box((-1.0, 0.0), (1.0, math.inf), (2,)),
    ),
    "bounds as wide as float32": (
        gymnax_spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,)),
        Box(-math.inf, math.inf, (2,)),
    ),
    "gymnax's discrete": (gymnax_spaces.Discrete(3), Discrete(3)),
    "a dict": (
        GYM.Dict(b=GYM.Discrete(2), a=GYM.Tuple([GYM.Discrete(3)])),
        Dict((("a", Tuple((Discrete(3),))), ("b", Discrete(2)))),
    ),
    "gymnax's dict": (
        gymnax_spaces.Dict({"a": gymnax_spaces.Discrete(3)}),
        Dict((("a", Discrete(3)),)),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_space_of_any_library_is_read(name: str) -> None:
    found, expected = READ[name]
    space = read_space(found)
    assert space == expected
    assert hash(space) == hash(expected)
    assert read_space(space) is space
    assert space_from_json(json.loads(json_text(space_to_json(space)))) == space


REFUSED = {
    "no choices": (lambda: read_space(gymnax_spaces.Discrete(0)), "at least one choice"),
    "no choices in one place": (lambda: MultiDiscrete((2, 0)), "at least one choice"),
    "no numbers": (lambda: Box(0.0, 1.0, (0,)), "at least one number"),
    "no parts": (lambda: MultiDiscrete(()), "at least one number"),
    "swapped bounds": (lambda: Box((0.0, 3.0), (1.0, 2.0), (2,)), "low 3 and high 2 at its number"),
    "NaN for a bound": (lambda: Box(math.nan, 1.0, (1,)), "numbers"),
    "bounds of another shape": (lambda: Box((0.0, 1.0), 1.0, (3,)), "one for each element"),
    "text": (lambda: read_space(GYM.Text(3)), "expected a Discrete"),
    "nothing": (lambda: read_space(None), "expected a Discrete"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_space_is_refused(name: str) -> None:
    make, fragment = REFUSED[name]
    with pytest.raises(ConfigurationError, match=fragment):
        make()


@pytest.mark.parametrize(
    "found",
    [None, [], {}, {"discrete": 3}, {"ring": {}}, {"discrete": {"n": "a"}}, {"dict": [1]}],
    ids=str,
)
def test_json_that_is_no_space_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match="space|n"):
        space_from_json(found)


PARTS = Dict(
    (
        ("arm", Box((-0.2, 100.0, -math.inf), (0.2, 200.0, math.inf), (3,))),
        ("grip", Discrete(3, start=5)),
        ("legs", Tuple((MultiDiscrete((2, 3), (0, 7), (2, 1)), Box(-1, 1, (2, 2))))),
    )
)


def test_a_tree_is_mapped_in_the_order_of_its_leaves() -> None:
    paths = [path for path, _ in leaves_of(PARTS)]
    assert paths == ["['arm']", "['grip']", "['legs'][0]", "['legs'][1]"]
    seen = []
    map_spaces(lambda leaf: seen.append(leaf), PARTS)
    assert seen == [leaf for _, leaf in leaves_of(PARTS)]
    assert "Discrete(3)" in summary(PARTS)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31 - 1))
def test_an_action_comes_back_from_the_environment(seed: int) -> None:
    action = executed(PARTS, random_action(PARTS, jax.random.key(seed)))
    outside = to_environment(PARTS, action)
    shapes = map_spaces(lambda leaf, x: jnp.shape(x) == leaf.shape, PARTS, outside)
    assert all(jax.tree.leaves(shapes))
    for (_, leaf), x in zip(leaves_of(PARTS), jax.tree.leaves(outside), strict=True):
        low, high = bounds_of(leaf)
        assert (np.asarray(x) >= low - 1e-4).all() and (np.asarray(x) <= high + 1e-4).all()
    again = from_environment(PARTS, outside)
    for x, y in zip(jax.tree.leaves(again), jax.tree.leaves(action), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-4)


def test_a_box_is_reached_from_end_to_end() -> None:
    box = Box((-0.2, 100.0, 0.0, -math.inf), (0.2, 200.0, math.inf, math.inf), (4,))
    ends = [to_environment(box, executed(box, jnp.full((4,), x, jnp.float32))) for x in (-9.0, 9.0)]
    np.testing.assert_allclose(ends[0], [-0.2, 100.0, 0.0, -9.0], rtol=1e-6)
    np.testing.assert_allclose(ends[1], [0.2, 200.0, 9.0, 9.0], rtol=1e-6)


def test_the_units_of_a_policy_are_those_of_a_box_from_minus_1_to_1() -> None:
    box = Box(-1.0, 1.0, (1000,))
    action = jax.random.normal(jax.random.key(0), (1000,), jnp.float32)
    np.testing.assert_array_equal(to_environment(box, executed(box, action)), action.clip(-1, 1))


def test_whole_numbers_in_a_box_are_rounded() -> None:
    box = Box(0, 4, (3,), "int32")
    got = to_environment(box, jnp.array([-1.0, 0.2, 1.0], jnp.float32))
    np.testing.assert_array_equal(got, np.int32([0, 2, 4]))


def test_a_box_of_one_value_has_that_value() -> None:
    box = Box(3.0, 3.0, (1,))
    assert to_environment(box, executed(box, jnp.array([0.7], jnp.float32)))[0] == 3.0


def test_no_action_has_an_actions_form() -> None:
    action = random_action(PARTS, jax.random.key(0))
    assert jax.tree.map(jnp.shape, no_action(PARTS)) == jax.tree.map(jnp.shape, action)


def test_masks_have_the_structure_of_actions() -> None:
    bits = jnp.ones((4, 3), bool)
    five = jnp.ones((4, 5), bool)
    masks = split_mask(PARTS, {"grip": bits, "legs": (five, None)})
    assert masks["arm"] is None
    assert masks["grip"].shape == (4, 3)
    assert masks["legs"][0].shape == (4, 5)
    parts = split_mask(MultiDiscrete((2, 3)), (five[..., :2], five[..., :3]))
    assert parts.shape == (4, 5)


MISFITS = {
    "too few": (Discrete(4), jnp.ones((3,), bool)),
    "over pairs": (MultiDiscrete((2, 3)), jnp.ones((2, 3), bool)),
    "for a box": (Box(-1, 1, (3,)), jnp.ones((3,), bool)),
    "a part too few": (Dict((("a", Discrete(2)),)), {}),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_mask_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="action mask"):
        split_mask(*MISFITS[name])


def test_random_actions_keep_to_the_mask() -> None:
    space = MultiDiscrete((3, 4))
    mask = jnp.array([False, True, False, True, False, False, True])
    keys = jax.random.split(jax.random.key(0), 200)
    draw = jax.vmap(lambda key: random_action(space, key, {"action_mask": mask}))
    actions = np.asarray(draw(keys))
    assert set(map(tuple, actions.tolist())) == {(1, 0), (1, 3)}
