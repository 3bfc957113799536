"""The policy: embeds the experience, remembers it, and acts.

    τ_t = tanh(W_τ [s, a, r, s', terminated, truncated])    the last transition
    o_t = tanh(W_o [s_t, describe(M)])                      where it is (and, if told, the task)
    m_t = f_θ(m_{t-1}; τ_t, o_t)                            the memory
    π_t, V_t = heads([m_t, o_t])

The adaptive, the contextual and the memoryless policy are this one machine, with a memory, with a
memory and the task told, and with neither. The tanh embedding before the memory is not decoration:
"the arm that paid" is a product of action and reward, which no linear input layer offers.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.checks import require_positive
from metarl_jax.memory import Memory, MemoryInput, memoryless
from metarl_jax.memory.remat import remat
from metarl_jax.policy.distributions import (
    LARGEST_LOG_STD,
    LEAST_LOG_STD,
    ActionDistribution,
)
from metarl_jax.policy.heads import HeadName, Heads, dense
from metarl_jax.policy.normalization import RunningStatistics, identity_statistics, normalize
from metarl_jax.tasks.distribution import Specification, TaskDistribution, specification
from metarl_jax.types import Array, ConfigurationError, Experience, Key, PyTree, Transition


class PolicyOutput(struct.PyTreeNode):
    """What a policy says at a step."""

    action_distribution: ActionDistribution  # [...]
    value: Array  # [...] float32, expected discounted return, in reward units
    features: Array  # [..., M] the memory's output


class Statistics(struct.PyTreeNode):
    """What the policy normalises by; not trained, kept beside the weights."""

    observation: RunningStatistics  # of [O]
    reward: RunningStatistics  # of []
    value_target: RunningStatistics  # of []: the value head answers in these units


class PolicyParams(struct.PyTreeNode):
    """All a policy needs to act."""

    weights: PyTree  # trained
    statistics: PyTree  # gathered


class Policy(NamedTuple):
    """A policy, over any leading axes.

    Attributes:
        name: "adaptive", "contextual", "memoryless" or a reference agent's name.
        contextual: whether it is told the task.
        init: key -> params.
        initial_carry: key -> carry of one task at a meta-episode's start.
        step: (params, carry, experience) -> (carry, output).
        unroll: the same over a leading time axis, from the carry before the first step.
        parallel: whether `unroll` goes over time at once.
        context_length: steps that each layer of its memory looks back; None: all.
        memory: the name of its memory; "" for none.
        architecture: of the layers around its memory; None for a policy of another kind.
        memory_made_by: see `Memory.made_by`.
        specification: the shapes it acts on; None for a policy that takes several.
    """

    name: str
    contextual: bool
    init: Callable[[Key], Any]
    initial_carry: Callable[[Key], PyTree]
    step: Callable[[Any, PyTree, Experience], tuple[PyTree, PolicyOutput]]
    unroll: Callable[[Any, PyTree, Experience], tuple[PyTree, PolicyOutput]]
    parallel: bool = False
    context_length: int | None = None
    memory: str = ""
    architecture: "Architecture | None" = None
    memory_made_by: tuple[str, tuple[tuple[str, Any], ...]] | None = None
    specification: Specification | None = None


Precision = Literal["f32", "bf16"]
_MATMUL_PRECISION = {"f32": "float32", "bf16": "BF16_BF16_F32"}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The layers around the memory.

    Attributes:
        embedding_size: units of the tanh embeddings of transition and observation, at least 1.
        head: "plain", or "hypernetwork": the memory's output gives the weights of a network that
            reads the observation alone.
        head_sizes: units of the tanh layers of each head, or of that network; none by default.
        initial_log_std: log σ of continuous actions before training, which keeps it from -10 to 2.
        precision: of the policy's products, forward and backward: "f32", or "bf16", whose factors
            are rounded to bfloat16 and whose sums are kept in float32. State and parameters are
            float32 in both. For accelerators: a CPU has no such product.
    """

    embedding_size: int = 64
    head: HeadName = "plain"
    head_sizes: tuple[int, ...] = ()
    initial_log_std: float = -0.5
    precision: Precision = "f32"

    def __post_init__(self) -> None:
        if self.precision not in _MATMUL_PRECISION:
            raise ConfigurationError(
                f"precision must be one of {', '.join(_MATMUL_PRECISION)}, got {self.precision!r}."
            )
        if self.head not in get_args(HeadName):
            raise ConfigurationError(
                f"head must be one of {', '.join(get_args(HeadName))}, got {self.head!r}."
            )
        if not LEAST_LOG_STD <= self.initial_log_std <= LARGEST_LOG_STD:
            raise ConfigurationError(
                f"initial_log_std must be a number from {LEAST_LOG_STD:g} to {LARGEST_LOG_STD:g}, "
                f"got {self.initial_log_std}; -0.5 is usual."
            )
        for size in (self.embedding_size, *self.head_sizes):
            require_positive("embedding_size and each of head_sizes", size, usual="32 to 256")


class _Embedding(nn.Module):
    """Transition and observation, each through one tanh layer."""

    size: int
    num_actions: int | None

    @nn.compact
    def __call__(self, experience: Experience, statistics: Statistics) -> MemoryInput:
        observation = normalize(statistics.observation, experience.observation)
        observation = jnp.concatenate([observation, experience.context], axis=-1)
        vector = self._vector(experience.transition, statistics)
        return MemoryInput(
            transition=jnp.tanh(dense(self.size, 2**0.5)(vector)),
            observation=jnp.tanh(dense(self.size, 2**0.5)(observation)),
            episode_start=experience.episode_start[..., None].astype(jnp.float32),
        )

    def _vector(self, transition: Transition, statistics: Statistics) -> Array:
        action = transition.action
        if self.num_actions is not None:
            action = jax.nn.one_hot(action, self.num_actions, dtype=jnp.float32)
        scalars = [
            normalize(statistics.reward, transition.reward),
            transition.terminated.astype(jnp.float32),
            transition.truncated.astype(jnp.float32),
        ]
        return jnp.concatenate(
            [
                normalize(statistics.observation, transition.observation),
                action,
                jnp.stack(scalars, axis=-1),
                normalize(statistics.observation, transition.final_observation),
            ],
            axis=-1,
        )


