"""How a task family is learned, as one tree: what a choice does not have cannot be set.

Each branch lies beside what it configures: memories in `memory.settings`, policies in
`policy.settings`, algorithms, the optimizer and the discounts in `learning.settings`.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from metarl_jax.checks import bounded, check_fields, require_seed
from metarl_jax.experiment.kinds import kind_of
from metarl_jax.learning.schedules import (
    NAMES,
    Hyperparameters,
    Knots,
    check_schedule,
    hyperparameters,
)
from metarl_jax.learning.settings import (
    A2C,
    Adam,
    AlgorithmSettings,
    Discounting,
    OptimizerSettings,
)
from metarl_jax.memory.settings import GRU, MemorySettings
from metarl_jax.policy.settings import (
    Adaptive,
    EncoderSettings,
    Flat,
    Memoryless,
    PolicySettings,
)
from metarl_jax.types import ConfigurationError

SCHEDULED = ("optimizer", "discounting", "algorithm")
"""The branches that hold hyper-parameters."""

Node = TypeVar("Node")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    """How long training takes, and of how many tasks and agents.

    Attributes:
        total_steps: Environment steps to train for, rounded up to whole chunks of updates.
        seed: Seed of everything random.
        num_tasks: Tasks in the batch of an update.
        task_chunk: Most tasks that a device takes at a time; the same gradient in less memory.
        meta_episode_steps: Train on meta-episodes of so many steps; evaluation keeps its episodes.
        num_seeds: Agents trained side by side in one program, with seeds seed, seed + 1, ….
        schedule_steps: Steps over which the schedules run, then hold; all by default.
    """

    total_steps: int = bounded(10_000_000, most=10**15)
    seed: int = bounded(0, least=0, most=2**32 - 1)
    num_tasks: int = 256
    task_chunk: int | None = None
    meta_episode_steps: int | None = None
    num_seeds: int = 1
    schedule_steps: int | None = bounded(None, most=10**15)

    def __post_init__(self) -> None:
        check_fields(self)
        require_seed(self.seed + self.num_seeds - 1)  # the last agent's


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Evaluations on meta-test tasks.

    Attributes:
        num_evaluations: Evaluations during training, at least.
        evaluation_tasks: Meta-test tasks of each of them.
        final_evaluation_tasks: Meta-test tasks of the evaluation at the end.
    """

    num_evaluations: int = bounded(20, most=10**6)
    evaluation_tasks: int = bounded(256, most=10**7)
    final_evaluation_tasks: int = bounded(10_000, most=10**7)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a task family is learned.

    Attributes:
        policy: What the policy is told, and the layers around its memory.
        encoder: What turns observations into vectors.
        memory: The sequence model that reads every transition; None for the memoryless policy.
        algorithm: The algorithm, its structure and the weights of its losses.
        objective: A loss of your own in place of the algorithm's; None for that.
        optimizer: The optimizer and its step size.
        discounting: What later rewards count for.
        budget: Steps, tasks and seeds.
        evaluation: Evaluations on meta-test tasks.
        own_hyperparameters: Schedules that an objective or an optimizer of your own reads, by name.

    Raises:
        ConfigurationError: a value is out of its range, or a policy and a memory do not go
            together.
    """

    policy: PolicySettings = Adaptive()
    encoder: EncoderSettings = Flat()
    memory: MemorySettings | None = GRU()
    algorithm: AlgorithmSettings = A2C()
    objective: Any = None
    optimizer: OptimizerSettings = Adam()
    discounting: Discounting = Discounting()
    budget: Budget = Budget()
    evaluation: EvaluationSettings = EvaluationSettings()
    own_hyperparameters: Mapping[str, Knots] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if (self.memory is None) != isinstance(self.policy, Memoryless):
            raise ConfigurationError(
                f"expected a memory with every policy but the memoryless one, got the policy "
                f"{self.policy.name} with {self.memory_name or 'no memory'}; change one of the two."
            )
        if taken := sorted(set(NAMES) & set(self.own_hyperparameters)):
            raise ConfigurationError(
                f"expected hyper-parameters of your own under other names than ours, got "
                f"{', '.join(taken)}; set it where the algorithm or the optimizer has it."
            )
        for name, knots in self.schedules().items():
            if callable(knots):
                raise ConfigurationError(
                    f"expected numbers for {name}, which are written to config.json, got a "
                    "function; give its values, as in (1e-3, 1e-4)."
                )
            check_schedule(name, knots)

    @property
    def memory_name(self) -> str:
        """The memory's name; "" where there is none."""
        return "" if self.memory is None else self.memory.name.rpartition(":")[2]

    def schedules(self) -> dict[str, Knots]:
        """Every hyper-parameter that is read under these settings, by its name."""
        found = {}
        for branch in map(partial(getattr, self), SCHEDULED):
            values = {
                field.name: getattr(branch, field.name) for field in dataclasses.fields(branch)
            }
            found |= {n: x for n, x in values.items() if n in NAMES and x is not None}
        return found | dict(self.own_hyperparameters)

    def hyperparameters(self) -> Hyperparameters:
        """The hyper-parameters as schedules; those that nothing reads have their defaults."""
        return hyperparameters(**self.schedules())

    def with_schedules(self, values: Mapping[str, float]) -> "Settings":
        """These settings with some hyper-parameters constant, by their names.

        Args:
            values: of names that `schedules` has.
        """
        knots = {name: (x,) for name, x in values.items()}
        branches: dict[str, Any] = {}
        for branch in SCHEDULED:
            old: Any = getattr(self, branch)
            new = {n: x for n, x in knots.items() if n in NAMES and hasattr(old, n)}
            branches[branch] = dataclasses.replace(old, **new)
        own = {n: knots.get(n, x) for n, x in self.own_hyperparameters.items()}
        return dataclasses.replace(self, **branches, own_hyperparameters=own)

    def has(self, path: str) -> bool:
        """Whether these settings have such a path."""
        node: Any = self
        for name in path.split("."):
            if name not in getattr(node, "__dataclass_fields__", {}):
                return False
            node = getattr(node, name)
        return True

    def change(self, changes: Mapping[str, Any]) -> "Settings":
        """These settings with some changed.

        Args:
            changes: values by their path, such as `{"optimizer.learning_rate": (1e-3, 1e-4)}`.

        Raises:
            ConfigurationError: these settings have no such path.
        """
        settings = self
        for path, value in changes.items():
            settings = _set(settings, path.split("."), value, path)
        return settings

    def choose(self, branch: str, name: str) -> "Settings":
        """These settings with another kind of a branch, by its name.

        A value that both kinds have and that differs from its default is carried over.

        Args:
            branch: "policy", "encoder", "memory", "algorithm", "objective" or "optimizer".
            name: of the kind; see `metarl_jax.experiment.kinds`.

        Raises:
            ConfigurationError: there is no such kind.
        """
        old: Any = getattr(self, branch)
        kind = kind_of(branch, name)
        if type(old) is kind:
            return self
        new: Any = kind() if old is None else _carry_over(old, kind)
        if kind is Memoryless:
            return dataclasses.replace(self, policy=new, memory=None)
        if branch == "policy" and self.memory is None:
            return dataclasses.replace(self, policy=new, memory=GRU())
        return dataclasses.replace(self, **{branch: new})


def _carry_over(old: Any, kind: type[Node]) -> Node:
    changed = {
        field.name: getattr(old, field.name)
        for field in dataclasses.fields(old)
        if getattr(old, field.name) != field.default
    }
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: x for name, x in changed.items() if name in names})


def _set(node: Any, path: list[str], value: Any, whole: str) -> Any:
    """A tree with the value at the path in place of the old one."""
    has = getattr(node, "__dataclass_fields__", {})
    if path[0] not in has:
        raise ConfigurationError(
            f"expected a setting that there is, got {whole!r}; "
            f"{type(node).__name__} has {', '.join(has) or 'none'}."
        )
    if path[1:]:
        branch: Any = getattr(node, path[0])
        value = _set(branch, path[1:], value, whole)
    return dataclasses.replace(node, **{path[0]: value})
