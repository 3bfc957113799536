"""Exact references: against published digits, brute force, and one another."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from metarl_envs.references import bernoulli, gittins, hidden_goal
from metarl_envs.references.hidden_goal import HiddenGoal, best_plan, plan_returns, total_bound
from metarl_jax.types import ConfigurationError

# From two dynamic programmes that agree to 1e-10.
BERNOULLI_TOTALS = {
    (2, 1): 0.5,
    (2, 2): 1.0833333333,
    (2, 3): 1.6666666667,
    (2, 5): 2.8888888889,
    (2, 10): 6.0217857143,
    (2, 20): 12.4312649059,
    (2, 50): 31.9967118817,
    (2, 100): 64.9184206510,
    (3, 10): 6.4096428571,
    (5, 5): 3.0520833333,
    (5, 10): 6.6599878748,
    (10, 10): 6.7139511914,
    (50, 10): 6.7139511914,
}


@pytest.mark.parametrize(("num_arms", "num_pulls"), sorted(BERNOULLI_TOTALS))
def test_bernoulli_optima_have_the_known_digits(num_arms, num_pulls):
    expected = BERNOULLI_TOTALS[num_arms, num_pulls]
    assert bernoulli.optimal_total(num_arms, num_pulls) == pytest.approx(expected, abs=1e-10)


def test_beliefs_are_counted_as_they_are_listed():
    for num_arms, num_pulls in [(1, 5), (2, 6), (3, 5), (5, 4)]:
        pairs = [(s, m - s) for m in range(num_pulls) for s in range(m + 1)]
        beliefs = {tuple(sorted(arms)) for arms in product(pairs, repeat=num_arms)}
        totals = [sum(map(sum, arms)) for arms in beliefs]
        expected = np.bincount(totals, minlength=num_pulls)[:num_pulls]
        assert bernoulli.num_beliefs(num_arms, num_pulls) == expected.tolist()


def test_too_many_beliefs_are_refused_with_their_number():
    with pytest.raises(ConfigurationError, match=r"3\.63e\+11 beliefs.*Gittins index"):
        bernoulli.optimal_total(5, 100)


# Gittins (1979), as tabulated in Gittins, Glazebrook, Weber (2011), table 8.1, by posterior (α, β).
@pytest.mark.parametrize(
    ("discount", "table"),
    [
        (0.5, {(1, 1): 0.5590, (2, 1): 0.7060, (1, 2): 0.3758}),
        (0.9, {(1, 1): 0.7029, (2, 1): 0.8001, (1, 2): 0.5001}),
        (0.99, {(1, 1): 0.8699, (2, 1): 0.9102, (1, 2): 0.7005}),
    ],
)
def test_discounted_indices_are_the_published_ones(discount, table):
    indices = gittins.discounted_indices(10, discount)
    for (alpha, beta), expected in table.items():
        code = bernoulli.arm_code(np.array(alpha - 1), np.array(beta - 1))
        assert indices[code] == pytest.approx(expected, abs=2e-4)


def stopping_worth(successes: int, failures: int, pulls: int, price: float) -> float:
    """U_λ, by recursion."""
    if pulls == 0:
        return 0.0
    mean = (1 + successes) / (2 + successes + failures)
    after = [
        max(0.0, stopping_worth(successes + paid, failures + 1 - paid, pulls - 1, price))
        for paid in (0, 1)
    ]
    return mean - price + mean * after[1] + (1 - mean) * after[0]


def test_finite_horizon_indices_make_a_player_indifferent():
    num_pulls = 6
    tables = gittins.finite_horizon_indices(num_pulls)
    for pulls in range(num_pulls):
        for successes in range(pulls + 1):
            code = bernoulli.arm_code(np.array(successes), np.array(pulls - successes))
            arm = (successes, pulls - successes, num_pulls - pulls)
            index = float(tables[pulls][code])
            # U falls by at least 1 for each unit of the price: the root is as near as U to 0.
            assert stopping_worth(*arm, index) == pytest.approx(0.0, abs=3e-3)


def line(num_cells: int, **changed) -> HiddenGoal:
    """Cells in a row; left, right, stay; the start in the middle."""
    cell = np.arange(num_cells)
    moves = np.stack([cell - 1, cell + 1, cell], axis=1).clip(0, num_cells - 1)
    start = num_cells // 2
    problem = {
        "moves": moves,
        "start": start,
        "candidates": np.delete(cell, start),
        "episode_length": 3,
        "num_episodes": 2,
        "on_goal": 1.0,
        "off_goal": -0.1,
        "ends": False,
    }
    return HiddenGoal(**problem | changed)


def play(problem: HiddenGoal, plan: np.ndarray, goal: int) -> list[float]:
    """Episode returns against one goal: follows the plan, then the shortest way, step by step."""
    known, returns = False, []
    for episode in plan:
        cell, total = problem.start, 0.0
        for step in range(problem.episode_length):
            if known:
                ways = problem.moves[cell]
                cell = ways[np.argmin(problem.distances[ways, goal])]
            else:
                cell = episode[step]
            known |= cell == goal
            total += problem.on_goal if cell == goal else problem.off_goal
            if cell == goal and problem.ends:
                break
        returns.append(total)
    return returns


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("num_episodes", [1, 2])
def test_best_plan_is_the_best_of_all_plans(ends, num_episodes):
    problem = line(5, ends=ends, num_episodes=num_episodes)
    best = -np.inf
    for actions in product(range(3), repeat=3 * num_episodes):
        plan = np.zeros((num_episodes, 3), int)
        for episode, way in enumerate(np.reshape(actions, (num_episodes, 3))):
            cell = problem.start
            for step, action in enumerate(way):
                cell = problem.moves[cell, action]
                plan[episode, step] = cell
        # The plans a policy can follow; found goals are returned to by the shortest way.
        total = np.mean([sum(play(problem, plan, goal)) for goal in problem.candidates])
        best = max(best, total)
    plan = best_plan(problem)
    played = np.mean([play(problem, plan, goal) for goal in problem.candidates], axis=0)
    np.testing.assert_allclose(plan_returns(problem, plan), played)
    assert played.sum() == pytest.approx(best)
    assert best <= total_bound(problem) + 1e-9


def test_backward_induction_says_what_its_plan_earns():
    problem = line(7, episode_length=4, num_episodes=3, ends=True)
    solution = hidden_goal._solve(problem, *hidden_goal._reachable(problem))
    plan = hidden_goal._follow(problem, solution, lambda left: True)
    assert plan is not None
    assert solution.worth[0].max() == pytest.approx(plan_returns(problem, plan).sum())


def test_one_episode_and_a_shortest_way_are_as_good_as_the_whole_search():
    problem = line(5, episode_length=4, num_episodes=2)  # 1 and 2 steps one way, then the other
    short = hidden_goal._plan_of_one_episode(problem)
    assert short is not None
    solution = hidden_goal._solve(problem, *hidden_goal._reachable(problem))
    assert plan_returns(problem, short).sum() == pytest.approx(solution.worth[0].max())


def test_a_search_beyond_the_limit_is_refused():
    cell = np.arange(64)
    moves = np.stack([cell ^ 1 << bit for bit in range(6)], axis=1)  # a cube of six dimensions
    cube = line(5, moves=moves, start=0, candidates=cell[1:40], episode_length=20)
    with pytest.raises(ConfigurationError, match=r"39 goals in 1 episodes of 20 steps.*bound"):
        best_plan(cube)
    # 64 cells and 57 goals would need 63 bits and a sign.
    with pytest.raises(ConfigurationError, match=r"fewer goals, got 57 in 64 cells"):
        best_plan(line(5, moves=moves, start=0, candidates=cell[1:58], episode_length=20))


def star(**changed) -> HiddenGoal:
    """Three arms of two cells around the start; an episode of two steps searches one."""
    outward = np.array(
        [[1, 3, 5], [2, 1, 1], [2, 2, 2], [3, 4, 3], [4, 4, 4], [5, 5, 6], [6, 6, 6]]
    )
    inward = np.array([0, 0, 1, 0, 3, 0, 5])
    moves = np.column_stack([outward, inward])
    star = {"moves": moves, "start": 0, "candidates": np.arange(1, 7), "ends": True}
    return line(3, **star | {"episode_length": 2, "num_episodes": 3} | changed)


FIRST_ARM, ALL_ARMS_KNOWN = (1.0 + 0.9 - 4 * 0.2) / 6, (3 * 1.0 + 3 * 0.9) / 6


def test_an_arm_in_each_episode_is_the_best_search_of_a_star():
    returns = plan_returns(star(), best_plan(star()))
    second = (2 * 1.0 + 2 * 0.9 - 2 * 0.2) / 6
    np.testing.assert_allclose(returns, [FIRST_ARM, second, ALL_ARMS_KNOWN])
    assert hidden_goal._plan_of_one_episode(star()) is None  # two arms are no single way


def test_an_episode_may_be_solved_where_the_whole_search_is_not(monkeypatch):
    monkeypatch.setattr(hidden_goal, "MAX_STATES", 20)
    references = hidden_goal.search_references(star(), lambda task: task)
    assert references.optimal_total is None
    assert references.memoryless_total == pytest.approx(3 * FIRST_ARM)
    assert references.return_upper_bound == pytest.approx(FIRST_ARM + 2 * ALL_ARMS_KNOWN)


def test_goals_beyond_reach_are_never_found():
    problem = line(9, episode_length=2, num_episodes=2, ends=True)
    plan = best_plan(problem)
    played = np.mean([play(problem, plan, goal) for goal in problem.candidates], axis=0)
    np.testing.assert_allclose(plan_returns(problem, plan), played)
    # Of eight goals two lie one way and two the other, at 1 and 2 steps; four are out of reach.
    searched = (1.0 + 0.9 - 6 * 0.2) / 8
    known = (2 * 1.0 + 2 * 0.9 - 4 * 0.2) / 8
    np.testing.assert_allclose(played, [searched, known])


@pytest.mark.parametrize("ends", [False, True])
def test_actions_at_random_come_to_the_mean_over_all_sequences(ends):
    problem = line(5, ends=ends)
    sequences = product(range(3), repeat=problem.episode_length)
    walks = []
    for sequence in sequences:
        cells, cell = [], problem.start
        for action in sequence:
            cell = problem.moves[cell, action]
            cells.append(cell)
        walks.append(cells)
    unaware = replace(problem, num_episodes=1)  # and goes on at random where it has found the goal
    returns = []
    for cells, goal in product(walks, problem.candidates):
        paid = [problem.on_goal if cell == goal else problem.off_goal for cell in cells]
        until = cells.index(goal) + 1 if ends and goal in cells else len(cells)
        returns.append(sum(paid[:until]))
    assert unaware.random_episode == pytest.approx(np.mean(returns))


def test_a_known_goal_is_worth_its_own_distance():
    problem = line(5, num_episodes=2)
    known = hidden_goal.search_references(problem, lambda task: task).oracle_return
    # Two of three steps on a neighbour; one of three on a cell two steps away.
    returns = [2 * (3 * -0.1 + 1.1 * steps) for steps in (2, 3, 3, 2)]
    assert known is not None
    np.testing.assert_allclose(known(problem.candidates), returns, rtol=1e-6)


def test_the_bound_counts_no_goal_before_its_distance():
    problem = line(9, episode_length=4, num_episodes=1, candidates=np.array([0, 8]), ends=True)
    assert total_bound(problem) == pytest.approx((1.0 - 0.3 - 0.4) / 2)


@pytest.mark.parametrize("rewards", [(-0.1, -0.1, False), (1.0, 0.1, True)])
def test_a_goal_that_is_best_left_alone_is_refused(rewards):
    on_goal, off_goal, ends = rewards
    with pytest.raises(ConfigurationError, match="worth looking for"):
        line(5, on_goal=on_goal, off_goal=off_goal, ends=ends)


def test_too_long_a_horizon_is_refused_before_its_tables_are_made():
    with pytest.raises(ConfigurationError, match=r"at most 1,000 pulls, got 2,000.*discounted"):
        gittins.finite_horizon_indices(2_000)
