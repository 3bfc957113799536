"""Encoders read observations of any form, over any leading axes; distributions take masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from metarl_jax import ConfigurationError, Policy, adaptive_policy, check_policy, gru
from metarl_jax.policy.distributions import Categorical, DiagonalGaussian, Joint, MultiCategorical
from metarl_jax.policy.embedding import action_vector, initial_statistics, normalize_observation
from metarl_jax.policy.encoder import cnn, flat, grid
from metarl_jax.policy.normalization import floats_of, merge_all, moments
from metarl_jax.policy.policy import blank_experience
from metarl_jax.tasks.spaces import Box, Dict, Discrete, MultiDiscrete, Space
from metarl_jax.tasks.specification import Specification

MIXED = Dict(
    (
        ("camera", Box(0, 255, (9, 9, 3), "uint8")),
        ("compass", Discrete(4, start=1)),
        ("floor", Box((0,) * 5 + (3,) * 5, (2,) * 5 + (7,) * 5, (5, 1, 2), "int32")),
        ("legs", MultiDiscrete((2, 3), (0, 5))),
        ("speed", Box(-np.inf, np.inf, (2,))),
    )
)
ACTIONS = Dict((("grip", MultiDiscrete((2, 3))), ("jump", Discrete(2)), ("move", Box(-1, 1, (2,)))))


def observation(leading: tuple[int, ...] = (), seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "camera": generator.integers(0, 256, (*leading, 9, 9, 3)).astype(np.uint8),
        "compass": generator.integers(1, 5, leading).astype(np.int32),
        "floor": generator.integers([0, 3], [3, 8], (*leading, 5, 1, 2)).astype(np.int32),
        "legs": generator.integers([0, 5], [2, 8], (*leading, 2)).astype(np.int32),
        "speed": generator.normal(size=(*leading, 2)).astype(np.float32),
    }


def test_flat_is_numpys_concatenation() -> None:
    seen = observation((3, 2))
    expected = np.concatenate(
        [
            seen["camera"].reshape(3, 2, -1) / 255.0,
            np.eye(4)[seen["compass"] - 1],
            seen["floor"].reshape(3, 2, -1) / 7.0,
            np.eye(2)[seen["legs"][..., 0]],
            np.eye(3)[seen["legs"][..., 1] - 5],
            seen["speed"],
        ],
        axis=-1,
    )
    found = flat(MIXED).encode({}, jax.tree.map(jnp.asarray, seen))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_flat_hands_a_vector_on() -> None:
    space = Box(-np.inf, np.inf, (4,))
    assert not jax.tree.leaves(flat(space).init(jax.random.key(0), jnp.zeros((4,), jnp.float32)))
    traced = jax.make_jaxpr(lambda x: flat(space).encode({}, x))(jnp.zeros((4,), jnp.float32))
    assert all(str(equation.primitive) == "reshape" for equation in traced.eqns)


@pytest.mark.parametrize("make", [flat, cnn, grid], ids=lambda make: make.__name__)
def test_leading_axes_are_free(make) -> None:
    encoder = make(MIXED)
    one = jax.tree.map(jnp.asarray, observation())
    params = encoder.init(jax.random.key(0), one)
    many = jax.tree.map(jnp.asarray, observation((3, 2), seed=1))
    found = encoder.encode(params, many)
    assert found.shape[:2] == (3, 2)
    assert found.dtype == jnp.float32
    each = jax.vmap(jax.vmap(lambda x: encoder.encode(params, x)))(many)
    np.testing.assert_allclose(found, each, atol=1e-5)
    assert encoder.made_by is not None and encoder.made_by[0] == encoder.name


@pytest.mark.parametrize(("make", "part"), [(cnn, "camera"), (grid, "floor"), (grid, "speed")])
def test_every_part_is_read(make, part: str) -> None:
    encoder = make(MIXED)
    seen = jax.tree.map(jnp.asarray, observation())
    params = encoder.init(jax.random.key(0), seen)
    changed = seen | {part: jnp.asarray(observation(seed=5)[part])}
    assert not np.array_equal(encoder.encode(params, seen), encoder.encode(params, changed))


def test_each_tile_has_an_embedding_of_its_own() -> None:
    space = Box(2, 6, (3, 3), "int32")
    encoder = grid(space, channels=(4,), features=8)
    params = encoder.init(jax.random.key(0), jnp.full((3, 3), 2, jnp.int32))
    codes = [encoder.encode(params, jnp.full((3, 3), tile, jnp.int32)) for tile in range(2, 7)]
    assert len({np.asarray(code).tobytes() for code in codes}) == 5


@pytest.mark.parametrize("make", [cnn, grid], ids=lambda make: make.__name__)
def test_an_encoder_that_has_nothing_to_read_is_refused(make) -> None:
    with pytest.raises(ConfigurationError, match="leave encoder at flat"):
        make(Box(-1, 1, (4,)))


def test_only_floats_are_normalised_each_by_its_own_statistics() -> None:
    statistics = initial_statistics(MIXED).observation
    assert {name for name, x in statistics.items() if x is not None} == {"speed"}
    seen = jax.tree.map(jnp.asarray, observation((50, 8)))
    parts = jax.tree.map(lambda x: moments(x, jnp.ones((50, 8), bool)), floats_of(seen))
    merged = merge_all(statistics, jax.tree.map(lambda x: x[None], parts))
    normalized = normalize_observation(MIXED, merged, seen)
    np.testing.assert_allclose(normalized["speed"].std(axis=(0, 1)), 1.0, rtol=1e-4)
    assert normalized["camera"].dtype == jnp.uint8


def test_an_action_is_a_vector() -> None:
    action = {
        "grip": jnp.array([[1, 2], [-1, -1]]),
        "jump": jnp.array([0, -1]),
        "move": jnp.array([[0.5, -1.0], [0.0, 0.0]], jnp.float32),
    }
    expected = [[0, 1, 0, 0, 1, 1, 0, 0.5, -1], [0] * 9]
    np.testing.assert_array_equal(action_vector(ACTIONS, action), np.float32(expected))


def acting(observed: Space = MIXED) -> Policy:
    return adaptive_policy(Specification(observed, ACTIONS, 0), gru(4), encoder=cnn)


def test_a_policy_of_dicts_keeps_the_laws_of_policies() -> None:
    check_policy(acting())


def test_a_mask_in_the_observation_masks_the_policy() -> None:
    masks = Dict((("grip", Box(0, 1, (5,), "bool")), ("jump", Box(0, 1, (2,), "bool"))))
    policy = acting(Dict((*MIXED.spaces, ("action_mask", masks))))
    params = policy.init(jax.random.key(0))
    experience = blank_experience(policy.specification, contextual=False)
    mask = {"grip": jnp.array([False, True, True, False, True]), "jump": jnp.array([True, False])}
    experience = experience.replace(observation=experience.observation | {"action_mask": mask})
    _, output = policy.step(params, policy.initial_carry(jax.random.key(1)), experience)
    keys = jax.random.split(jax.random.key(2), 300)
    actions = jax.vmap(output.action_distribution.sample)(keys)
    assert set(map(tuple, np.asarray(actions["grip"]).tolist())) == {(1, 0), (1, 2)}
    assert set(np.asarray(actions["jump"]).tolist()) == {0}
    gaussian = output.action_distribution.parts["move"].entropy()
    np.testing.assert_allclose(
        output.action_distribution.entropy(), np.log(2) + gaussian, rtol=1e-2
    )


def test_several_categoricals_are_those_of_scipy() -> None:
    sizes = (2, 3, 1)
    logits = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    several = MultiCategorical(jnp.asarray(logits), sizes)
    parts = [scipy.special.softmax(x, axis=-1) for x in np.split(logits, [2, 5], axis=-1)]
    action = np.random.default_rng(1).integers(0, sizes, (4, 3))
    chosen = [p[np.arange(4), action[:, i]] for i, p in enumerate(parts)]
    np.testing.assert_allclose(
        several.log_prob(jnp.asarray(action)), np.log(np.prod(chosen, axis=0)), rtol=1e-5
    )
    entropy = sum(scipy.stats.entropy(p, axis=-1) for p in parts)
    np.testing.assert_allclose(several.entropy(), entropy, rtol=1e-5)
    np.testing.assert_array_equal(several.mode(), np.stack([p.argmax(-1) for p in parts], -1))
    drawn = np.asarray(jax.vmap(several.sample)(jax.random.split(jax.random.key(0), 20_000)))
    for i, p in enumerate(parts):
        frequencies = np.mean(drawn[..., i, None] == np.arange(sizes[i]), axis=0)
        np.testing.assert_allclose(frequencies, p, atol=5 * 0.5 / 20_000**0.5)


def test_a_mask_renormalises() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(5,)).astype(np.float32))
    mask = jnp.array([True, False, True, True, False])
    masked = Categorical(logits).masked(mask)
    p = scipy.special.softmax(np.asarray(logits)[np.asarray(mask)])
    np.testing.assert_allclose(masked.entropy(), scipy.stats.entropy(p), rtol=1e-5)
    np.testing.assert_allclose(
        [masked.log_prob(jnp.asarray(i)) for i in (0, 2, 3)], np.log(p), rtol=1e-5
    )
    gradient = jax.grad(lambda x: Categorical(x).masked(mask).entropy())(logits)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[np.array([1, 4])], 0.0)


def test_parts_are_independent() -> None:
    joint = Joint(
        (
            Categorical(jnp.array([0.3, -0.1], jnp.float32)),
            DiagonalGaussian(jnp.zeros((3,), jnp.float32), jnp.zeros((3,), jnp.float32)),
        )
    )
    action = joint.sample(jax.random.key(0))
    expected = sum(part.log_prob(x) for part, x in zip(joint.parts, action, strict=True))
    np.testing.assert_allclose(joint.log_prob(action), expected, rtol=1e-6)
    np.testing.assert_allclose(joint.entropy(), sum(part.entropy() for part in joint.parts))
    assert jax.tree.structure(joint.mode()) == jax.tree.structure(action)
