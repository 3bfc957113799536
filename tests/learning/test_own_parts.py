"""A loss, an optimizer and hyper-parameters of one's own, and the critic that sees the task."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarl_jax.learning import optimizers
from metarl_jax.learning.algorithms import a2c, a2c_objective, ppo
from metarl_jax.learning.losses import Loss, Shapes, Targets
from metarl_jax.learning.schedules import Hyperparameters, hyperparameters
from metarl_jax.learning.settings import SGD, Adam, AdamW, Muon, RMSProp
from metarl_jax.learning.train_state import TrainState, UpdateConfig
from metarl_jax.policy.policy import PolicyOutput
from metarl_jax.policy.task_critic import with_task_critic
from metarl_jax.rollout import Actors, Rollout, collect, start, task_keys
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.types import Array, ConfigurationError, Key, PyTree
from support.comparisons import assert_same
from support.probes import counter, small_policy

TASKS = counter(ends_early=True, num_episodes=2)
POLICY = small_policy(TASKS)
CONFIG = UpdateConfig(num_tasks=8)
NUM_UPDATES = 3
SCHEDULES = hyperparameters(
    learning_rate=1e-2, max_gradient_norm=1e9, own_weight=(2.0, 0.0), weight_decay=0.1
)


def reading(made: dict[str, Any]) -> Any:
    """An objective that logs what its own term reads, and weighs it by a schedule of its own."""

    def init(key: Key, shapes: Shapes) -> PyTree:
        made["shapes"] = shapes
        return jnp.zeros(shapes.features.shape, shapes.features.dtype)

    def apply(
        params: PyTree, outputs: PolicyOutput, rollout: Rollout, targets: Targets
    ) -> tuple[Array, dict[str, Array]]:
        identity = rollout.experience.observation[..., 0]
        wrong = jnp.abs(targets.task[..., 0] - identity)
        terms = jnp.square(outputs.features @ params - 1.0)
        return terms, {"wrong_task": wrong, "own_term": terms}

    def objective(h: Hyperparameters) -> Loss:
        weight = h["own_weight"]
        level = Loss(lambda params, outputs, *_: _logged(outputs, weight))
        own = Loss(apply, init)
        return a2c_objective(h) + weight * (own.detached() if made["detached"] else own) + level

    return objective


def _logged(outputs: PolicyOutput, weight: Array) -> tuple[Array, dict[str, Array]]:
    return jnp.zeros_like(outputs.value), {"weight": jnp.full_like(outputs.value, weight)}


def updates(objective: Any, number: int = 1, make: Any = a2c, **options: Any) -> Any:
    """States after each update, the first one's before it included, and the metrics."""
    algorithm = make(TASKS, POLICY, SCHEDULES, CONFIG, objective=objective, **options)
    states, metrics = [algorithm.init(jax.random.key(0), NUM_UPDATES)], []
    update = jax.jit(algorithm.update)
    for _ in range(number):
        state, measured = update(states[-1])
        states.append(state)
        metrics.append(measured)
    return states, metrics


def gradient(state: TrainState) -> tuple[PyTree, PyTree]:
    """What reached Adam in the first update: with respect to weights and to loss parameters."""
    return state.learner.optimizer_state[1][0].mu


def test_a_loss_of_ones_own_reads_shapes_task_and_schedule() -> None:
    made: dict[str, Any] = {"detached": False}
    states, metrics = updates(reading(made), NUM_UPDATES)
    shapes = made["shapes"]
    assert shapes.features.shape == (8,) and shapes.features.dtype == jnp.float32
    assert shapes.observation.shape == (3,) and shapes.action.dtype == jnp.int32
    assert shapes.task.shape == (1,)
    assert [float(m["wrong_task"]) for m in metrics] == [0.0] * NUM_UPDATES
    np.testing.assert_allclose([float(m["weight"]) for m in metrics], [2.0, 1.0, 0.0], rtol=1e-6)
    assert np.any(states[1].learner.loss_params[0][1] != 0)


def test_the_task_reaches_the_targets_of_ppo_as_well() -> None:
    _, metrics = updates(reading({"detached": False}), make=ppo, epochs=1, minibatches=2)
    assert float(metrics[0]["wrong_task"]) == 0.0


def test_a_detached_loss_trains_its_own_parameters_alone() -> None:
    """The policy's gradient is that of A2C's loss, to the bit; and not where it is attached."""
    plain, _ = updates(a2c_objective)
    detached, _ = updates(reading({"detached": True}))
    attached, _ = updates(reading({"detached": False}))
    weights = [gradient(states[1])[0] for states in (plain, detached)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9), *weights)
    assert np.any(gradient(detached[1])[1][0][1] != 0)
    # The parameters begin at zero, through which no gradient passes: one update later it does.
    after_two = [updates(reading({"detached": d}), 2)[0][2].learner.params.weights for d in (0, 1)]
    different = jax.tree.map(lambda a, b: bool(np.any(a != b)), *after_two)
    assert any(jax.tree.leaves(different["memory"]))
    assert attached


@pytest.mark.parametrize("metric", [False, True])
def test_a_record_whose_terms_are_no_steps_is_refused(metric: bool) -> None:
    """A mean over time would be spread over all steps, without a word."""

    def apply(params: PyTree, outputs: PolicyOutput, *rest: Any) -> tuple[Array, dict[str, Array]]:
        mean = jnp.mean(outputs.value, axis=0)
        return (outputs.value, {"mean": mean}) if metric else (mean, {})

    with pytest.raises(ConfigurationError, match=r"\[T, B\] = .*reduce over later axes alone"):
        updates(lambda h: Loss(apply))
    if not metric:
        with pytest.raises(ConfigurationError, match="each loss of a sum"):
            updates(lambda h: a2c_objective(h) + Loss(apply))