class _Parts(NamedTuple):
    """What a policy is put together from."""

    specification: Specification
    contextual: bool
    embedding: _Embedding
    memory: Memory
    heads: Heads
    precision: Precision


def _policy(
    name: str,
    tasks: TaskDistribution | Specification,
    memory: Memory,
    architecture: Architecture,
    *,
    contextual: bool,
) -> Policy:
    if architecture.precision == "bf16" and jax.default_backend() == "cpu":
        raise ConfigurationError(
            "precision bf16 expected an accelerator, got a CPU, which has no product of bfloat16 "
            "numbers: leave precision at f32."
        )
    spec = tasks if isinstance(tasks, Specification) else specification(tasks)
    embedding = _Embedding(architecture.embedding_size, spec.num_actions)
    sizes, log_std = tuple(architecture.head_sizes), architecture.initial_log_std
    heads = Heads(spec, sizes, log_std, generated=architecture.head == "hypernetwork")
    parts = _Parts(spec, contextual, embedding, memory, heads, architecture.precision)
    return Policy(
        name=name,
        contextual=contextual,
        init=partial(_initial_params, parts),
        initial_carry=memory.initial_carry,
        step=remat(partial(_act, parts, memory.step)),
        unroll=partial(_act, parts, memory.unroll),
        parallel=memory.parallel,
        context_length=memory.context_length,
        memory="" if name == "memoryless" else memory.name,
        architecture=architecture,
        memory_made_by=memory.made_by,
        specification=spec,
    )


def _initial_params(parts: _Parts, key: Key) -> PolicyParams:
    embedding_key, memory_key, heads_key, carry_key = jax.random.split(key, 4)
    statistics = Statistics(
        observation=identity_statistics((parts.specification.observation_size,)),
        reward=identity_statistics(),
        value_target=identity_statistics(),
    )
    experience = blank_experience(parts.specification, parts.contextual)
    embedding = parts.embedding.init(embedding_key, experience, statistics)
    x: Any = parts.embedding.apply(embedding, experience, statistics)
    memory = parts.memory.init(memory_key, x)
    _, y = parts.memory.step(memory, parts.memory.initial_carry(carry_key), x)
    heads = parts.heads.init(heads_key, y, x.observation)
    return PolicyParams({"embedding": embedding, "memory": memory, "heads": heads}, statistics)


def _act(
    parts: _Parts,
    remember: Callable[..., tuple[PyTree, Array]],
    params: PolicyParams,
    carry: PyTree,
    experience: Experience,
) -> tuple[PyTree, PolicyOutput]:
    """One step, or a whole unroll: only `remember` knows of time."""
    statistics = jax.lax.stop_gradient(params.statistics)
    with jax.default_matmul_precision(_MATMUL_PRECISION[parts.precision]):
        x: Any = parts.embedding.apply(params.weights["embedding"], experience, statistics)
        carry, y = remember(params.weights["memory"], carry, x)
        heads_output: Any = parts.heads.apply(params.weights["heads"], y, x.observation)
    distribution, value = heads_output
    target = statistics.value_target
    return carry, PolicyOutput(distribution, value * target.scale + target.mean, y)


def blank_experience(spec: Specification, contextual: bool) -> Experience:
    """An experience of zeros, for shapes."""
    observation = jnp.zeros((spec.observation_size,), jnp.float32)
    no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.float32)
    if spec.num_actions is not None:
        action = jnp.zeros((), jnp.int32)
    else:
        action = jnp.zeros((spec.action_size or 0,), jnp.float32)
    return Experience(
        observation=observation,
        transition=Transition(observation, action, zero, observation, no, no),
        episode_start=no,
        context=jnp.zeros((spec.context_size if contextual else 0,), jnp.float32),
    )


def adaptive_policy(
    tasks: TaskDistribution | Specification,
    memory: Memory,
    architecture: Architecture = Architecture(),
) -> Policy:
    """The policy that finds out what the task is: reads every transition, is told nothing.

    Args:
        tasks: what it shall act in, read for shapes alone; or those shapes.
        memory: f_θ.
        architecture: of the layers around the memory.
    """
    return _policy("adaptive", tasks, memory, architecture, contextual=False)


def contextual_policy(
    tasks: TaskDistribution | Specification,
    memory: Memory,
    architecture: Architecture = Architecture(),
) -> Policy:
    """The adaptive policy, told `tasks.describe(task)`: the upper line. Arguments as there."""
    return _policy("contextual", tasks, memory, architecture, contextual=True)


def memoryless_policy(
    tasks: TaskDistribution | Specification, architecture: Architecture = Architecture()
) -> Policy:
    """Sees the current observation alone: the lower line. Arguments as `adaptive_policy`'s.

    Raises:
        ConfigurationError: the head is a hypernetwork, which has nothing to read.
    """
    if architecture.head == "hypernetwork":
        raise ConfigurationError(
            "a hypernetwork expects the output of a memory, got a policy without one: leave head "
            "at plain."
        )
    return _policy("memoryless", tasks, memoryless(), architecture, contextual=False)
