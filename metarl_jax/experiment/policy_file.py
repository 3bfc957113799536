"""policy.json: how a run's policy was put together, so that an agent can be loaded from its folder.

format         1
policy         adaptive, contextual or memoryless
architecture   the arguments of `Architecture`
encoder        [name, arguments] of the function that made the encoder; as for the memory. A file
               without one is of the flat encoder
memory         [name, arguments] of the function that made it: one of `metarl_jax.memory`, or
               FILE.py:NAME or MODULE:NAME; null for a memory that only your own code knows
agents         agents of the run; of more than one, parameters have a leading axis
task_critic    whether a privileged critic was trained beside the policy
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from metarl_jax import memory as memories
from metarl_jax.checkpoint.checkpoint import Restored, restore
from metarl_jax.experiment.code import load_object
from metarl_jax.experiment.kinds import require_encoder, require_memory
from metarl_jax.experiment.run_config import require_code_elsewhere
from metarl_jax.files import (
    json_text,
    read_object,
    read_with_format,
    require_own,
    write_whole,
)
from metarl_jax.learning.train_state import Algorithm, initial_shapes
from metarl_jax.memory.base import Memory
from metarl_jax.policy.encoder import MakeEncoder, cnn, flat, grid
from metarl_jax.policy.policy import (
    Architecture,
    Policy,
    adaptive_policy,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.policy.task_critic import NAME as TASK_CRITIC
from metarl_jax.policy.task_critic import with_task_critic
from metarl_jax.tasks.specification import Specification
from metarl_jax.types import ConfigurationError, Key, PyTree

MadeBy = tuple[str, tuple[tuple[str, Any], ...]]
"""See `Memory.made_by`."""
FLAT: MadeBy = ("flat", ())
NAME = "policy.json"
FORMAT = 1
CONSTRUCTORS = {
    name: getattr(memories, name)
    for name in (
        *("context_set", "gru", "linear_recurrence", "lstm"),
        *("memoryless", "snail", "stacked", "transformer"),
    )
}


ENCODERS = {"flat": flat, "cnn": cnn, "grid": grid}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolicyRecord:
    """How a policy was put together.

    Attributes:
        policy: the policy's name.
        architecture: of the layers around the memory.
        memory: the name of the function that made the memory, and its arguments; None where only
            your own code knows.
        encoder: likewise.
        agents: agents of the run.
        task_critic: whether a privileged critic was trained beside the policy.
    """

    policy: str
    architecture: Architecture
    memory: MadeBy | None
    encoder: MadeBy | None = FLAT
    agents: int = 1
    task_critic: bool = False

    @classmethod
    def of(cls, policy: Policy, algorithm: Algorithm, key: Key) -> "PolicyRecord":
        """The record of the policy that an algorithm trains.

        Args:
            policy: of `metarl_jax.policy`.
            algorithm: of one agent or of several.
            key: as its `init` takes it: [], or [S] for S agents.

        Raises:
            ConfigurationError: it is no policy of `metarl_jax.policy`.
        """
        if policy.architecture is None:
            raise ConfigurationError(
                f"expected a policy of metarl_jax.policy, got {policy.name!r}, which is made "
                "otherwise; use adaptive_policy, contextual_policy or memoryless_policy."
            )
        weights = initial_shapes(algorithm, key, 1).learner.params.weights
        return cls(
            policy=policy.name,
            architecture=policy.architecture,
            memory=policy.memory_made_by if _is_known(policy.memory_made_by) else None,
            encoder=policy.encoder_made_by,
            agents=key.shape[0] if key.shape else 1,
            task_critic=TASK_CRITIC in weights,
        )

    def build(self, specification: Specification, folder: Path) -> Policy:
        """The policy.

        Args:
            specification: of the environments it acts in.
            folder: the run's, from which no code is taken.

        Raises:
            ConfigurationError: the memory is not to be found.
        """
        architecture = self.architecture
        if jax.default_backend() == "cpu":  # trained in bf16 elsewhere, it acts in f32 here
            architecture = dataclasses.replace(architecture, precision="f32")
        encoder = _remake_encoder(_known("encoder", self.encoder, folder), folder)
        if self.policy == "memoryless":
            return memoryless_policy(specification, architecture, encoder)
        memory = _remake(_known("memory", self.memory, folder), folder)
        make = contextual_policy if self.policy == "contextual" else adaptive_policy
        return make(specification, memory, architecture, encoder)

    def params_shapes(self, policy: Policy, specification: Specification) -> PyTree:
        """Shapes of the parameters in the run's checkpoints.

        Args:
            policy: that is built from this record.
            specification: of its environments.
        """
        trained = with_task_critic(policy, specification) if self.task_critic else policy
        shapes: Any = jax.eval_shape(trained.init, jax.eval_shape(lambda: jax.random.key(0)))
        if self.agents == 1:
            return shapes
        stack = lambda x: jax.ShapeDtypeStruct((self.agents, *x.shape), x.dtype)
        return jax.tree.map(stack, shapes)


def write_policy_record(folder: Path, record: PolicyRecord) -> None:
    """Writes policy.json.

    Raises:
        OSError: the folder is full or not writable.
    """
    memory = None if record.memory is None else _to_json(record.memory)
    encoder = None if record.encoder is None else _to_json(record.encoder)
    raw = dataclasses.asdict(record) | {"memory": memory, "encoder": encoder}
    write_whole(folder / NAME, json_text({"format": FORMAT} | raw))


def load_policy_record(folder: Path) -> PolicyRecord:
    """Reads policy.json.

    Raises:
        ConfigurationError: there is none, as in the folders of older versions, or it is damaged.
    """
    where = folder / NAME
    read_with_format(where, (FORMAT,))
    raw = read_object(where)
    try:
        architecture = dict(raw["architecture"])
        architecture["head_sizes"] = tuple(architecture["head_sizes"])
        return PolicyRecord(
            policy=str(raw["policy"]),
            architecture=Architecture(**architecture),
            memory=None if raw["memory"] is None else _from_json(raw["memory"]),
            encoder=None if raw.get("encoder", 0) is None else _from_json(raw.get("encoder", FLAT)),
            agents=int(raw["agents"]),
            task_critic=bool(raw["task_critic"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{where}: expected a policy's record, got: {error}") from error


def load_params(
    folder: Path,
    record: PolicyRecord,
    policy: Policy,
    specification: Specification,
    step: int | None = None,
) -> Restored:
    """The parameters of a policy in a run's checkpoint; nothing else of it is read.

    Args:
        folder: the run's.
        record: of its policy.
        policy: that the record builds.
        specification: of its environments.
        step: the update of the checkpoint; None for the newest good one.

    Raises:
        ConfigurationError: there is none that can be used.
    """
    require_own(folder / "checkpoints")
    shapes = record.params_shapes(policy, specification)
    return restore(folder / "checkpoints", shapes, step, within="learner.params")


def _is_known(made_by: MadeBy | None) -> bool:
    """Whether a memory, and every memory it is made of, knows how it was made."""
    if made_by is None:
        return False
    return all(_is_known(x.made_by) for _, x in made_by[1] if isinstance(x, Memory))


def _to_json(made_by: MadeBy) -> list[Any]:
    name, arguments = made_by
    nested = {
        n: _to_json(x.made_by) if isinstance(x, Memory) and x.made_by else x for n, x in arguments
    }
    return [name, nested]


def _from_json(found: Any) -> MadeBy:
    name, arguments = found
    return str(name), tuple(dict(arguments).items())


def _remake(made_by: MadeBy, folder: Path) -> Memory:
    name, arguments = made_by
    if name not in CONSTRUCTORS:
        require_code_elsewhere(name, folder)
    make = CONSTRUCTORS.get(name) or load_object(name)
    require_memory(name, make)
    nested = {n: _remake(_from_json(x), folder) if n == "memory" else x for n, x in arguments}
    return make if isinstance(make, Memory) else make(**nested)


def _known(part: str, made_by: MadeBy | None, folder: Path) -> MadeBy:
    if made_by is None:
        raise ConfigurationError(
            f"expected in {folder} a record of how the {part} was made, got none: only the code "
            "that trained it knows; give the policy: Agent.load(run, policy=policy)."
        )
    return made_by


def _remake_encoder(made_by: MadeBy, folder: Path) -> MakeEncoder:
    name, arguments = made_by
    make: Any = ENCODERS.get(name)
    if make is None:
        require_code_elsewhere(name, folder)
        make = load_object(name)
        require_encoder(name, make)
    given = {n: tuple(x) if isinstance(x, list) else x for n, x in arguments}
    return lambda space: make(space, **given)._replace(made_by=made_by)