def test_a_name_that_nobody_gave_is_refused_with_the_mend() -> None:
    objective = reading({"detached": False})
    algorithm = a2c(TASKS, POLICY, hyperparameters(), CONFIG, objective=objective)
    with pytest.raises(ConfigurationError, match=r"own_weight.*--hyperparameter own_weight="):
        algorithm.init(jax.random.key(0))


def test_a_schedule_that_changes_needs_the_number_of_updates() -> None:
    algorithm = a2c(TASKS, POLICY, hyperparameters(learning_rate=(1e-2, 0)), CONFIG)
    with pytest.raises(ConfigurationError, match=r"learning_rate.*num_updates"):
        algorithm.init(jax.random.key(0))
    constant = a2c(TASKS, POLICY, hyperparameters(), CONFIG).init(jax.random.key(0))
    assert float(constant.num_updates) == 1


def test_an_optax_schedule_is_its_value_at_every_update() -> None:
    schedule = optax.cosine_decay_schedule(1e-2, NUM_UPDATES)
    own = SCHEDULES.replace(own_weight=schedule)
    algorithm = a2c(TASKS, POLICY, own, CONFIG)
    knots = algorithm.init(jax.random.key(0), NUM_UPDATES).hyperparameters["own_weight"]
    np.testing.assert_allclose(knots, [schedule(i) for i in range(NUM_UPDATES)], rtol=1e-6)


@pytest.mark.parametrize("kind", [Adam, AdamW, Muon, RMSProp, SGD], ids=lambda kind: kind.name)
def test_an_update_is_the_optimizers_step_on_the_gradient(kind: Any) -> None:
    """The gradient is read off Adam, whose first moment holds a tenth of it."""
    states, _ = updates(a2c_objective)
    before = states[0].learner
    raw = jax.tree.map(lambda x: 10 * x, gradient(states[1]))
    trained = (before.params.weights, before.loss_params)
    scalars = {name: float(np.asarray(x)[0]) for name, x in SCHEDULES.items()}
    transformation = kind.optimizer(Hyperparameters(scalars))
    step, _ = transformation.update(raw, transformation.init(trained), trained)
    expected: Any = optax.apply_updates(trained, step)
    stepped, _ = updates(a2c_objective, optimizer=kind.optimizer)
    learner = stepped[1].learner
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6),
        (learner.params.weights, learner.loss_params),
        expected,
    )


def test_an_optimizer_of_ones_own_reads_its_own_schedule() -> None:
    def none(h: Hyperparameters) -> optax.GradientTransformation:
        return optax.sgd(h["own_weight"] * 0.0)

    states, _ = updates(a2c_objective, optimizer=none)
    assert_same(states[1].learner.params.weights, states[0].learner.params.weights)


def test_clipping_is_by_the_global_norm() -> None:
    small = Hyperparameters({"learning_rate": 1.0, "max_gradient_norm": 1e-3})
    sgd, gradient = optimizers.sgd(small), {"w": jnp.ones(4)}
    step, _ = sgd.update(gradient, sgd.init(gradient))
    np.testing.assert_allclose(optax.tree.norm(step), 1e-3, rtol=1e-5)


# The critic that sees the task.


def told() -> tuple[Any, Any, Any, MetaEpisode]:
    policy = with_task_critic(POLICY, TASKS.specification)
    meta_episode = MetaEpisode(TASKS, contextual=True)
    return policy, policy.init(jax.random.key(2)), actors_in(meta_episode), meta_episode


def actors_in(meta_episode: MetaEpisode) -> Actors:
    tasks = jax.vmap(TASKS.sample)(task_keys(jax.random.key(1), 4))
    return start(POLICY, meta_episode, tasks, task_keys(jax.random.key(3), 4))


def test_actions_and_memory_do_not_depend_on_the_description() -> None:
    """Perturbing it changes the value, and nothing else at all."""
    policy, params, actors, meta_episode = told()
    experience = collect(policy, params, meta_episode, actors)[1].experience
    outputs = [
        policy.unroll(params, actors.carry, experience.replace(context=experience.context + x))
        for x in (0.0, 1.0)
    ]
    (carry, output), (of_other, other) = outputs
    assert_same(carry, of_other)
    assert_same(output.action_distribution, other.action_distribution)
    assert_same(output.features, other.features)
    assert np.all(output.value != other.value)


def test_the_policy_itself_acts_with_what_is_trained() -> None:
    """Without the task and without the critic: the same actions from the same parameters."""
    policy, params, actors, meta_episode = told()
    alone = MetaEpisode(TASKS)
    _, rollout, _ = collect(policy, params, meta_episode, actors)
    _, acted, _ = collect(POLICY, params, alone, actors_in(alone))
    np.testing.assert_array_equal(rollout.action, acted.action)


@pytest.mark.parametrize("make", [a2c, ppo])
def test_the_privileged_value_is_trained_and_the_policys_own_is_not(make: Any) -> None:
    options = {"epochs": 1, "minibatches": 1} if make is ppo else {}
    states, _ = updates(a2c_objective, make=make, critic_sees_task=True, **options)
    weights, _ = gradient(states[1])
    assert all(np.any(x != 0) for x in jax.tree.leaves(weights["task_critic"]))
    value_layer = weights["heads"]["params"]["Dense_0"]
    assert not any(np.any(x) for x in jax.tree.leaves(value_layer))
