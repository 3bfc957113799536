"""A task distribution p(M): an environment and a sampler of its tasks."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from metarl_jax.checks import check_whole_number
from metarl_jax.tasks.measures import Measure
from metarl_jax.tasks.scene import Scene
from metarl_jax.types import Array, ConfigurationError, Key, PyTree, Task

SpaceMethod = Literal["action_space", "observation_space"]


class Environment(Protocol):
    """A gymnax 1.x environment, of which these four methods are used.

    The environment may terminate an episode; it never truncates one (the meta-episode does), and
    `reset_env` samples nothing that defines the MDP: whatever is hidden lives in `task`.
    """

    def reset_env(self, key: Key, task: Task) -> tuple[Array, PyTree]:
        """Returns (first observation [O] float32, state)."""
        ...

    def step_env(
        self, key: Key, state: PyTree, action: Array, task: Task
    ) -> tuple[Array, PyTree, Array, Array, Any]:
        """Returns (observation [O], state, reward float32, terminated bool, info)."""
        ...

    def action_space(self, task: Task) -> Any:
        """A discrete or a box space."""
        ...

    def observation_space(self, task: Task) -> Any:
        """A box space of rank 1."""
        ...


@runtime_checkable
class DiscreteSpace(Protocol):
    """Actions 0 … n-1; gymnax's and gymnasium's `Discrete` are such."""

    n: Any


@runtime_checkable
class BoxSpace(Protocol):
    """Vectors between `low` and `high`; gymnax's and gymnasium's `Box` are such."""

    low: Any
    high: Any
    shape: Any


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

    @property
    def max_steps(self) -> int:
        """E·H, the most steps a meta-episode of E episodes can take."""
        return self.num_episodes * self.episode_length


@dataclasses.dataclass(frozen=True)
class Specification:
    """The static shapes of a task distribution, read without running it.

    Attributes:
        observation_size: O.
        num_actions: n for discrete actions, None for continuous ones.
        action_size: A for continuous actions, None for discrete ones.
        context_size: C, length of `describe(task)`.
    """

    observation_size: int
    num_actions: int | None
    action_size: int | None
    context_size: int


def specification(tasks: TaskDistribution) -> Specification:
    """Reads shapes off the spaces and one abstract task; nothing is compiled.

    Raises:
        ConfigurationError: a space or the description has a form that no policy here can use.
    """
    task = jax.eval_shape(tasks.sample, jax.eval_shape(lambda: jax.random.key(0)))
    observation = jax.eval_shape(
        lambda key, task: tasks.environment.reset_env(key, task)[0],
        jax.eval_shape(lambda: jax.random.key(0)),
        task,
    )
    observation_size = _vector_size(tasks, "an observation", "[O]", observation)
    context_size = _vector_size(
        tasks, "describe(task)", "[C]", jax.eval_shape(tasks.describe, task)
    )
    num_actions, action_size = _action_sizes(tasks, task)
    return Specification(observation_size, num_actions, action_size, context_size)


def space_of(tasks: TaskDistribution, method: SpaceMethod, task: Task) -> Any:
    """A space of one abstract task, whose shape can be read; its bounds may differ between tasks.

    Args:
        tasks: of which the environment is asked.
        method: for which of its two spaces.
        task: its shapes.

    Raises:
        ConfigurationError: the method cannot be traced.
    """
    found: list[Any] = []
    try:
        space: Callable[[Task], Any] = getattr(tasks.environment, method)
        jax.eval_shape(lambda task: found.append(space(task)), task)
    except Exception as error:  # whatever the family's own code raises
        raise ConfigurationError(
            f"{tasks.name}: expected {method}(task) to be traceable by jax, got "
            f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')} Make the space's "
            "bounds with jax.numpy, or the same for every task."
        ) from error
    return found[0]


def _vector_size(tasks: TaskDistribution, what: str, form: str, found: Any) -> int:
    """The length of a vector of numbers; refuses everything else."""
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != 1 or jnp.issubdtype(found.dtype, jax.dtypes.extended):
        got = type(found).__name__ if shape is None else f"{found.dtype}{list(shape)}"
        raise ConfigurationError(
            f"{tasks.name}: expected {what} to be a vector {form} of numbers, got {got}; put all "
            "its parts in one vector, with jnp.concatenate."
        )
    return shape[0]


def is_discrete(space: Any) -> bool:
    """Whether actions are the whole numbers 0 … n-1 (not so of gymnasium's `MultiBinary`)."""
    scalar = getattr(space, "shape", ()) in ((), None)
    return isinstance(space, DiscreteSpace) and scalar and getattr(space, "start", 0) == 0


def _action_sizes(tasks: TaskDistribution, task: Task) -> tuple[int | None, int | None]:
    space = space_of(tasks, "action_space", task)
    if is_discrete(space):
        return _fixed_size(tasks, space.n), None
    if isinstance(space, BoxSpace) and len(space.shape) == 1:
        return None, _fixed_size(tasks, space.shape[0])
    raise ConfigurationError(
        f"{tasks.name}: actions must be a Discrete space from 0 or a Box of rank 1, got {space!r}; "
        "wrap the environment so that its action_space is one of these."
    )


def _fixed_size(tasks: TaskDistribution, size: Any) -> int:
    """How many actions there are, or numbers in one."""
    try:
        number = int(size)
    except jax.errors.JAXTypeError as error:
        raise ConfigurationError(
            f"{tasks.name}: expected an action_space of the same size in every task, got one that "
            "depends on the task; give all of them the largest."
        ) from error
    if number < 1:
        raise ConfigurationError(
            f"{tasks.name}: expected an action_space of a size of at least 1, got {number}; give "
            "the agent something to do."
        )
    return number
