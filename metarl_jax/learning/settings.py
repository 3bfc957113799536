"""The algorithms, the optimizers and the discounts as settings.

A `Knots` setting takes one number, or several that training passes through from its first update
to its last.
"""

import dataclasses
from typing import Any, ClassVar

from metarl_jax.checks import check_fields
from metarl_jax.learning import optimizers
from metarl_jax.learning.algorithms import a2c, ppo, reinforce
from metarl_jax.learning.optimizers import Optimizer
from metarl_jax.learning.returns import DiscountMode
from metarl_jax.learning.schedules import Hyperparameters, Knots
from metarl_jax.learning.train_state import Algorithm, UpdateConfig
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import ConfigurationError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam, after clipping by the global norm of the gradient.

    Attributes:
        learning_rate: Step size, 0 to 1 (schedule).
        max_gradient_norm: Global norm to which gradients are clipped (schedule).
    """

    name: ClassVar[str] = "adam"
    optimizer: ClassVar[Optimizer] = staticmethod(optimizers.adam)
    learning_rate: Knots = (1e-3,)
    max_gradient_norm: Knots = (0.5,)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, after clipping by the global norm of the gradient.

    Attributes:
        learning_rate: Step size, 0 to 1 (schedule).
        max_gradient_norm: Global norm to which gradients are clipped (schedule).
        weight_decay: Decay of the weights, times the step size (schedule).
    """

    name: ClassVar[str] = "adamw"
    optimizer: ClassVar[Optimizer] = staticmethod(optimizers.adamw)
    weight_decay: Knots = (1e-4,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Muon(Adam):
    """Muon for matrices and Adam for the rest, after clipping by the global norm.

    Attributes:
        learning_rate: Step size, 0 to 1 (schedule).
        max_gradient_norm: Global norm to which gradients are clipped (schedule).
    """

    name: ClassVar[str] = "muon"
    optimizer: ClassVar[Optimizer] = staticmethod(optimizers.muon)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RMSProp(Adam):
    """RMSProp, after clipping by the global norm of the gradient.

    Attributes:
        learning_rate: Step size, 0 to 1 (schedule).
        max_gradient_norm: Global norm to which gradients are clipped (schedule).
    """

    name: ClassVar[str] = "rmsprop"
    optimizer: ClassVar[Optimizer] = staticmethod(optimizers.rmsprop)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD(Adam):
    """Stochastic gradient descent, after clipping by the global norm of the gradient.

    Attributes:
        learning_rate: Step size, 0 to 1 (schedule).
        max_gradient_norm: Global norm to which gradients are clipped (schedule).
    """

    name: ClassVar[str] = "sgd"
    optimizer: ClassVar[Optimizer] = staticmethod(optimizers.sgd)


OptimizerSettings = Adam | AdamW | Muon | RMSProp | SGD


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discounting:
    """What later rewards count for.

    Attributes:
        discount: γ per step, 0 to 1 (schedule).
        discount_mode: At an episode's end: meta goes on with γ, episodic with 0, and dual with
            boundary_discount.
        boundary_discount: γ from an episode to the next, 0 to 1; only with dual (schedule).
    """

    discount: Knots = (0.99,)
    discount_mode: DiscountMode = "meta"
    boundary_discount: Knots | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.boundary_discount is not None and self.discount_mode != "dual":
            raise ConfigurationError(
                f"boundary_discount is read only in discount mode dual, got {self.discount_mode}; "
                "leave it out, or set discount_mode to dual."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reinforce:
    """Monte Carlo policy gradient without a baseline.

    Attributes:
        entropy_coefficient: Weight of the entropy bonus, per nat (schedule).
    """

    name: ClassVar[str] = "reinforce"
    entropy_coefficient: Knots = (0.01, 0.0)

    def __post_init__(self) -> None:
        check_fields(self)

    def build(
        self,
        tasks: TaskDistribution,
        policy: Policy,
        h: Hyperparameters,
        config: UpdateConfig,
        **choices: Any,
    ) -> Algorithm:
        """The algorithm, ready to compile; `choices` are an objective and an optimizer."""
        return reinforce(tasks, policy, h, config, **choices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ActorCritic(Reinforce):
    gae_lambda: Knots = (0.95,)
    value_coefficient: Knots = (0.5,)
    critic_sees_task: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class A2C(_ActorCritic):
    """Advantage actor-critic: one gradient step through the rollout itself.

    Attributes:
        entropy_coefficient: Weight of the entropy bonus, per nat (schedule).
        gae_lambda: λ of the advantage, 0 to 1 (schedule).
        value_coefficient: Weight of the value error (schedule).
        critic_sees_task: The value head, and it alone, reads `describe(task)` in training.
        bptt_segments: Gradient steps in a meta-episode; more than 1 truncates backpropagation.
    """

    name: ClassVar[str] = "a2c"
    bptt_segments: int = 1

    def build(
        self,
        tasks: TaskDistribution,
        policy: Policy,
        h: Hyperparameters,
        config: UpdateConfig,
        **choices: Any,
    ) -> Algorithm:
        """The algorithm, ready to compile; `choices` are an objective and an optimizer."""
        own = {"critic_sees_task": self.critic_sees_task, "bptt_segments": self.bptt_segments}
        return a2c(tasks, policy, h, config, **own, **choices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PPO(_ActorCritic):
    """Proximal policy optimisation: several epochs of minibatches of tasks.

    Attributes:
        entropy_coefficient: Weight of the entropy bonus, per nat (schedule).
        gae_lambda: λ of the advantage, 0 to 1 (schedule).
        value_coefficient: Weight of the value error (schedule).
        critic_sees_task: The value head, and it alone, reads `describe(task)` in training.
        clip_ratio: ε: ratios of probabilities are clipped to 1 ± ε (schedule).
        epochs: Passes over a batch.
        minibatches: Parts of a batch, by tasks.
    """

    name: ClassVar[str] = "ppo"
    clip_ratio: Knots = (0.2,)
    epochs: int = 4
    minibatches: int = 4

    def build(
        self,
        tasks: TaskDistribution,
        policy: Policy,
        h: Hyperparameters,
        config: UpdateConfig,
        **choices: Any,
    ) -> Algorithm:
        """The algorithm, ready to compile; `choices` are an objective and an optimizer."""
        return ppo(
            tasks,
            policy,
            h,
            config,
            critic_sees_task=self.critic_sees_task,
            epochs=self.epochs,
            minibatches=self.minibatches,
            **choices,
        )


AlgorithmSettings = A2C | PPO | Reinforce
