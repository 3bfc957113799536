"""Losses that compose.

    policy_gradient() + 0.5 * value_error() - 0.01 * entropy_bonus() + my_loss

A loss gives one term for every step, [T, B], and named metrics. The algorithm sums the terms of
valid steps over the batch and divides by T·B, so that a task's loss depends on that task alone.
Losses know no optimizer. A plain function `(outputs, rollout, targets) -> [T, B]` composes with
the others.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.policy.policy import PolicyOutput
from metarl_jax.rollout import Rollout
from metarl_jax.types import Array, ConfigurationError, Key, PyTree


class Targets(struct.PyTreeNode):
    """What the outputs are compared with; no gradient passes through it."""

    advantage: Array  # [T, B], divided by its running scale
    value_target: Array  # [T, B], λ-return, in reward units
    value_scale: Array  # [] running standard deviation of value_target
    discount: Array  # [T, B]
    clip_ratio: Array  # [] PPO's ε
    task: Array  # [T, B, C] describe(task), whether or not the policy is told


class Shapes(NamedTuple):
    """Shapes and dtypes of what a loss can read at one step of one task, without leading axes."""

    features: jax.ShapeDtypeStruct  # [M] the memory's output
    observation: PyTree  # [O], or a dict or tuple
    action: PyTree  # [] or [K] int32, [A] float32, or a dict or tuple of these
    task: jax.ShapeDtypeStruct  # [C] describe(task)


TermsAndMetrics = tuple[Array, dict[str, Array]]
StepFunction = Callable[[PolicyOutput, Rollout, Targets], Array]


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss as a record.

    Attributes:
        apply: (loss_params, outputs, rollout, targets) -> (terms [T, B], metrics); every metric is
            [T, B] too, and its mean over valid steps is logged.
        init: (key, shapes) -> loss_params, trained beside the policy; none by default.
    """

    apply: Callable[[PyTree, PolicyOutput, Rollout, Targets], TermsAndMetrics]
    init: Callable[[Key, Shapes], PyTree] = lambda key, shapes: ()

    def __add__(self, other: "LossLike") -> "Loss":
        return _sum(self, as_loss(other))

    def __radd__(self, other: "LossLike") -> "Loss":
        return _sum(as_loss(other), self)

    def __sub__(self, other: "LossLike") -> "Loss":
        return _sum(self, -1.0 * as_loss(other))

    def __rsub__(self, other: "LossLike") -> "Loss":
        return _sum(as_loss(other), -1.0 * self)

    def __mul__(self, weight: float | Array) -> "Loss":
        def apply(params: PyTree, *step: Any) -> TermsAndMetrics:
            terms, metrics = self.apply(params, *step)
            return weight * terms, metrics

        return Loss(apply, self.init)

    __rmul__ = __mul__

    def detached(self) -> "Loss":
        """The same loss, whose gradient stops at the features.

        It trains its own parameters alone: the memory neither helps nor hinders it. A term that
        reads the value or the action distribution still trains whatever those depend on.
        """

        def apply(
            params: PyTree, outputs: PolicyOutput, rollout: Rollout, targets: Targets
        ) -> TermsAndMetrics:
            features = jax.lax.stop_gradient(outputs.features)
            return self.apply(params, outputs.replace(features=features), rollout, targets)

        return Loss(apply, self.init)


LossLike = Loss | StepFunction


class NoLossError(ConfigurationError, TypeError):
    """Something else stands where a loss is needed: an objective's result, or part of a sum."""


def as_loss(function: LossLike) -> Loss:
    """A loss from a plain function of (outputs, rollout, targets), logged under its name.

    Raises:
        NoLossError: it is neither a loss nor a function.
        ConfigurationError: in use, where its terms are not [T, B].
    """
    if isinstance(function, Loss):
        return function
    if not callable(function):
        raise NoLossError(
            "expected a loss, or a function (outputs, rollout, targets) -> [T, B], got "
            f"{type(function).__name__}; return it from the objective, and scale it by a product."
        )
    name = getattr(function, "__name__", type(function).__name__)

    def apply(params: PyTree, *step: Any) -> TermsAndMetrics:
        del params
        terms = function(*step)
        require_terms(f"the loss {name}", terms, step[1].value.shape)
        return terms, {name: terms}

    return Loss(apply)


