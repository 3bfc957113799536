"""The parts of an update: targets, the loss of a batch, a gradient step, what is kept of it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metarl_jax.learning.losses import Loss, Targets, require_terms
from metarl_jax.learning.returns import discounts, generalized_advantages
from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.learning.train_state import AlgorithmSpec, LearnerState, StepSums
from metarl_jax.policy.normalization import floats_of, merge, merge_all, moments
from metarl_jax.policy.policy import PolicyOutput
from metarl_jax.rollout import Rollout
from metarl_jax.trees import take
from metarl_jax.types import Array, PyTree


def make_targets(
    spec: AlgorithmSpec,
    learner: LearnerState,
    h: Hyperparameters,
    rollout: Rollout,
    described: Array,
) -> tuple[Targets, Array]:
    """Targets of a rollout: GAE(λ) over the whole chain of episodes.

    Args:
        spec: the discount mode, and whether there is a baseline.
        learner: its running scales of the advantage and of the value target.
        h: this update's γ, λ and ε, scalars.
        rollout: [T, B].
        described: [B, C], `describe(task)` of the tasks it was collected in.

    Returns:
        The targets, each [T, B, ...] or a scalar, and the advantage [T, B] before it was scaled.
    """
    outcome = rollout.outcome
    discount = discounts(
        outcome.episode_end,
        outcome.meta_end,
        mode=spec.config.discount_mode,
        discount=h["discount"],
        boundary_discount=h["boundary_discount"],
    )
    values, final_value, gae_lambda = rollout.value, rollout.final_value, h["gae_lambda"]
    if not spec.baseline:
        values, final_value = jnp.zeros_like(values), jnp.zeros_like(final_value)
        gae_lambda = jnp.ones_like(gae_lambda)
    advantage = generalized_advantages(outcome.reward, discount, values, final_value, gae_lambda)
    targets = Targets(
        advantage=advantage / learner.advantage.scale,
        value_target=advantage + values,
        value_scale=learner.params.statistics.value_target.scale,
        discount=discount,
        clip_ratio=h["clip_ratio"],
        task=jnp.broadcast_to(described, (len(values), *described.shape)),
    )
    return targets, advantage


def total_loss(
    loss: Loss, loss_params: PyTree, outputs: PolicyOutput, rollout: Rollout, targets: Targets
) -> tuple[Array, StepSums]:
    """Σ over valid steps of the loss's terms, over T·B.

    Over T·B, not over the number of valid steps: each valid step weighs 1/(T·B), however many more
    there are, and the loss of a batch is the mean of those of its equal parts.

    Args:
        loss: gives terms [T, B] and metrics [T, B].
        loss_params: its own parameters.
        outputs: of the policy, [T, B, ...].
        rollout: [T, B].
        targets: of `make_targets`.

    Returns:
        The loss, [] float32, and the metrics.

    Raises:
        ConfigurationError: its terms or a metric are not [T, B].
    """
    terms, metrics = loss.apply(loss_params, outputs, rollout, targets)
    valid = rollout.outcome.valid
    for name, x in {"objective": terms, **metrics}.items():
        require_terms(f"the loss, in {name},", x, valid.shape)
    sums = {name: jnp.sum(jnp.where(valid, m, 0.0)) for name, m in metrics.items()}
    count = jnp.sum(valid).astype(jnp.float32)
    return jnp.sum(jnp.where(valid, terms, 0.0)) / valid.size, StepSums(sums, count)


def gradient_step(
    spec: AlgorithmSpec, learner: LearnerState, gradient: tuple[PyTree, PyTree], h: Hyperparameters
) -> tuple[LearnerState, Array]:
    """Means the gradient over devices and takes one step of the optimizer.

    Args:
        spec: the optimizer, and over how many devices.
        learner: before.
        gradient: of this device's loss, with respect to (weights, loss_params).
        h: this update's hyper-parameters, scalars.

    Returns:
        The learner after the step, and the norm of the mean gradient.
    """
    gradient = spec.config.devices.pmean(gradient)
    trained = (learner.params.weights, learner.loss_params)
    optimizer = spec.optimizer(h)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        updates, optimizer_state = optimizer.update(gradient, learner.optimizer_state, trained)
        stepped: Any = optax.apply_updates(trained, updates)
    weights, loss_params = stepped
    learner = learner.replace(
        params=learner.params.replace(weights=weights),
        loss_params=loss_params,
        optimizer_state=optimizer_state,
    )
    return learner, optax.tree.norm(gradient)


def mean_gradient(
    gradient_of: Callable[[PyTree], tuple[PyTree, PyTree]], trained: PyTree, parts: PyTree
) -> tuple[PyTree, PyTree]:
    """The gradient of a batch as the mean over its equal parts, taken one after the other.

    Args:
        gradient_of: part -> (gradient, what else it gives).
        trained: of the gradient's form.
        parts: [C, ...].

    Returns:
        The gradient, and what else each part gives, [C, ...].
    """
    num_parts = jax.tree.leaves(parts)[0].shape[0]
    if num_parts == 1:
        gradient, rest = gradient_of(take(parts, 0))
        return gradient, jax.tree.map(lambda x: x[None], rest)

    def add(total: PyTree, part: PyTree) -> tuple[PyTree, PyTree]:
        gradient, rest = gradient_of(part)
        return jax.tree.map(jnp.add, total, gradient), rest

    total, rest = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, trained), parts)
    return jax.tree.map(lambda x: x / num_parts, total), rest


def batch_moments(
    spec: AlgorithmSpec, rollout: Rollout, targets: Targets, advantage: Array
) -> dict[str, PyTree]:
    """What the running statistics take from a part of a batch.

    Args:
        spec: whether observations are normalised.
        rollout: [T, B], of which valid steps count.
        targets: of `make_targets`.
        advantage: [T, B], before it was scaled.
    """
    values = {
        "reward": rollout.outcome.reward,
        "value_target": targets.value_target,
        "advantage": advantage,
    }
    if spec.config.normalize_observations:
        values["observation"] = floats_of(rollout.experience.observation)
    measure = lambda x: moments(x, rollout.outcome.valid)
    return {name: jax.tree.map(measure, value) for name, value in values.items()}


def update_statistics(
    spec: AlgorithmSpec, learner: LearnerState, parts: dict[str, PyTree]
) -> LearnerState:
    """Merges a batch into the running statistics, for the updates to come.

    Args:
        spec: over how many devices.
        learner: after its gradient steps.
        parts: [C, ...], of `batch_moments`: those of this device's parts of the batch.

    Returns:
        The learner with the statistics of reward, value target, advantage and, where they are
        normalised, observation.
    """
    gathered = spec.config.devices.all_gather(parts)
    every = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), gathered)
    before = learner.params.statistics
    statistics = before.replace(
        # In one order always: another would be another program, and compiled anew.
        **{
            name: merge_all(getattr(before, name), x)
            for name, x in every.items()
            if name != "advantage"
        }
    )
    return learner.replace(
        params=learner.params.replace(statistics=statistics),
        advantage=merge(learner.advantage, every["advantage"]),
    )
