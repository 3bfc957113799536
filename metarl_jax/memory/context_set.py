"""A set of transitions, each encoded alone and summed: their order is nothing to it.

    e_i = φ(τ_i),   v_i = V e_i              each transition
    m_t = Σ_{i≤t} w_i v_i / W_t              W_t = 1 + Σ_{i≤t} w_i
    y_t = [m_t, s_t, ρ(m_t, s_t)]            s_t = W_t^(-1/2)

- `mean`: w_i = 1, one weight for all units.
- `attention`: w_i = exp(8 tanh(q · e_i / 8)), one of each head; pooling by a learned query.
- `gaussians`: v_i, 1/w_i mean and variance of a Gaussian, one weight of each unit: m_t and s_t are
  mean and standard deviation of their product with the prior N(0, 1), the posterior of a task
  variable z. The encoder gives precisions, not variances: those have 1/x to blow up in.

The carry is the two sums: O(1) to act, however long. The observation is left to the heads, and
where an episode begins is not read. The
blank transition of a meta-episode's first step is in the set too. Nothing is sampled.

Reference:
    Rakelly, Zhou, Quillen, Finn, Levine (2019), "Efficient off-policy meta-reinforcement learning
    via probabilistic context variables", eq. 2 (the Gaussians, there without the prior's factor).
    Zaheer et al. 2017, "Deep sets", theorem 2 (the mean). Lee et al. 2019, "Set transformer",
    eq. 11 (pooling by attention).
"""

from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.checks import require_positive
from metarl_jax.memory.base import Memory, MemoryInput, first_input, recorded
from metarl_jax.memory.remat import save_for_backward
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

Aggregation = Literal["mean", "attention", "gaussians"]
NUM_HEADS = 4
LARGEST_SCORE = 8.0
"""Of attention: a thousand weights of e⁸ still add up exactly enough, without a running maximum."""


class SetSums(struct.PyTreeNode):
    """All that a set knows of its transitions."""

    weight: Array  # [..., G] float32, W_t, of each group of units that share a weight
    weighted: Array  # [..., G, M / G] float32, Σ w_i v_i


class _ContextSet(nn.Module):
    hidden_size: int
    aggregation: Aggregation

    def setup(self) -> None:
        self.encoder = nn.Dense(self.hidden_size)
        self.values = nn.Dense(self.hidden_size)
        if self.aggregation != "mean":
            self.scores = nn.Dense(num_weights(self.hidden_size, self.aggregation))
        self.decoder = nn.Dense(self.hidden_size)

    def __call__(self, sums: SetSums, x: MemoryInput) -> tuple[SetSums, Array]:
        sums = jax.tree.map(jnp.add, sums, self.encode(x))
        return sums, self.decode(sums)

    def encode(self, x: MemoryInput) -> SetSums:
        """w_i and w_i v_i of each transition."""
        e = jnp.tanh(save_for_backward(self.encoder(x.transition)))
        w = self._weights(e)
        v = save_for_backward(self.values(e)).reshape(*w.shape, -1)
        return SetSums(w, w[..., None] * v)

    def decode(self, sums: SetSums) -> Array:
        """Y of the transitions so far."""
        mean = sums.weighted / sums.weight[..., None]
        mean = mean.reshape(*mean.shape[:-2], self.hidden_size)
        pooled = jnp.concatenate([mean, jax.lax.rsqrt(sums.weight)], axis=-1)
        return jnp.concatenate([pooled, jnp.tanh(save_for_backward(self.decoder(pooled)))], axis=-1)

    def _weights(self, e: Array) -> Array:
        if self.aggregation == "mean":
            return jnp.ones_like(e[..., :1])
        scores = save_for_backward(self.scores(e))
        if self.aggregation == "gaussians":
            return jax.nn.softplus(scores)
        return jnp.exp(LARGEST_SCORE * jnp.tanh(scores / LARGEST_SCORE))


def num_weights(hidden_size: int, aggregation: Aggregation) -> int:
    """G, of a transition."""
    return {"mean": 1, "attention": NUM_HEADS, "gaussians": hidden_size}[aggregation]


@recorded
def context_set(hidden_size: int = 128, aggregation: Aggregation = "mean") -> Memory:
    """A permutation-invariant memory; y is [..., 2 M + G].

    Args:
        hidden_size: M, units of the encoding, at least 1.
        aggregation: "mean" (G = 1), "attention" (of G = 4 heads) or "gaussians" (G = M).

    Raises:
        ConfigurationError: a size below 1, an unknown aggregation, or heads that do not divide M.
    """
    require_positive("a context set's hidden size", hidden_size, usual="64 to 256")
    if aggregation not in get_args(Aggregation):
        raise ConfigurationError(
            f"aggregation must be one of {', '.join(get_args(Aggregation))}, got {aggregation!r}."
        )
    if aggregation == "attention" and hidden_size % NUM_HEADS:
        raise ConfigurationError(
            f"attention expects a hidden size that its {NUM_HEADS} heads divide, got "
            f"{hidden_size}; {hidden_size + -hidden_size % NUM_HEADS} would do."
        )
    module = _ContextSet(hidden_size, aggregation)
    groups = num_weights(hidden_size, aggregation)

    def initial_carry(key: Key) -> SetSums:
        del key
        weighted = jnp.zeros((groups, hidden_size // groups), jnp.float32)
        return SetSums(jnp.ones((groups,), jnp.float32), weighted)

    def init(key: Key, x: MemoryInput) -> PyTree:
        return module.init(key, initial_carry(key), first_input(x))

    def step(params: PyTree, carry: SetSums, x: MemoryInput) -> tuple[SetSums, Array]:
        result: Any = module.apply(params, carry, x)
        return result

    def unroll(params: PyTree, carry: SetSums, xs: MemoryInput) -> tuple[SetSums, Array]:
        encoded: Any = module.apply(params, xs, method=_ContextSet.encode)
        sums = jax.tree.map(lambda c, e: c[None] + jnp.cumsum(e, axis=0), carry, encoded)
        ys: Any = module.apply(params, sums, method=_ContextSet.decode)
        return jax.tree.map(lambda s: s[-1], sums), ys

    return Memory("context-set", init, initial_carry, step, unroll, parallel=True)


def kl_to_prior(features: Array) -> Array:
    """KL(q ‖ N(0, 1)) of the posterior that `context_set(aggregation="gaussians")` holds.

        ½ Σ (μ² + σ² - 1 - log σ²)

    Args:
        features: [..., 3 M], the memory's output, as a loss finds it in `outputs.features`.

    Returns:
        [...] float32, in nats, at least 0. A function of (outputs, rollout, targets) that returns
        `kl_to_prior(outputs.features)` is a loss, `as_loss`.

    Reference:
        Rakelly et al. 2019, eq. 1.
    """
    mean, deviation, _ = jnp.split(features, 3, axis=-1)
    log_variance = 2 * jnp.log(deviation)
    return 0.5 * jnp.sum(mean**2 + (jnp.expm1(log_variance) - log_variance), axis=-1)
