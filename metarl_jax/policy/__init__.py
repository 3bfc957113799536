"""Policies: a memory, a head and running statistics behind one record of pure functions."""

from metarl_jax.policy.conformance import check_policy, check_unroll
from metarl_jax.policy.distributions import ActionDistribution, Categorical, DiagonalGaussian
from metarl_jax.policy.encoder import Encoder, cnn, encoder_of, flat, grid
from metarl_jax.policy.heads import Heads
from metarl_jax.policy.normalization import RunningStatistics, normalize
from metarl_jax.policy.policy import (
    Architecture,
    Policy,
    PolicyOutput,
    PolicyParams,
    adaptive_policy,
    contextual_policy,
    memoryless_policy,
)
from metarl_jax.policy.settings import Adaptive, Contextual, Memoryless

__all__ = [
    "ActionDistribution",
    "Adaptive",
    "Architecture",
    "Categorical",
    "Contextual",
    "DiagonalGaussian",
    "Encoder",
    "Heads",
    "Memoryless",
    "Policy",
    "PolicyOutput",
    "PolicyParams",
    "RunningStatistics",
    "adaptive_policy",
    "check_policy",
    "check_unroll",
    "cnn",
    "contextual_policy",
    "encoder_of",
    "flat",
    "grid",
    "memoryless_policy",
    "normalize",
]
