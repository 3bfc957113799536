"""Statistics of returns against definitions; evaluations that are too good to be true."""

import dataclasses

import numpy as np
import pytest

from metarl_jax.evaluation import Evaluation
from metarl_jax.standing import highest_total, require_possible
from metarl_jax.statistics import interquartile_mean
from metarl_jax.tasks import References
from metarl_jax.types import ConfigurationError
from probes import tiny_bandit

REFERENCES = References(optimal_total=5.0, memoryless_total=2.0, known_task_total=6.0)


def evaluation_of(*episodes: list[float]) -> Evaluation:
    return Evaluation(np.array(episodes, np.float32).T, "hash")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 7, 16])
def test_interquartile_mean_is_that_of_the_middle_half(number: int) -> None:
    values = np.random.default_rng(number).normal(size=number)
    # Each number four times over: the middle half is then a whole number of them.
    middle = np.sort(np.repeat(values, 4))[number : 3 * number]
    assert interquartile_mean(values) == pytest.approx(middle.mean())


def test_the_interquartile_mean_forgets_outliers() -> None:
    assert interquartile_mean(np.array([-1e9, 1.0, 2.0, 1e9])) == 1.5


def test_gain_and_percentile_are_of_the_same_tasks() -> None:
    first, last = [1.0, 2.0, 3.0, 4.0, 5.0], [3.0, 4.0, 5.0, 6.0, 7.0]
    result = evaluation_of(first, last)
    assert result.adaptation_gain == 2.0
    assert result.adaptation_gain_ci95 == 0.0  # every task gains as much
    assert result.total_return_p20 == np.percentile([4.0, 6.0, 8.0, 10.0, 12.0], 20)
    assert result.total_return_iqm == pytest.approx(8.0)


def test_what_is_possible_depends_on_what_the_policy_knows() -> None:
    assert highest_total(REFERENCES) == 5.0
    assert highest_total(REFERENCES, contextual=True) == 6.0
    assert highest_total(REFERENCES, memory_ablated=True) == 2.0
    assert highest_total(References(optimal_bound=5.5), memory_ablated=True) == 5.5
    assert highest_total(References(known_task_total=6.0)) == 6.0
    assert highest_total(References()) is None


def test_references_that_are_no_function_are_refused_with_the_cure() -> None:
    with pytest.raises(ConfigurationError, match=r"tiny.*must be a function.*write lambda:"):
        dataclasses.replace(tiny_bandit(), name="tiny", references=REFERENCES)


def test_rounding_and_few_tasks_are_no_leak() -> None:
    require_possible(evaluation_of([2.76, 2.76]), 2.76, "mouse")  # in float32 2.7600000
    require_possible(evaluation_of([7.0, 7.1]), 6.66, "bandit")  # 8 standard errors, of two tasks
    require_possible(evaluation_of([9.0]), 6.66, "bandit")  # one task has no interval
    with pytest.raises(ConfigurationError, match="leaks"):
        require_possible(evaluation_of([2.77, 2.77]), 2.76, "mouse")


def test_four_standard_errors_above_the_optimum_are_a_leak() -> None:
    random = np.random.default_rng(0).normal(size=400)
    random = (random - random.mean()) / random.std(ddof=1)  # a standard error of 1/20
    require_possible(evaluation_of(list(5.19 + random)), 5.0, "doors")
    with pytest.raises(
        ConfigurationError, match=r"doors: the evaluation leaks: .* 5\.0000.* 5\.21"
    ):
        require_possible(evaluation_of(list(5.21 + random)), 5.0, "doors")
