"""What every algorithm shares: the train state, and the records an update is made of."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.checks import require_positive
from metarl_jax.learning.losses import Loss
from metarl_jax.learning.optimizers import Optimizer
from metarl_jax.learning.returns import DiscountMode
from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.parallel.sharding import DataParallel, check_divides
from metarl_jax.policy.normalization import RunningStatistics
from metarl_jax.policy.policy import Policy, PolicyParams
from metarl_jax.policy.task_critic import NAME as TASK_CRITIC
from metarl_jax.rollout import Actors, Returns
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.trees import first_difference, structure
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

Objective = Callable[[Hyperparameters], Loss]
"""This update's hyper-parameters, as scalars, to its loss."""


class LearnerState(struct.PyTreeNode):
    """What an update changes."""

    params: PolicyParams
    loss_params: PyTree
    optimizer_state: PyTree
    advantage: RunningStatistics  # of the advantage, which is divided by its scale


class TrainState(struct.PyTreeNode):
    """All there is to a run: saved whole, it continues bit for bit."""

    learner: LearnerState
    hyperparameters: Hyperparameters  # knots [K]
    num_updates: Array  # [] float32, over which the schedules run
    update: Array  # [] int32, updates done
    skipped: Array  # [] int32, updates skipped because they were not finite
    skipped_in_a_row: Array  # [] int32
    key: Key


class Algorithm(NamedTuple):
    """A learning algorithm.

    Attributes:
        init: (key, num_updates) -> TrainState; the schedules run over so many updates, whose number
            may be left out where every hyper-parameter is constant.
        update: TrainState -> (TrainState, metrics); metrics are float32 scalars by name.
        steps_per_update: environment steps one update takes, masked ones counted.
        find_nonfinite: TrainState -> which numbers of its next update are not finite, by name:
            those of the rollout by task, [B] bool, and each leaf of the learner after it, [] bool.
            Called when updates are skipped; by default it finds nothing.
        chunk_sizes: how many tasks of a gradient a device could take at a time, ascending; the last
            is what it does take. Empty where that is not known.
        name: of the algorithm.
        spec: what it learns; None where that is not one agent.
    """

    init: Callable[..., TrainState]
    update: Callable[[TrainState], tuple[TrainState, dict[str, Array]]]
    steps_per_update: int
    find_nonfinite: Callable[[TrainState], dict[str, Array]] = lambda state: {}
    chunk_sizes: tuple[int, ...] = ()
    name: str = ""
    spec: "AlgorithmSpec | None" = None


def initial_shapes(algorithm: Algorithm, key: Key, num_updates: int | None = None) -> TrainState:
    """Shapes, dtypes and shardings of a train state; nothing is computed.

    Args:
        algorithm: whose `init` is read.
        key: as `init` takes it.
        num_updates: likewise.
    """
    init: Any = algorithm.init
    compiled = init if hasattr(init, "eval_shape") else jax.jit(init, static_argnums=1)
    return compiled.eval_shape(key, num_updates)


def with_params(state: TrainState, params: PolicyParams) -> TrainState:
    """A train state with other parameters of the policy, laid out as its own: a warm start.

    Args:
        state: before its first update.
        params: weights and statistics of a policy of the same architecture.

    Raises:
        ConfigurationError: as `shared_params`.
    """
    own = state.learner.params
    shared = shared_params(own, params)
    place = lambda new, old: jax.device_put(jnp.copy(new), old.sharding)
    weights = own.weights | {
        name: jax.tree.map(place, x, own.weights[name]) for name, x in shared.weights.items()
    }
    statistics = jax.tree.map(place, shared.statistics, own.statistics)
    learner = state.learner.replace(params=PolicyParams(weights, statistics))
    return state.replace(learner=learner)


