"""The numbers of a row under tags such as `train/return`, which loggers show in groups."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from metarl_jax.training.metrics_row import MEMBERS, MetricsRow

GROUPS: Mapping[str, Sequence[str]] = {
    "train": (
        *("return", "return_first_episode", "return_last_episode", "entropy"),
        *("skipped", "skipped_in_a_row"),
    ),
    "loss": ("policy_gradient", "clipped_policy_gradient", "value_error", "gradient_norm"),
    "ppo": ("clip_fraction", "kl_divergence"),
    "time": ("update", "seconds", "env_steps_per_second", "evaluation_seconds"),
}
"""Keys of `metrics.jsonl` by group; a metric of one's own is in the group `metrics`."""
_GROUP_OF = {key: group for group, keys in GROUPS.items() for key in keys}
_AXIS = "env_steps"
_META_TEST = "meta_test_"
_EPISODES = "meta_test_episode_returns"
MOST_EPISODES = 12
"""Episodes that have a tag each; of more, those at powers of two and the last."""

HyperparametersAt = Callable[[int], Mapping[str, float]]
"""The hyper-parameters of an update, counted from 1, by their names."""


def no_hyperparameters(update: int) -> Mapping[str, float]:
    """None are logged."""
    del update
    return {}


def schedule_values(
    schedules: Mapping[str, Sequence[float]], num_updates: int
) -> HyperparametersAt:
    """The values that schedules have at an update, computed on the host.

    Args:
        schedules: knots by name; see `metarl_jax.learning.schedules`.
        num_updates: over which the schedules run.
    """

    def at(update: int) -> Mapping[str, float]:
        progress = (update - 1) / max(num_updates - 1, 1)
        return {
            name: float(np.interp(progress, np.linspace(0, 1, len(knots)), knots))
            for name, knots in schedules.items()
        }

    return at


def tagged(row: MetricsRow, hyperparameters: Mapping[str, float] | None = None) -> dict[str, float]:
    """Every finite number of a row by its tag, `GROUP/NAME`.

    The groups are those of `GROUPS`, `meta_test`, `metrics` and `hyperparameters`; the number of an
    agent of a population ends in `/agent_I`. Environment steps have no tag: they are the axis.

    Args:
        row: of `metrics.jsonl`.
        hyperparameters: of its last update.
    """
    found = dict(_numbers(row.flat()))
    found |= {f"hyperparameters/{name}": x for name, x in (hyperparameters or {}).items()}
    return {tag: float(x) for tag, x in found.items() if math.isfinite(x)}


def _numbers(flat: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in flat.items():
        if key == _AXIS:
            continue
        if not (key.endswith(MEMBERS) and isinstance(value, (list, tuple))):
            yield from _tags(key, value)
            continue
        for agent, own in enumerate(value, start=1):
            tags = _tags(key.removesuffix(MEMBERS), own)
            yield from ((f"{tag}/agent_{agent}", x) for tag, x in tags)


def _tags(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The tags of one agent's number, or of its returns."""
    if name == _EPISODES:
        for episode in shown_episodes(len(value)):
            yield f"meta_test/episode_{episode}", value[episode - 1]
    elif name.startswith(_META_TEST):
        yield f"meta_test/{name.removeprefix(_META_TEST)}", value
    else:
        yield f"{_GROUP_OF.get(name, 'metrics')}/{name}", value


def shown_episodes(num_episodes: int) -> list[int]:
    """Numbers of the episodes that have a tag, from 1."""
    if num_episodes <= MOST_EPISODES:
        return list(range(1, num_episodes + 1))
    return sorted({2**n for n in range(num_episodes.bit_length())} | {num_episodes})
