"""A goal hidden in a known, deterministic graph: the best search over a meta-episode, exactly.

Until the goal is found nothing is learnt but where it is not: the belief is the set of candidates
that were visited, and a policy is a plan, the walk it takes as long as nothing is found. Of G
candidates, all alike, one that the plan first enters at step t of episode e pays, with probability
1/G, the rest of that episode and every later one as if the goal were known. With `left` the
candidates not yet visited, and c a new one or none:

    J(e, t, cell, left) = max_a { [c found] (pay(e, t) + (E - e) known(c)) / G
                                  + off |left - c| / G + J(e, t + 1, cell', left - c) }

One episode may be enough, and is tried first: no first episode earns more than the best single one,
and no later one more than with the goal known. A plan whose first episode is a best one, and whose
second passes all candidates that are left on one shortest way, attains both.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property

import jax.numpy as jnp
import numpy as np

from metarl_jax.tasks.distribution import References
from metarl_jax.types import Array, ConfigurationError, Task

MAX_STATES = 1_000_000
"""Pairs of cell and candidates visited, over all steps; more are refused. They take 3 seconds."""

TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class HiddenGoal:
    """The problem.

    Attributes:
        moves: [C, A] int, the cell that each action leads to from each cell.
        start: the cell each episode starts in.
        candidates: [G] cells the goal may lie in, all alike; not the start.
        episode_length: H.
        num_episodes: E.
        on_goal: what a step pays that ends on the goal.
        off_goal: what any other pays; less than that.
        ends: whether the goal ends the episode; otherwise one can stay on it. Where it does, no
            step may pay without it, or it would be best left alone.
    """

    moves: np.ndarray
    start: int
    candidates: np.ndarray
    episode_length: int
    num_episodes: int
    on_goal: float
    off_goal: float
    ends: bool

    def __post_init__(self) -> None:
        if self.on_goal <= self.off_goal or (self.ends and self.off_goal > 0):
            raise ConfigurationError(
                "a hidden goal expects a reward worth looking for, and none for other steps where "
                f"it ends the episode, got {self.on_goal} on it and {self.off_goal} elsewhere."
            )

    @cached_property
    def distances(self) -> np.ndarray:
        """[C, C] float64: steps from one cell to another, by breadth-first search; inf: no way."""
        num_cells = len(self.moves)
        distance = np.full((num_cells, num_cells), np.inf)
        leads = np.zeros((num_cells, num_cells), bool)
        leads[np.arange(num_cells)[:, None], self.moves] = True
        reached = np.eye(num_cells, dtype=bool)
        for steps in range(num_cells):
            new = reached & np.isinf(distance)
            if not new.any():
                break
            distance[new] = steps
            reached = new @ leads
        return distance

    def found_return(self, step: np.ndarray) -> np.ndarray:
        """Return of an episode in which the goal is first reached at a step, from 1; inf: never."""
        searching = np.minimum(step - 1, self.episode_length)
        on_it = np.minimum(self.episode_length - searching, 1 if self.ends else np.inf)
        return self.off_goal * searching + self.on_goal * on_it

    @cached_property
    def known_returns(self) -> np.ndarray:
        """[G]: of an episode with the goal known."""
        return self.found_return(self.distances[self.start, self.candidates])

    @cached_property
    def random_episode(self) -> float:
        """Mean return of an episode of actions that are all as probable."""
        goals = np.arange(len(self.candidates))
        moves = np.zeros((len(self.moves), len(self.moves)))
        np.add.at(moves, (np.arange(len(self.moves))[:, None], self.moves), 1 / self.moves.shape[1])
        where = np.zeros((len(goals), len(self.moves)))  # probabilities, goal by goal
        where[:, self.start] = 1.0
        total = 0.0
        for _ in range(self.episode_length):
            going_on = where.sum(axis=1)
            where = where @ moves
            found = where[goals, self.candidates]
            total += np.mean(self.off_goal * (going_on - found) + self.on_goal * found)
            if self.ends:
                where[goals, self.candidates] = 0.0
        return float(total)

    @property
    def known_episode(self) -> float:
        """Mean return of an episode with the goal known."""
        return float(np.mean(self.known_returns))


def plan_returns(problem: HiddenGoal, plan: np.ndarray) -> np.ndarray:
    """[E] expected returns of a plan, goal by goal.

    Args:
        problem: whose plan it is.
        plan: [E, H] cells, after each step, as long as nothing was found.
    """
    returns = np.zeros(problem.num_episodes)
    for goal, known in zip(problem.candidates, problem.known_returns, strict=True):
        hits = np.argwhere(plan == goal)
        episode, step = hits[0] if len(hits) else (problem.num_episodes, 0)
        returns[:episode] += problem.off_goal * problem.episode_length
        if len(hits):
            returns[episode] += problem.found_return(np.array(step + 1))
            returns[episode + 1 :] += known
    return returns / len(problem.candidates)


def search_references(problem: HiddenGoal, goal_of: Callable[[Task], Array]) -> References:
    """Exact values where they can be computed; otherwise a bound on them.

    Args:
        problem: the tasks, their goals all alike.
        goal_of: a task's goal, the number of its cell.
    """
    num_episodes, known = problem.num_episodes, problem.known_episode
    reference_totals = np.zeros(len(problem.moves), np.float32)
    reference_totals[problem.candidates] = num_episodes * problem.known_returns
    values = References(
        oracle_total=num_episodes * known,
        oracle_return=lambda task: jnp.asarray(reference_totals)[goal_of(task)],
        random_total=num_episodes * problem.random_episode,
        return_upper_bound=total_bound(problem),
    )
    try:
        first = float(optimal_returns(dataclasses.replace(problem, num_episodes=1))[0])
        values = dataclasses.replace(
            values,
            memoryless_total=num_episodes * first,
            return_upper_bound=first + (num_episodes - 1) * known,
        )
        optimal = optimal_returns(problem)
    except ConfigurationError:
        return values
    return dataclasses.replace(
        values,
        optimal_total=float(optimal.sum()),
        optimal_episodes=tuple(optimal.tolist()),
        return_upper_bound=None,
    )


def optimal_returns(problem: HiddenGoal) -> np.ndarray:
    """[E] returns of the Bayes-optimal plan that `best_plan` finds; errors as there."""
    return plan_returns(problem, best_plan(problem))


def total_bound(problem: HiddenGoal) -> float:
    """What no policy's return of the meta-episode exceeds, in any graph.

    As if the first episode could enter one new candidate at each step, the near ones first and none
    before its distance, and all later ones knew the goal.
    """
    earliest = 0.0
    steps = []
    for distance in np.sort(problem.distances[problem.start, problem.candidates]):
        earliest = max(earliest + 1, distance)
        steps.append(earliest)
    first = float(np.mean(problem.found_return(np.array(steps))))
    return first + (problem.num_episodes - 1) * problem.known_episode


def best_plan(problem: HiddenGoal) -> np.ndarray:
    """[E, H] int64 cells of a Bayes-optimal plan; -1 where nothing in reach is left.

    Raises:
        ConfigurationError: there are too many states of one episode; or, where that does not
            settle it, of all.
    """
    plan = _plan_of_one_episode(problem) if problem.num_episodes > 1 else None
    if plan is None:
        plan = _follow(problem, _solve(problem, *_reachable(problem)))
    assert plan is not None  # any end was accepted
    return plan


def _plan_of_one_episode(problem: HiddenGoal) -> np.ndarray | None:
    """A plan that is optimal because no episode of it can be better; None where there is none."""
    single = dataclasses.replace(problem, num_episodes=1)
    search = _solve(single, *_reachable(single))
    first = _follow(single, search, lambda left: _way_through(problem, left) is not None)
    if first is None:
        return None
    second = _way_through(problem, np.setdiff1d(problem.candidates, first))
    assert second is not None  # as accepted
    rest = np.full((problem.num_episodes - 1, problem.episode_length), -1)
    rest[:1, : len(second)] = second
    return np.concatenate([first, rest])


def _way_through(problem: HiddenGoal, left: np.ndarray) -> np.ndarray | None:
    """Cells of a shortest way that passes the candidates left which an episode can reach."""
    distance = problem.distances
    left = left[distance[problem.start, left] <= problem.episode_length]
    way: list[int] = []
    at = problem.start
    for goal in left[np.argsort(distance[problem.start, left])]:
        if distance[problem.start, at] + distance[at, goal] > distance[problem.start, goal]:
            return None
        while at != goal:
            ways = problem.moves[at]
            at = int(ways[np.argmin(distance[ways, goal])])
            way.append(at)
    return np.array(way, np.int64)


@dataclasses.dataclass(frozen=True)
class _Layer:
    """The states before a step.

    Attributes:
        cell: [N].
        visited: [N] int64, a bit for each candidate.
        after: [A, N] the state in the next layer.
    """

    cell: np.ndarray
    visited: np.ndarray
    after: np.ndarray


def _reachable(problem: HiddenGoal) -> tuple[list[_Layer], np.ndarray]:
    """The layers of all E · H steps, and what was visited in the states [N] after the last."""
    num_cells, bits = len(problem.moves), _bits(problem)
    cell, visited = np.array([problem.start]), np.zeros(1, np.int64)
    layers: list[_Layer] = []
    for step in range(problem.num_episodes * problem.episode_length):
        entered = problem.moves[cell].T  # [A, N]
        marked = visited | bits[entered]
        if (step + 1) % problem.episode_length == 0:
            entered = np.full_like(entered, problem.start)
        states, after = np.unique(marked * num_cells + entered, return_inverse=True)
        layers.append(_Layer(cell, visited, after.reshape(entered.shape)))
        if sum(len(layer.cell) for layer in layers) + len(states) > MAX_STATES:
            raise ConfigurationError(
                f"the best search for {len(problem.candidates)} goals in {problem.num_episodes} "
                f"episodes of {problem.episode_length} steps has more than {MAX_STATES:,} states; "
                "take a smaller grid, or compare with the bound."
            )
        visited, cell = np.divmod(states, num_cells)
    return layers, visited


def _bits(problem: HiddenGoal) -> np.ndarray:
    """[C] int64: the bit of each candidate, 0 of other cells."""
    if len(problem.moves) << len(problem.candidates) >= 2**63:  # a state is one number
        raise ConfigurationError(
            f"the best search expects fewer goals, got {len(problem.candidates)} in "
            f"{len(problem.moves)} cells; take a smaller grid, or compare with the bound."
        )
    bits = np.zeros(len(problem.moves), np.int64)
    bits[problem.candidates] = 1 << np.arange(len(problem.candidates))
    return bits


@dataclasses.dataclass(frozen=True)
class _Solution:
    """Layers with the worth of every action in them.

    Attributes:
        layers: of the states.
        worth: of each layer, [A, N]: J after taking an action.
        final: [N] int64, what was visited at the end.
    """

    layers: list[_Layer]
    worth: list[np.ndarray]
    final: np.ndarray


def _solve(problem: HiddenGoal, layers: list[_Layer], final: np.ndarray) -> _Solution:
    """Backward induction."""
    share = 1 / len(problem.candidates)
    bits = _bits(problem)
    known = np.zeros(len(problem.moves))
    known[problem.candidates] = problem.known_returns
    following, worth = np.zeros(len(final)), []
    for number in reversed(range(len(layers))):
        layer = layers[number]
        episode, step = divmod(number, problem.episode_length)
        entered = problem.moves[layer.cell].T
        new = bits[entered] & ~layer.visited[None] != 0
        left = len(problem.candidates) - np.bitwise_count(layer.visited)[None] - new
        # The steps of the search are paid as they are taken: here what is left of the episode.
        rest = problem.episode_length - step
        found = problem.on_goal * (1 if problem.ends else rest)
        found = found + (problem.num_episodes - 1 - episode) * known[entered]
        gains = share * (np.where(new, found, 0.0) + problem.off_goal * left)
        worth.append(gains + following[layer.after])
        following = worth[-1].max(axis=0)
    return _Solution(layers, worth[::-1], final)


def _follow(
    problem: HiddenGoal,
    solution: _Solution,
    accept: Callable[[np.ndarray], bool] | None = None,
) -> np.ndarray | None:
    """[E, H] cells of an optimal plan; None where none leaves candidates [G'] that are accepted."""
    number = np.arange(len(problem.candidates))
    optimal = [worth >= worth.max(axis=0) - TOLERANCE for worth in solution.worth]
    reached = np.ones(1, bool)
    for layer, best in zip(solution.layers, optimal, strict=True):
        ahead = np.zeros(layer.after.max() + 1, bool)
        ahead[layer.after[best & reached]] = True
        reached = ahead
    good = np.zeros(len(solution.final), bool)
    for state in np.flatnonzero(reached):
        left = problem.candidates[solution.final[state] >> number & 1 == 0]
        good[state] = accept is None or accept(left)
    ways = []
    for layer, best in zip(reversed(solution.layers), reversed(optimal), strict=True):
        ways.append(best & good[layer.after])
        good = ways[-1].any(axis=0)
    if not good[0]:
        return None
    state, cells = 0, []
    for layer, way in zip(solution.layers, reversed(ways), strict=True):
        action = np.argmax(way[:, state])
        cells.append(problem.moves[layer.cell[state], action])
        state = layer.after[action, state]
    return np.reshape(cells, (problem.num_episodes, problem.episode_length))