def require_terms(what: str, terms: Array, expected: tuple[int, ...]) -> None:
    """Refuses terms that are not [T, B], which would be spread over time or tasks in silence.

    Raises:
        ConfigurationError: they have another shape.
    """
    if jnp.shape(terms) != expected:
        raise ConfigurationError(
            f"{what} must return a term per step, [T, B] = {list(expected)}, got "
            f"{list(jnp.shape(terms))}; reduce over later axes alone."
        )


def _sum(first: Loss, second: Loss) -> Loss:
    def init(key: Key, shapes: Shapes) -> PyTree:
        first_key, second_key = jax.random.split(key)
        return first.init(first_key, shapes), second.init(second_key, shapes)

    def apply(params: PyTree, *step: Any) -> TermsAndMetrics:
        first_terms, metrics = first.apply(params[0], *step)
        second_terms, more = second.apply(params[1], *step)
        for terms in (first_terms, second_terms):  # a sum would spread what is too short
            require_terms("each loss of a sum", terms, step[1].value.shape)
        if repeated := metrics.keys() & more.keys():
            raise ConfigurationError(
                f"two terms of a loss log the same metric {sorted(repeated)}; give each function a "
                "name of its own, or add the term once."
            )
        return first_terms + second_terms, metrics | more

    return Loss(apply, init)


def policy_gradient() -> Loss:
    """-A_t log π(a_t): the score-function estimator.

    Reference:
        Williams 1992, "Simple statistical gradient-following algorithms for connectionist
        reinforcement learning", eq. 5; with a learned value as its baseline, A2C (Mnih et al. 2016,
        "Asynchronous methods for deep reinforcement learning", section 4).
    """

    def policy_gradient(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
        return -targets.advantage * outputs.action_distribution.log_prob(rollout.action)

    return as_loss(policy_gradient)


def clipped_policy_gradient() -> Loss:
    """-min(ρ_t A_t, clip(ρ_t, 1-ε, 1+ε) A_t) with ρ_t = π(a_t) / π_old(a_t).

    Reference:
        Schulman et al. 2017, "Proximal policy optimization algorithms", eq. 7.
    """

    def apply(
        params: PyTree, outputs: PolicyOutput, rollout: Rollout, targets: Targets
    ) -> TermsAndMetrics:
        del params
        log_ratio = outputs.action_distribution.log_prob(rollout.action) - rollout.log_prob
        ratio = jnp.exp(log_ratio)
        clipped = jnp.clip(ratio, 1 - targets.clip_ratio, 1 + targets.clip_ratio)
        terms = -jnp.minimum(ratio * targets.advantage, clipped * targets.advantage)
        return terms, {
            "clipped_policy_gradient": terms,
            "clip_fraction": (ratio != clipped).astype(jnp.float32),
            "kl_divergence": ratio - 1 - log_ratio,  # estimates KL(π_old ‖ π), Schulman's k3
        }

    return Loss(apply)


def value_error() -> Loss:
    """½ ((V_t - V̂_t) / σ)², with V̂ the λ-return and σ its running standard deviation."""

    def value_error(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
        del rollout
        return 0.5 * jnp.square((outputs.value - targets.value_target) / targets.value_scale)

    return as_loss(value_error)


def entropy_bonus() -> Loss:
    """The entropy of π_t, in nats: subtract it to keep a policy random.

    Reference:
        Williams & Peng 1991, "Function optimization using connectionist reinforcement learning
        algorithms".
    """

    def entropy(outputs: PolicyOutput, rollout: Rollout, targets: Targets) -> Array:
        del rollout, targets
        return outputs.action_distribution.entropy()

    return as_loss(entropy)
