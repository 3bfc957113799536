"""How a task family is learned, as one tree: what a choice does not have cannot be set.

Each branch lies beside what it configures: memories in `memory.settings`, policies in
`policy.settings`, algorithms, the optimizer and the discounts in `learning.settings`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from metarl_jax.checks import bounded, check_fields, require_seed
from metarl_jax.learning.schedules import Hyperparameters, Knots, check_schedule, hyperparameters
from metarl_jax.learning.settings import A2C, PPO, Adam, AlgorithmSettings, Discounting, Reinforce
from metarl_jax.memory.settings import (
    GRU,
    LSTM,
    SNAIL,
    ContextSet,
    LinearRecurrence,
    MemorySettings,
    Transformer,
)
from metarl_jax.policy.settings import Adaptive, Contextual, Memoryless, PolicySettings
from metarl_jax.types import ConfigurationError

POLICIES = {kind.name: kind for kind in (Adaptive, Memoryless, Contextual)}
MEMORIES = {
    kind.name: kind for kind in (GRU, LSTM, LinearRecurrence, ContextSet, SNAIL, Transformer)
}
ALGORITHMS = {kind.name: kind for kind in (A2C, PPO, Reinforce)}
CHOICES: Mapping[str, Mapping[str, type]] = {
    "policy": POLICIES,
    "memory": MEMORIES,
    "algorithm": ALGORITHMS,
}
"""The branches that are one of several kinds, and those kinds by name."""

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
    """

    total_steps: int = bounded(10_000_000, most=10**15)
    seed: int = bounded(0, least=0, most=2**32 - 1)
    num_tasks: int = 256
    task_chunk: int | None = None
    meta_episode_steps: int | None = None
    num_seeds: int = 1

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
        memory: The sequence model that reads every transition; None for the memoryless policy.
        algorithm: The algorithm, its structure and the weights of its losses.
        optimizer: The optimizer and its step size.
        discounting: What later rewards count for.
        budget: Steps, tasks and seeds.
        evaluation: Evaluations on meta-test tasks.

    Raises:
        ConfigurationError: a value is out of its range, or a policy and a memory do not go
            together.
    """

    policy: PolicySettings = Adaptive()
    memory: MemorySettings | None = GRU()
    algorithm: AlgorithmSettings = A2C()
    optimizer: Adam = Adam()
    discounting: Discounting = Discounting()
    budget: Budget = Budget()
    evaluation: EvaluationSettings = EvaluationSettings()

    def __post_init__(self) -> None:
        if (self.memory is None) != isinstance(self.policy, Memoryless):
            raise ConfigurationError(
                f"expected a memory with every policy but the memoryless one, got the policy "
                f"{self.policy.name} with {self.memory_name or 'no memory'}; change one of the two."
            )
        for name, knots in self.schedules().items():
            check_schedule(name, knots)

    @property
    def memory_name(self) -> str:
        """The memory's name; "" where there is none."""
        return "" if self.memory is None else self.memory.name

    def schedules(self) -> dict[str, Knots]:
        """Every hyper-parameter that is read under these settings, by its name."""
        names = {field.name for field in dataclasses.fields(Hyperparameters)}
        found = {}
        for branch in (self.optimizer, self.discounting, self.algorithm):
            values = {
                field.name: getattr(branch, field.name) for field in dataclasses.fields(branch)
            }
            found |= {n: x for n, x in values.items() if n in names and x is not None}
        return found

    def hyperparameters(self) -> Hyperparameters:
        """The hyper-parameters as schedules; those that nothing reads have their defaults."""
        return hyperparameters(**self.schedules())

    def with_schedules(self, values: Mapping[str, float]) -> "Settings":
        """These settings with some hyper-parameters constant, by their names.

        Args:
            values: of names that `schedules` has.
        """
        branches: dict[str, Any] = {}
        for branch in ("optimizer", "discounting", "algorithm"):
            old: Any = getattr(self, branch)
            new = {n: (x,) for n, x in values.items() if hasattr(old, n)}
            branches[branch] = dataclasses.replace(old, **new)
        return dataclasses.replace(self, **branches)

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
        """These settings with another policy, memory or algorithm, by its name.

        What both kinds have, and what differs from its default, is carried over.

        Args:
            branch: "policy", "memory" or "algorithm".
            name: of the kind.
        """
        old: Any = getattr(self, branch)
        kind = CHOICES[branch][name]
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
