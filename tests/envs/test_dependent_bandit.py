"""Two dependent arms: exact values against looking at everything, choices against a majority."""

import jax
import numpy as np
import pytest

from metarl_envs.dependent_bandit import BETTER, dependent_bandit
from metarl_envs.references.passive import dependent_arms_total, hidden_chain_worth
from metarl_jax import task_keys
from metarl_jax.types import ConfigurationError
from support.classical_play import earned, played
from support.expectimax import arms, best_return

KINDS = ("uniform", "easy", "medium", "hard")


def chances_of(kind: str) -> np.ndarray:
    """Values of p, all as probable."""
    if kind == "uniform":
        return (np.arange(400) + 0.5) / 400
    return np.array([BETTER[kind], 1 - BETTER[kind]])


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_every_policy(kind):
    chances = chances_of(kind)
    prior, still = np.full(len(chances), 1 / len(chances)), np.eye(len(chances))
    outcomes = arms(np.stack([chances, 1 - chances], axis=1))
    for num_pulls in (1, 2, 5):
        exact = dependent_bandit(kind=kind, num_pulls=num_pulls).references().optimal_total
        assert exact == pytest.approx(best_return(prior, outcomes, still, num_pulls), abs=2e-5)


# Of n pulls, by a sum over how often the first arm paid or would have, in exact fractions.
@pytest.mark.parametrize(
    ("kind", "num_pulls", "expected"), [("uniform", 2, 7 / 6), ("easy", 3, 0.5 + 2 * 0.82)]
)
def test_a_few_pulls_by_hand(kind, num_pulls, expected):
    # After one pull p ~ Beta(2, 1), of mean 2/3. With 0.9: 0.9² + 0.1², after one pull; a second
    # never outweighs it, so that after two it is the same.
    references = dependent_bandit(kind=kind, num_pulls=num_pulls).references()
    assert references.optimal_total == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["easy", "hard"])
def test_a_hidden_chain_that_stands_still_is_as_good(kind):
    chances, weights = chances_of(kind), np.array([0.5, 0.5])
    pays = np.stack([chances, 1 - chances], axis=1)
    exact = dependent_arms_total(chances, weights, 40)
    coarse, fine, finest = (
        hidden_chain_worth(weights, np.eye(2), pays, pays, 40, resolution).sum()
        for resolution in (10, 1_000, 10_000_000)
    )
    assert coarse < fine < exact + 1e-9
    assert finest == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("kind", ["uniform", "easy"])
def test_the_best_player_earns_the_optimum(kind):
    tasks = dependent_bandit(kind=kind, num_pulls=20)
    mean, error = earned(tasks, "bayes-optimal", 4_000)
    references = tasks.references()
    assert abs(mean - (references.optimal_total or 0.0)) < 4 * error
    assert (references.memoryless_total or 0.0) < mean < (references.oracle_total or 0.0)


def test_the_best_player_goes_with_the_majority():
    rollout = played(dependent_bandit(num_pulls=50), "bayes-optimal", 32)
    votes = np.where(rollout.outcome.reward > 0.5, rollout.action, 1 - rollout.action)
    for time in range(1, 50):
        lead = 2 * votes[:time].sum(axis=0) - time
        np.testing.assert_array_equal(
            rollout.action[time][lead != 0], (lead > 0).astype(int)[lead != 0]
        )
    assert len(np.unique(rollout.action[-1])) == 2


@pytest.mark.parametrize("kind", ["uniform", "medium"])
def test_every_kind_can_be_evaluated_on_the_others(kind):
    tasks = dependent_bandit(kind=kind)
    assert set(tasks.splits) == {"independent", *KINDS} - {kind}
    for name, sample in {kind: tasks.sample, **tasks.splits}.items():
        drawn = jax.jit(jax.vmap(sample))(task_keys(jax.random.key(0), 4_000))
        first, second = np.asarray(drawn.probabilities).T
        assert abs(first.mean() - 0.5) < 4 * first.std() / np.sqrt(4_000)
        if name == "independent":
            assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(4_000)
            continue
        np.testing.assert_allclose(first + second, 1, rtol=1e-6)
        if name != "uniform":
            better = {"easy": 0.9, "medium": 0.75, "hard": 0.6}[name]
            np.testing.assert_allclose(np.maximum(first, second), better, rtol=1e-6)
        known = dependent_bandit(kind=name).references().oracle_total or 0.0
        assert abs(np.maximum(first, second).mean() - known / 100) < 0.01


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "simple"}, r"kind must be one of uniform, easy, medium, hard, got 'simple'"),
        ({"num_pulls": 0}, r"num_pulls must be a whole number of at least 1 .* got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        dependent_bandit(**arguments)
