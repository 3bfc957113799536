"""The verdict: a pure function of an evaluation's record."""

import math

import pytest

from metarl_jax.evaluation.record import EvaluationRecord, ReferenceTotals
from metarl_jax.report.verdict import verdict


def record(gain=2.345, width=0.052, total=16.15, episodes=4, policy="adaptive", **references):
    return EvaluationRecord(
        task_family="grid",
        policy=policy,
        update=1,
        num_tasks=100,
        task_set_hash="",
        sampled_actions=True,
        episode_return_mean=(total / episodes,) * episodes,
        episode_return_ci95=(0.01,) * episodes,
        total_return_mean=total,
        total_return_ci95=0.05,
        adaptation_gain=gain,
        adaptation_gain_ci95=width,
        references=ReferenceTotals(**references),
    )


@pytest.mark.parametrize(
    ("gain", "width", "said"),
    [
        (2.345, 0.052, "adapts: +2.345 ± 0.052 from episode 1 to 4"),
        (0.0101, 0.01, "adapts: "),
        (0.0099, 0.01, "did not learn to adapt: gain "),
        (0.002, 0.004, "did not learn to adapt: gain 0.0020 ± 0.0040 from episode 1 to 4"),
        (-0.0099, 0.01, "did not learn to adapt: gain "),
        (-0.5, 0.01, "gets worse: "),
        (0.5, math.nan, "no interval"),
    ],
)
def test_it_adapts_where_the_interval_of_the_gain_lies_above_zero(gain, width, said):
    assert verdict(record(gain, width, random=0.9)).startswith(said)


def test_a_policy_that_may_adapt_within_an_episode_is_not_said_to_have_failed():
    """Nothing is known that its return could be held against."""
    said = verdict(record(0.5, 2.5))
    assert said.startswith("no gain from episode 1 to 4 (0.5 ± 2.5); adaptation within an episode")


def test_one_episode_has_no_gain():
    said = verdict(record(0.0, 0.0, episodes=1, optimal=17.0))
    assert "no gain from episode to episode is measured" in said
    assert said.endswith("95.0% of the Bayes optimum")


@pytest.mark.parametrize(
    ("policy", "said"), [("memoryless", "has no memory"), ("contextual", "is told the task")]
)
def test_other_policies_are_not_blamed_for_a_gain_of_nothing(policy, said):
    assert said in verdict(record(0.0, 0.01, policy=policy))


def test_the_optimum_without_a_gain_is_no_failure():
    said = verdict(record(0.001, 0.01, total=16.15, optimal=16.16))
    assert said.startswith("earns the Bayes optimum without a gain from episode 1 to 4")


@pytest.mark.parametrize(
    ("policy", "references", "said"),
    [
        ("adaptive", {"optimal": 16.16, "oracle": 18.5}, "99.9% of the Bayes optimum"),
        ("adaptive", {"return_upper_bound": 17.0, "oracle": 18.5}, "95.0% of the upper bound"),
        ("adaptive", {"oracle": 18.5}, "87.3% of the oracle return"),
        ("contextual", {"optimal": 16.16, "oracle": 18.5}, "87.3% of the oracle return"),
        ("adaptive", {"random": 0.9}, "from episode 1 to 4"),
    ],
)
def test_the_distance_is_to_the_best_that_is_known(policy, references, said):
    assert said in verdict(record(policy=policy, **references))
    assert ("%" in verdict(record(policy=policy, **references))) == ("%" in said)


def test_a_share_of_a_negative_return_is_not_told():
    said = verdict(record(total=-20.0, optimal=-10.0))
    assert "%" not in said
    assert said.endswith("return −20.0 where the Bayes optimum is −10.00")
