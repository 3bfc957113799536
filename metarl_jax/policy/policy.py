"""The policy: embeds the experience, remembers it, and acts.

    τ_t = tanh(W_τ [e(s), a, r, e(s'), terminated, truncated])    the last transition
    o_t = tanh(W_o [e(s_t), describe(M)])                         where it is, and the task if told
    m_t = f_θ(m_{t-1}; τ_t, o_t)                                  the memory
    π_t, V_t = heads([m_t, o_t])

e encodes observations; by default it flattens them.

The adaptive, the contextual and the memoryless policy are this one machine, with a memory, with a
memory and the task told, and with neither. The tanh embedding before the memory is not decoration:
"the arm that paid" is a product of action and reward, which no linear input layer offers.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.checks import require_positive
from metarl_jax.memory import Memory, memoryless
from metarl_jax.memory.remat import remat
from metarl_jax.policy.distributions import (
    LARGEST_LOG_STD,
    LEAST_LOG_STD,
    ActionDistribution,
)
from metarl_jax.policy.embedding import (
    Embedding,
    Statistics,
    action_vector,
    initial_statistics,
    normalize_observation,
    transition_vector,
)
from metarl_jax.policy.encoder import Encoder, MakeEncoder, flat
from metarl_jax.policy.heads import HeadName, Heads
from metarl_jax.tasks.actions import mask_of, no_action, split_mask
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.spaces import dtype_of, map_spaces
from metarl_jax.tasks.specification import Specification
from metarl_jax.types import Array, ConfigurationError, Experience, Key, PyTree, Transition


class PolicyOutput(struct.PyTreeNode):
    """What a policy says at a step."""

    action_distribution: ActionDistribution  # [...]
    value: Array  # [...] float32, expected discounted return, in reward units
    features: Array  # [..., M] the memory's output


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
        specification: the spaces it acts on; None for a policy that takes several.
        encoder_made_by: see `Encoder.made_by`.
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
    encoder_made_by: tuple[str, tuple[tuple[str, Any], ...]] | None = None


ENCODER = "encoder"
"""Under which the weights of a policy hold those of an encoder that has some."""
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


class _Parts(NamedTuple):
    """What a policy is put together from."""

    specification: Specification
    contextual: bool
    encoder: Encoder
    embedding: Embedding
    memory: Memory
    heads: Heads
    precision: Precision


def _policy(
    name: str,
    tasks: TaskDistribution | Specification,
    memory: Memory,
    architecture: Architecture,
    make_encoder: MakeEncoder,
    *,
    contextual: bool,
) -> Policy:
    if architecture.precision == "bf16" and jax.default_backend() == "cpu":
        raise ConfigurationError(
            "precision bf16 expected an accelerator, got a CPU, which has no bfloat16 matmul "
            "numbers: leave precision at f32."
        )
    spec = tasks if isinstance(tasks, Specification) else tasks.specification
    encoder = make_encoder(spec.observation)
    embedding = Embedding(architecture.embedding_size)
    sizes, log_std = tuple(architecture.head_sizes), architecture.initial_log_std
    heads = Heads(spec.action, sizes, log_std, generated=architecture.head == "hypernetwork")
    parts = _Parts(spec, contextual, encoder, embedding, memory, heads, architecture.precision)
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
        encoder_made_by=encoder.made_by,
    )


def _initial_params(parts: _Parts, key: Key) -> PolicyParams:
    embedding_key, memory_key, heads_key, carry_key = jax.random.split(key, 4)
    statistics = initial_statistics(parts.specification.observation)
    experience = blank_experience(parts.specification, parts.contextual)
    encoder = parts.encoder.init(jax.random.fold_in(embedding_key, 1), experience.observation)
    vectors = _vectors(parts, encoder, experience, statistics)
    embedding = parts.embedding.init(embedding_key, *vectors, experience)
    x: Any = parts.embedding.apply(embedding, *vectors, experience)
    memory = parts.memory.init(memory_key, x)
    _, y = parts.memory.step(memory, parts.memory.initial_carry(carry_key), x)
    heads = parts.heads.init(heads_key, y, x.observation)
    weights = {"embedding": embedding, "memory": memory, "heads": heads}
    if jax.tree.leaves(encoder):
        weights[ENCODER] = encoder
    return PolicyParams(weights, statistics)


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
        vectors = _vectors(parts, params.weights.get(ENCODER, {}), experience, statistics)
        x: Any = parts.embedding.apply(params.weights["embedding"], *vectors, experience)
        carry, y = remember(params.weights["memory"], carry, x)
        heads_output: Any = parts.heads.apply(params.weights["heads"], y, x.observation)
    distribution, value = heads_output
    if (mask := mask_of(experience.observation)) is not None:
        distribution = distribution.masked(split_mask(parts.specification.action, mask))
    target = statistics.value_target
    return carry, PolicyOutput(distribution, value * target.scale + target.mean, y)


def _vectors(
    parts: _Parts, encoder: PyTree, experience: Experience, statistics: Statistics
) -> tuple[Array, Array]:
    """The last transition and the current observation, as the embedding reads them."""
    spec, last = parts.specification, experience.transition

    def encode(observation: PyTree) -> Array:
        return parts.encoder.encode(
            encoder, normalize_observation(spec.observation, statistics.observation, observation)
        )

    transition = transition_vector(
        last,
        encode(last.observation),
        action_vector(spec.action, last.action),
        encode(last.final_observation),
        statistics,
    )
    return transition, encode(experience.observation)


def blank_experience(spec: Specification, contextual: bool) -> Experience:
    """An experience of zeros, for shapes."""
    observation = map_spaces(lambda leaf: jnp.zeros(leaf.shape, dtype_of(leaf)), spec.observation)
    no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.float32)
    return Experience(
        observation=observation,
        transition=Transition(observation, no_action(spec.action), zero, observation, no, no),
        episode_start=no,
        context=jnp.zeros((spec.context_size if contextual else 0,), jnp.float32),
    )


def adaptive_policy(
    tasks: TaskDistribution | Specification,
    memory: Memory,
    architecture: Architecture = Architecture(),
    encoder: MakeEncoder = flat,
) -> Policy:
    """The policy that finds out what the task is: reads every transition, is told nothing.

    Args:
        tasks: what it shall act in, read for its spaces alone; or those spaces.
        memory: f_θ.
        architecture: of the layers around the memory.
        encoder: makes the encoder of a space of observations: `flat`, `partial(cnn, features=64)`.
    """
    return _policy("adaptive", tasks, memory, architecture, encoder, contextual=False)


def contextual_policy(
    tasks: TaskDistribution | Specification,
    memory: Memory,
    architecture: Architecture = Architecture(),
    encoder: MakeEncoder = flat,
) -> Policy:
    """The adaptive policy, told `tasks.describe(task)`: the upper bound.

    Args:
        tasks: what it shall act in, read for its spaces alone; or those spaces.
        memory: f_θ.
        architecture: of the layers around the memory.
        encoder: makes the encoder of a space of observations: `flat`, `partial(cnn, features=64)`.
    """
    return _policy("contextual", tasks, memory, architecture, encoder, contextual=True)


def memoryless_policy(
    tasks: TaskDistribution | Specification,
    architecture: Architecture = Architecture(),
    encoder: MakeEncoder = flat,
) -> Policy:
    """Sees the current observation alone: the lower bound.

    Args:
        tasks: what it shall act in, read for its spaces alone; or those spaces.
        architecture: of its layers.
        encoder: makes the encoder of a space of observations: `flat`, `partial(cnn, features=64)`.

    Raises:
        ConfigurationError: the head is a hypernetwork, which has nothing to read.
    """
    if architecture.head == "hypernetwork":
        raise ConfigurationError(
            "a hypernetwork expects the output of a memory, got a policy without one: leave head "
            "at plain."
        )
    return _policy("memoryless", tasks, memoryless(), architecture, encoder, contextual=False)