def shared_params(own: PolicyParams, params: PolicyParams) -> PolicyParams:
    """The parameters that a policy can take over from another one.

    A privileged critic that one of the two lacks is not among them.

    Args:
        own: the policy's, or their shapes.
        params: the other's.

    Raises:
        ConfigurationError: a leaf is missing or has another form.
    """
    names = [name for name in own.weights if name != TASK_CRITIC or name in params.weights]
    shared = PolicyParams({name: params.weights.get(name) for name in names}, params.statistics)
    expected = PolicyParams({name: own.weights[name] for name in names}, own.statistics)
    if difference := first_difference(structure(expected), structure(shared)):
        path, form, found = difference
        raise ConfigurationError(
            f"expected parameters of this policy to begin with, got others: at {path} expected "
            f"{form}, got {found}; begin with those of a policy of the same sizes."
        )
    return shared


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpdateConfig:
    """The static structure of an update.

    Attributes:
        num_tasks: B, tasks in the batch, at least 1.
        discount_mode: `meta`, `episodic` or `dual`; see `returns.discounts`.
        meta_episode_steps: None, or the step budget that ends a meta-episode.
        normalize_observations: whether observations are normalised by their running statistics.
        num_devices: over how many devices of all processes the tasks are split, evenly.
        task_chunk: None, or the most tasks that a device takes at a time. The gradient of more is
            the mean of those of their parts: the same, in less memory.
    """

    num_tasks: int = 256
    discount_mode: DiscountMode = "meta"
    meta_episode_steps: int | None = None
    normalize_observations: bool = False
    num_devices: int = 1
    task_chunk: int | None = None

    def __post_init__(self) -> None:
        require_positive("num_tasks", self.num_tasks)
        check_divides(self.num_tasks, (self.devices.count, "devices"))
        if self.task_chunk is not None:
            require_positive("task_chunk", self.task_chunk)

    @property
    def devices(self) -> DataParallel:
        """The devices the tasks are split over."""
        return DataParallel(self.num_devices)

    def chunk_sizes(self, num_tasks: int) -> tuple[int, ...]:
        """The sizes of equal parts of so many tasks that task_chunk allows, ascending."""
        most = min(self.task_chunk or num_tasks, num_tasks)
        return tuple(size for size in range(1, most + 1) if num_tasks % size == 0)

    def num_parts(self, num_tasks: int) -> int:
        """Into how many equal parts a device takes so many tasks: the fewest that are allowed.

        Raises:
            ConfigurationError: parts of not even half of task_chunk, which would be slow.
        """
        size, most = self.chunk_sizes(num_tasks)[-1], min(self.task_chunk or num_tasks, num_tasks)
        if 2 * size < most:
            larger = next(n for n in range(most, num_tasks + 1) if num_tasks % n == 0)
            raise ConfigurationError(
                f"expected a task_chunk near which the {num_tasks} tasks of a gradient on a device "
                f"divide evenly, got {most}; {larger} or {size} would."
            )
        return num_tasks // size


class AlgorithmSpec(NamedTuple):
    """What is learned, fixed before compilation."""

    policy: Policy
    meta_episode: MetaEpisode
    config: UpdateConfig
    objective: Objective
    optimizer: Optimizer
    baseline: bool  # whether values are subtracted (else they are 0 and λ is 1)
    name: str = ""  # the algorithm's


class StepSums(struct.PyTreeNode):
    """Metrics summed over valid steps: the sums of parts of a batch add up to its own."""

    sums: dict[str, Array]  # [] float32 each
    count: Array  # [] float32, valid steps

    def means(self) -> dict[str, Array]:
        """Each metric's mean over valid steps."""
        return {name: x / jnp.maximum(self.count, 1.0) for name, x in self.sums.items()}


class Measurements(struct.PyTreeNode):
    """What `learn` tells of an update, of this device's tasks."""

    steps: StepSums
    gradient_norm: Array  # [] float32, mean over the gradient steps
    returns: Returns


LearningRule = Callable[
    [LearnerState, Hyperparameters, Actors, Key], tuple[LearnerState, Measurements]
]
"""(learner, h, actors at a meta-episode's start, key) -> (learner, measurements).

On each device with actors of its own, and the same learner and key.
"""
