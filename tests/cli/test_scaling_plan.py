"""The arithmetic of docs/scaling.md, by hand, and that the page holds what it gives."""

from pathlib import Path

import pytest

from system_checks import scaling_plan
from system_checks.scaling_plan import Chip, fewest_tasks, reduce_seconds, share

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
CHIP = Chip("of the test", flops=6e12, bandwidth=1e9, latency=1e-6, step=1e-5)


def test_an_all_reduce_sends_nearly_twice_the_gradient() -> None:
    """4 chips, 1 M weights: 2 · 3/4 · 4 MB at 1 GB/s, and 2 · 2 messages."""
    assert reduce_seconds(CHIP, 1_000_000, 4) == pytest.approx(6e-3 + 4e-6)


def test_the_share_is_that_of_the_whole_update() -> None:
    """1 M weights, 1,000 tasks of 100 steps: 6e11 operations, a tenth of a second."""
    assert share(CHIP, 1_000_000, 4, 1000) == pytest.approx(6.004e-3 / (0.1 + 6.004e-3))


def test_few_tasks_wait_for_the_scan() -> None:
    """Ten weights and one task: 100 steps of 10 µs, however little they do."""
    reduced = reduce_seconds(CHIP, 10, 4)
    assert share(CHIP, 10, 4, 1) == pytest.approx(reduced / (reduced + 1e-3))
    assert fewest_tasks(CHIP, 10, 4) == 0


@pytest.mark.parametrize("weights", scaling_plan.WEIGHTS)
def test_at_the_fewest_tasks_it_is_a_twentieth(weights: int) -> None:
    tasks = fewest_tasks(CHIP, weights, 256)
    assert share(CHIP, weights, 256, tasks) <= scaling_plan.SHARE
    assert share(CHIP, weights, 256, tasks - 1) > scaling_plan.SHARE


def test_the_page_holds_the_table() -> None:
    assert scaling_plan.table() in PAGE.read_text()
