"""Rulesets of XLand-MiniGrid, drawn inside a jitted program: a goal, production rules, distractors.

A goal names one or two objects. An object is either there from the start, or made by a production
rule out of one or two others, which may themselves be made: a tree, as deep as it is asked to be.
Distractors are objects that nothing needs.

Reference:
    Nikulin et al. (2023), "XLand-MiniGrid: Scalable Meta-Reinforcement Learning Environments in
    JAX", section 3 and appendix.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_jax.types import Array, Key

SHAPES = (3, 4, 5, 7, 11, 12)
"""Ball, square, pyramid, key, hexagon and star."""
COLOURS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)
"""Red, green, blue, purple, yellow, grey, orange, white, brown and pink."""
ONE_OBJECT_GOALS, TWO_OBJECT_GOALS = (1, 3, 11, 12, 13, 14), (4, 7, 8, 9, 10)
"""The agent holds the object, is near it, or on one side of it; two objects are near each other, or
one is on one side of the other."""
ONE_OBJECT_RULES, TWO_OBJECT_RULES = (1, 2, 8, 9, 10, 11), (3, 4, 5, 6, 7)
"""The same, as conditions of a rule."""
HELD_OUT = 10
"""One in so many rulesets is kept for the split `held_out`."""

_OBJECTS = np.stack(np.meshgrid(SHAPES, COLOURS, indexing="ij"), -1).reshape(-1, 2).astype(np.uint8)
_GOALS = np.array(ONE_OBJECT_GOALS + TWO_OBJECT_GOALS, np.uint8)
_RULES = np.array(ONE_OBJECT_RULES + TWO_OBJECT_RULES, np.uint8)


class Ruleset(struct.PyTreeNode):
    """The three arrays of a ruleset, in XLand-MiniGrid's own encoding."""

    goal: Array  # [5] uint8: kind, first object, second object or zeros
    rules: Array  # [R, 7] uint8: kind, objects needed, object made; zeros for none
    init_tiles: Array  # [N, 2] uint8: shape and colour of each object at the start; zeros for none


def sample_ruleset(key: Key, depth: int, num_distractors: int) -> Ruleset:
    """Draws a ruleset.

    Args:
        key: of the draw.
        depth: of the tree: 0 for no rule, 1 for objects of the goal that have to be made, 2 for
            objects of those that have to be made too. The first object of each level always is;
            every other is made with probability 1/2.
        num_distractors: objects that nothing needs.

    Returns:
        2^(depth + 1) - 2 rules and 2^(depth + 2) - 2 + `num_distractors` tiles, some of them zeros.
    """
    goal_key, object_key, kind_key, made_key = jax.random.split(key, 4)
    levels = [2 * 2**level for level in range(depth + 1)]
    num_nodes, num_made = sum(levels), sum(levels[:-1])
    objects = jax.random.permutation(object_key, jnp.asarray(_OBJECTS))
    goal = jax.random.choice(goal_key, jnp.asarray(_GOALS))
    kinds = jax.random.choice(kind_key, jnp.asarray(_RULES), (num_made,))
    wanted = jax.random.bernoulli(made_key, 0.5, (num_made,))

    needed = [jnp.array(True), _takes_two(goal, TWO_OBJECT_GOALS)]
    rules, made = [], []
    for node in range(num_made):  # children of node i are 2 i + 2 and 2 i + 3
        first_of_level = node in np.cumsum([0, *levels]).tolist()
        is_made = needed[node] & (wanted[node] | first_of_level)
        two = _takes_two(kinds[node], TWO_OBJECT_RULES)
        needed += [is_made, is_made & two]
        inputs = objects[2 * node + 2], objects[2 * node + 3]
        rules.append(jnp.where(is_made, _rule(kinds[node], two, *inputs, objects[node]), 0))
        made.append(is_made)
    there = jnp.stack(needed) & ~jnp.stack([*made, *[jnp.array(False)] * (num_nodes - num_made)])
    start = jnp.where(there[:, None], objects[:num_nodes], 0)
    return Ruleset(
        goal=jnp.concatenate([goal[None], objects[0], jnp.where(needed[1], objects[1], 0)]),
        rules=jnp.stack(rules) if rules else jnp.zeros((1, 7), jnp.uint8),
        init_tiles=jnp.concatenate([start, objects[num_nodes : num_nodes + num_distractors]]),
    )


def sample_of_split(key: Key, depth: int, num_distractors: int, *, held_out: bool) -> Ruleset:
    """Draws until the ruleset is on the right side of the split, which its hash decides.

    Args:
        key: of the draws.
        depth: as for `sample_ruleset`.
        num_distractors: likewise.
        held_out: whether it is one of the tenth that is kept back.
    """

    def draw(key: Key) -> tuple[Key, Ruleset]:
        draw_key, key = jax.random.split(key)
        return key, sample_ruleset(draw_key, depth, num_distractors)

    wrong = lambda drawn: is_held_out(drawn[1]) != held_out
    return jax.lax.while_loop(wrong, lambda drawn: draw(drawn[0]), draw(key))[1]


def is_held_out(ruleset: Ruleset) -> Array:
    """Whether the hash of a ruleset, which is the same on every machine, is in the last tenth."""
    return ruleset_hash(ruleset) % HELD_OUT == HELD_OUT - 1


def ruleset_hash(ruleset: Ruleset) -> Array:
    """FNV-1a of all bytes of a ruleset, [] uint32, once more mixed: its low bits alone are poor."""
    data = jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(ruleset)]).astype(jnp.uint32)
    step = lambda total, byte: ((total ^ byte) * jnp.uint32(16777619), None)
    total, _ = jax.lax.scan(step, jnp.uint32(2166136261), data)
    return total ^ (total >> 16)


def _takes_two(kind: Array, kinds: tuple[int, ...]) -> Array:
    return jnp.isin(kind, jnp.array(kinds, jnp.uint8))


def _rule(kind: Array, two: Array, first: Array, second: Array, made: Array) -> Array:
    rest = jnp.where(
        two, jnp.concatenate([second, made]), jnp.concatenate([made, jnp.zeros_like(made)])
    )
    return jnp.concatenate([kind[None], first, rest])
