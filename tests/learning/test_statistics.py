"""Statistics of returns against definitions; evaluations that are too good to be true."""

import dataclasses

import jax
import numpy as np
import pytest

from metarl_envs.bandit import bandit
from metarl_jax.evaluation.evaluate import make_task_evaluator, meta_test_tasks
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.scores import (
    Scores,
    highest_total,
    require_possible,
    scores_of,
    with_control_variate,
)
from metarl_jax.evaluation.statistics import (
    bootstrap_interval,
    confidence_half_width,
    interquartile_mean,
    percentile_20,
    with_control,
)
from metarl_jax.tasks.distribution import References
from metarl_jax.types import ConfigurationError
from support.probes import tiny_bandit

REFERENCES = References(optimal_total=5.0, memoryless_total=2.0, oracle_total=6.0)


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


def test_the_bootstrap_agrees_with_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).exponential(size=2000)
    low, high = bootstrap_interval(values, lambda x: float(np.mean(x)), resamples=2000)
    half = float(confidence_half_width(values[:, None])[0])
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert np.isnan(bootstrap_interval(values[:1], interquartile_mean)).all()


def test_a_bootstrap_interval_holds_the_truth_about_95_times_of_100() -> None:
    """Of 200 experiments 190 ± 3.1. A fifth of uniforms lies below 0.2."""
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        low, high = bootstrap_interval(generator.uniform(size=100), percentile_20, resamples=200)
        held += low <= 0.2 <= high
    assert held >= 177


def test_a_control_takes_away_what_the_tasks_explain_and_keeps_the_mean() -> None:
    generator = np.random.default_rng(0)
    control = generator.normal(size=4000) + 0.03  # these tasks happen to be easy
    noise = generator.normal(size=(4000, 2))
    samples = np.array([1.0, 5.0]) + np.multiply.outer(control, [3.0, -2.0]) + 0.1 * noise
    controlled = with_control(samples, control)
    np.testing.assert_allclose(controlled.mean(axis=0), [1.0, 5.0], atol=0.01)
    np.testing.assert_allclose(controlled.std(axis=0), 0.1, rtol=0.05)
    # What has nothing to do with the control is left as it is, and a constant one changes nothing.
    np.testing.assert_allclose(with_control(noise, control).std(axis=0), noise.std(axis=0), 1e-3)
    np.testing.assert_array_equal(with_control(samples, np.zeros(4000)), samples)


def test_known_tasks_are_a_control_where_their_mean_is_known() -> None:
    known = lambda task: 2.0 * task
    tasks = np.linspace(-0.8, 1.0, 100)
    plain = evaluation_of(list(tasks), list(tasks))
    references = References(oracle_total=0.0, oracle_return=known)
    controlled = with_control_variate(plain, references, tasks)
    assert plain.total_return_mean == pytest.approx(0.2)
    assert controlled.total_return_mean == pytest.approx(0.0, abs=1e-6)
    assert controlled.total_return_ci95 == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(controlled.episode_return_mean, 0.0, atol=1e-6)
    assert controlled.total_return_p20 == plain.total_return_p20
    unknown_mean = References(oracle_return=known)
    assert with_control_variate(plain, unknown_mean, tasks) is plain
    few = evaluation_of(list(tasks[:99]), list(tasks[:99]))
    assert with_control_variate(few, references, tasks[:99]) is few


def test_the_oracle_cuts_the_interval_of_a_bandit() -> None:
    """n = 100, k = 5: a standard error of at most 0.05 at 20,000 tasks, 0.115 without."""
    tasks = bandit(num_arms=5, num_pulls=100)
    references = tasks.references()
    thompson = references.agents["thompson"]()
    meta_test = meta_test_tasks(tasks, jax.random.key(0), 2000)
    plain = make_task_evaluator(tasks, thompson)((), meta_test, jax.random.key(1))
    result = with_control_variate(plain, references, meta_test)
    at_20_000 = result.total_return_ci95 / 1.96 / 10**0.5
    assert at_20_000 <= 0.05 < 0.1 < plain.total_return_ci95 / 1.96 / 10**0.5
    assert abs(result.total_return_mean - 75.04) < 4 * result.total_return_ci95 / 1.96 + 0.05


def test_a_score_is_0_at_random_and_1_at_best() -> None:
    references = dataclasses.replace(REFERENCES, random_total=1.0)
    at = lambda total, **kind: scores_of(evaluation_of([total, total + 0.5]), references, **kind)
    stands = at(2.75)
    assert stands == Scores(5.0, 2.0, 0.5, stands.normalized_score_ci95)
    assert stands.normalized_score_ci95 == pytest.approx(1.96 * 0.5**1.5 / 2**0.5 / 4)
    assert at(2.75, contextual=True).best == 6.0
    assert scores_of(evaluation_of([1.0]), References()) is None
    only_best = scores_of(evaluation_of([1.0]), References(oracle_total=3.0))
    assert only_best == Scores(3.0, 2.0, None, None)


def test_what_is_possible_depends_on_what_the_policy_knows() -> None:
    assert highest_total(REFERENCES) == 5.0
    assert highest_total(REFERENCES, contextual=True) == 6.0
    assert highest_total(REFERENCES, memory_ablated=True) == 2.0
    assert highest_total(References(return_upper_bound=5.5), memory_ablated=True) == 5.5
    assert highest_total(References(oracle_total=6.0)) == 6.0
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
