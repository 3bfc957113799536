"""A task distribution p(M): an environment and a sampler of its tasks."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from metarl_jax.checks import check_whole_number
from metarl_jax.tasks.measures import Measure
from metarl_jax.tasks.scene import Scene
from metarl_jax.tasks.specification import Specification, read_specification
from metarl_jax.types import Array, ConfigurationError, Key, PyTree, Task


class Environment(Protocol):
    """A gymnax 1.x environment, of which these four methods are used.

    The environment may terminate an episode. It never truncates one (the meta-episode does), and
    `reset_env` samples nothing that defines the MDP: whatever is hidden lives in `task`.

    Numbers may have any dtype: `metarl_jax.tasks.binding` casts what has one meaning. Spaces may be
    gymnax's, gymnasium's or those of `metarl_jax.tasks.spaces`, and must not differ between tasks.
    An environment may also have a method `action_mask(state, task)`, which returns a bool for each
    choice, False for the actions that are not allowed now.
    """

    def reset_env(self, key: Key, task: Task) -> tuple[PyTree, PyTree]:
        """Returns (first observation, state)."""
        ...

    def step_env(
        self, key: Key, state: PyTree, action: PyTree, task: Task
    ) -> tuple[PyTree, PyTree, Array, Array, Any]:
        """Returns (observation, state, reward [], terminated [], info)."""
        ...

    def action_space(self, task: Task) -> Any:
        """The actions that `step_env` takes, in the environment's own units."""
        ...

    def observation_space(self, task: Task) -> Any:
        """The observations."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class References:
    """What a learned policy is read against: expected undiscounted returns, None where unknown.

    Attributes:
        optimal_total: Bayes-optimal return of the whole meta-episode.
        optimal_episodes: the same, per episode.
        memoryless_total: the best return where nothing crosses an episode's end.
        oracle_total: the best return where the task is told.
        random_total: the return of actions that are all as probable.
        oracle_return: `task -> []`, what that task is worth in a whole meta-episode to who
            knows it; its mean over p(M) is `oracle_total`.
        return_upper_bound: where the optimum is unknown, what no policy's total return exceeds.
        agents: classical agents by name; each call makes a `Policy` that nobody trains.
    """

    optimal_total: float | None = None
    optimal_episodes: tuple[float, ...] | None = None
    memoryless_total: float | None = None
    oracle_total: float | None = None
    random_total: float | None = None
    oracle_return: Callable[[Task], Array] | None = None
    return_upper_bound: float | None = None
    agents: Mapping[str, Callable[[], Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDistribution:
    """p(M), and what the framework must know of a meta-episode before it compiles one.

    Attributes:
        name: the family's name.
        environment: one task's dynamics, batched by `vmap`.
        sample: `key -> task`, one independent draw from p(M).
        describe: `task -> [C]` float32: what the contextual policy is told.
        episode_length: H, steps after which an episode is truncated.
        num_episodes: E, episodes in a meta-episode.
        ends_early: whether an episode can terminate before H steps.
        all_tasks: for a small finite family, all its tasks stacked on axis 0.
        splits: named samplers of out-of-distribution tasks.
        references: computes what is known of it, when asked: some optima take seconds.
        scene: `(task, states) -> Scene` for one episode; `states` are the h + 1 environment states
            of the episode stacked on axis 0, as numpy arrays, and `task` likewise.
        measures: what an evaluation tells of a policy here besides its returns.
    """

    name: str
    environment: Environment
    sample: Callable[[Key], Task]
    describe: Callable[[Task], Array]
    episode_length: int
    num_episodes: int
    ends_early: bool
    all_tasks: Callable[[], Task] | None = None
    splits: Mapping[str, Callable[[Key], Task]] = dataclasses.field(default_factory=dict)
    references: Callable[[], References] = References
    scene: Callable[[Task, PyTree], Scene] | None = None
    measures: tuple[Measure, ...] = ()

    def __post_init__(self) -> None:
        if not callable(self.references):
            raise ConfigurationError(
                f"{self.name}: references must be a function () -> References, got "
                f"{self.references!r}; write lambda: before it."
            )
        for field in ("episode_length", "num_episodes"):
            check_whole_number(self.name, field, getattr(self, field), at_least=1)

    @functools.cached_property
    def specification(self) -> Specification:
        """The spaces of observations and actions, read from one sampled task.

        Raises:
            ConfigurationError: a space or the description has a form that no policy here can use.
        """
        return read_specification(self.name, self.environment, self.sample, self.describe)

    @property
    def max_steps(self) -> int:
        """E·H, the most steps a meta-episode of E episodes can take."""
        return self.num_episodes * self.episode_length
