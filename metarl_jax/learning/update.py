"""An algorithm out of what is its own: tasks before it, metrics and the guard against NaN after."""

import jax
import jax.numpy as jnp

from metarl_jax.learning.diagnosis import nonfinite_by_task
from metarl_jax.learning.losses import Shapes
from metarl_jax.learning.schedules import Hyperparameters, at_progress, over
from metarl_jax.learning.train_state import (
    Algorithm,
    AlgorithmSpec,
    LearnerState,
    LearningRule,
    Measurements,
    TrainState,
    UpdateConfig,
)
from metarl_jax.policy.normalization import identity_statistics
from metarl_jax.rollout import Actors, collect, start, task_keys
from metarl_jax.trees import leaves_by_path
from metarl_jax.types import Array, Key, PyTree


def make_algorithm(
    spec: AlgorithmSpec, hyperparameters: Hyperparameters, learn: LearningRule, minibatches: int = 1
) -> Algorithm:
    """An algorithm out of its `learn`: fresh tasks before it, the guard against NaN after it.

    Args:
        spec: what is learned.
        hyperparameters: schedules, of which each update reads the values at its progress.
        learn: what the algorithm makes of actors at the start of a meta-episode.
        minibatches: parts of the batch, each of which has a gradient of its own.

    Returns:
        The algorithm; nothing is compiled yet but its `init`.

    Raises:
        ConfigurationError: this process has fewer devices.
    """
    made, config, devices = _Updates(spec, hyperparameters, learn), spec.config, spec.config.devices
    # Compiled, so that every leaf is a buffer of its own and the whole state can be donated.
    return Algorithm(
        init=jax.jit(made.init, static_argnums=1, out_shardings=devices.replicated),
        update=devices.shard_map(made.update),
        steps_per_update=config.num_tasks * spec.meta_episode.length,
        find_nonfinite=devices.shard_map(made.find_nonfinite),
        chunk_sizes=config.chunk_sizes(config.num_tasks // (devices.count * minibatches)),
        name=spec.name,
        spec=spec,
    )


class _Updates:
    """The functions of an algorithm, on each device."""

    def __init__(
        self, spec: AlgorithmSpec, hyperparameters: Hyperparameters, learn: LearningRule
    ) -> None:
        self.spec, self.hyperparameters, self.learn = spec, hyperparameters, learn

    def init(self, key: Key, num_updates: int | None = None) -> TrainState:
        policy_key, loss_key, key = jax.random.split(key, 3)
        params = self.spec.policy.init(policy_key)
        knots = over(self.hyperparameters, num_updates)
        h = at_progress(knots, jnp.zeros((), jnp.float32))
        loss_params = self.spec.objective(h).init(loss_key, loss_shapes(self.spec))
        learner = LearnerState(
            params=params,
            loss_params=loss_params,
            optimizer_state=self.spec.optimizer(h).init((params.weights, loss_params)),
            advantage=identity_statistics(),
        )
        zero = jnp.zeros((), jnp.int32)
        updates = jnp.asarray(num_updates or 1, jnp.float32)
        return TrainState(learner, knots, updates, zero, zero, zero, key)

    def update(self, state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        key, actors, learn_key = self.sample_actors(state)
        learner, measured = self.learn(
            state.learner, self.hyperparameters_at(state), actors, learn_key
        )
        state, metrics = _keep_finite(state, learner, _metrics(self.spec.config, measured))
        return state.replace(key=key, update=state.update + 1), metrics

    def find_nonfinite(self, state: TrainState) -> dict[str, Array]:
        spec = self.spec
        _, actors, learn_key = self.sample_actors(state)
        again = actors.replace(keys=jax.random.clone(actors.keys))
        learner, _ = self.learn(state.learner, self.hyperparameters_at(state), again, learn_key)
        _, rollout, _ = collect(spec.policy, state.learner.params, spec.meta_episode, actors)
        numbers = {
            "observations": rollout.experience.observation,
            "rewards": rollout.outcome.reward,
            "values": rollout.value,
            "log-probabilities": rollout.log_prob,
        }
        valid = rollout.outcome.valid
        tasks = {name: nonfinite_by_task(x, valid) for name, x in numbers.items()}
        leaves = {name: ~jnp.all(jnp.isfinite(x)) for name, x in _floats(learner).items()}
        return {**spec.config.devices.all_gather_tasks(tasks), **leaves}

    def hyperparameters_at(self, state: TrainState) -> Hyperparameters:
        progress = state.update.astype(jnp.float32) / jnp.maximum(state.num_updates - 1, 1)
        return at_progress(state.hyperparameters, progress)

    def sample_actors(self, state: TrainState) -> tuple[Key, Actors, Key]:
        """The key of the update after this one, the actors of this one, and what is left."""
        meta_episode, config = self.spec.meta_episode, self.spec.config
        key, tasks_key, actors_key, learn_key = jax.random.split(state.key, 4)
        keys = [_own_keys(config, key) for key in (tasks_key, actors_key)]
        tasks = jax.vmap(meta_episode.tasks.sample)(keys[0])
        return key, start(self.spec.policy, meta_episode, tasks, keys[1]), learn_key


def loss_shapes(spec: AlgorithmSpec) -> Shapes:
    """What a loss can read at one step; nothing is computed."""
    policy, meta_episode = spec.policy, spec.meta_episode

    def one_step(key: Key) -> tuple[Array, ...]:
        keys = jax.random.split(key, 4)
        task = meta_episode.tasks.sample(keys[0])
        experience = meta_episode.reset(keys[1], task).experience
        params, carry = policy.init(keys[2]), policy.initial_carry(keys[3])
        _, output = policy.step(params, carry, experience)
        action = experience.transition.action
        described = meta_episode.tasks.describe(task)
        return output.features, experience.observation, action, described

    return Shapes(*jax.eval_shape(one_step, jax.eval_shape(lambda: jax.random.key(0))))


def _own_keys(config: UpdateConfig, key: Key) -> Key:
    """[B / devices]: those of this device's tasks."""
    devices = config.devices
    return task_keys(key, config.num_tasks // devices.count, devices.first_task(config.num_tasks))


def _metrics(config: UpdateConfig, measured: Measurements) -> dict[str, Array]:
    """Means over all valid steps, and over all tasks, of all devices."""
    returns = {
        "return": jnp.sum(measured.returns.total),
        "return_first_episode": jnp.sum(measured.returns.episodes[:, 0]),
        "return_last_episode": jnp.sum(measured.returns.episodes[:, -1]),
    }
    steps, returns = config.devices.psum((measured.steps, returns))
    means = {name: total / config.num_tasks for name, total in returns.items()}
    return {**steps.means(), **means, "gradient_norm": measured.gradient_norm}


def _keep_finite(
    state: TrainState, learner: LearnerState, metrics: dict[str, Array]
) -> tuple[TrainState, dict[str, Array]]:
    """Takes the new learner where all of it is finite; else keeps the old one and counts it."""
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in _floats(learner).values()]))
    chosen = jax.tree.map(lambda new, old: jnp.where(finite, new, old), learner, state.learner)
    state = state.replace(
        learner=chosen,
        skipped=state.skipped + jnp.where(finite, 0, 1),
        skipped_in_a_row=jnp.where(finite, 0, state.skipped_in_a_row + 1),
    )
    counters = {"skipped": state.skipped, "skipped_in_a_row": state.skipped_in_a_row}
    return state, metrics | {name: x.astype(jnp.float32) for name, x in counters.items()}


def _floats(tree: PyTree) -> dict[str, Array]:
    leaves = leaves_by_path(tree).items()
    return {path: x for path, x in leaves if jnp.issubdtype(x.dtype, jnp.floating)}
