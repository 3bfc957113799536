"""What is settled before jax starts."""

import pytest

from metarl_experiments.runtime import asked_devices


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["train", "bandit_10_5", "--devices", "3", "--seed", "7"], 3),
        (["train", "bandit_10_5", "--seed=7", "--devices=2"], 2),
        (["train", "bandit_10_5", "--seed", "7"], None),
        (["train", "bandit_10_5", "--devices"], None),
        (["train", "bandit_10_5", "--devices", "many"], None),
        (["train", "bandit_10_5", "--devices", "0"], None),
        (["train", "bandit_10_5", "--devices", "-1"], None),
    ],
)
def test_devices_are_read_before_the_rest(arguments: list[str], asked: int | None) -> None:
    """What is no number is left to the parser, which refuses it."""
    assert asked_devices(arguments) == asked
