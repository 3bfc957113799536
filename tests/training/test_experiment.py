"""From settings to a program: the policy, the algorithm and the plan that were asked for."""

import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metarl_experiments.commands.options import parse_train_options
from metarl_jax.experiment.build import (
    Setup,
    build_policy,
    build_setup,
    shorter_context,
)
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.kinds import CHOICES
from metarl_jax.experiment.registry import experiment_names, load_experiment
from metarl_jax.experiment.settings import Budget, EvaluationSettings, Settings
from metarl_jax.learning.settings import A2C, PPO, AlgorithmSettings, Reinforce
from metarl_jax.learning.train_state import TrainState
from metarl_jax.memory.settings import GRU, LSTM, Transformer
from metarl_jax.policy.settings import Adaptive, Memoryless
from metarl_jax.training.plan import LOGGED_PER_EVALUATION
from metarl_jax.types import ConfigurationError
from support.comparisons import assert_same
from support.probes import counter, revealed_target, tiny_bandit
from support.random_inputs import noise_like, random_experience, random_params, random_state

ALGORITHMS = ("a2c", "ppo", "reinforce")
SMALL = Settings(
    policy=Adaptive(embedding_size=4),
    memory=GRU(hidden_size=5),
    budget=Budget(num_tasks=4),
    evaluation=EvaluationSettings(evaluation_tasks=4),
)
PRESETS = experiment_names()


# The policy.


@pytest.mark.parametrize(
    "asked",
    [
        ["--memory", "memoryless"],
        ["--memory=memoryless"],
        ["--memory", "memoryless", "--policy", "memoryless"],
    ],
)
def test_no_memory_is_the_memoryless_policy(asked: list[str]) -> None:
    preset, seed = load_experiment("goal_grid_3"), ["--seed", "3"]
    expected = parse_train_options(preset, ["--policy", "memoryless", *seed])
    assert parse_train_options(preset, [*asked, *seed]).settings == expected.settings
    with pytest.raises(ConfigurationError, match="no other --policy beside --memory memoryless"):
        parse_train_options(preset, ["--memory", "memoryless", "--policy", "contextual"])


@pytest.mark.parametrize("name", CHOICES["memory"])
def test_the_memory_is_the_one_asked_for(name: Any) -> None:
    tasks = counter()
    settings = SMALL.choose("memory", name).change({"memory.hidden_size": 16})
    policy = build_policy(tasks, settings)
    windowed = name in ("snail", "transformer")
    assert policy.context_length == (tasks.max_steps if windowed else None)
    assert policy.parallel == (name not in ("gru", "lstm"))
    params, x = random_params(policy), random_experience(tasks, False, 4)
    carry = policy.initial_carry(jax.random.key(0))
    _, output = jax.jit(policy.unroll)(params, carry, x)
    other = jax.tree.map(
        lambda leaf: 1 - leaf[:1] if leaf.dtype != bool else leaf[:1], x.transition
    )
    past = jax.tree.map(lambda leaf, new: leaf.at[:1].set(new), x.transition, other)
    _, changed = jax.jit(policy.unroll)(params, carry, x.replace(transition=past))
    assert output.value[-1] != changed.value[-1]
    if windowed:
        assert (
            build_policy(tasks, settings.change({"memory.context_length": 3})).context_length == 3
        )
        longer = settings.change({"budget.meta_episode_steps": 50})
        assert build_policy(tasks, longer).context_length == 50
        shorter = settings.change({"budget.meta_episode_steps": 2})
        assert build_policy(tasks, shorter).context_length == tasks.max_steps


@pytest.mark.parametrize(
    ("branch", "name", "has_not"),
    [
        ("memory", "gru", {"context_length", "num_heads", "gated_residuals", "aggregation"}),
        ("memory", "snail", {"episode_positions", "num_heads", "gated_residuals", "aggregation"}),
        ("memory", "transformer", {"aggregation"}),
        ("memory", "context-set", {"num_layers", "context_length", "num_heads"}),
        ("policy", "memoryless", {"head"}),
        ("algorithm", "a2c", {"epochs", "minibatches", "clip_ratio"}),
        ("algorithm", "ppo", {"bptt_segments"}),
        ("algorithm", "reinforce", {"gae_lambda", "value_coefficient", "bptt_segments", "epochs"}),
    ],
)
def test_what_a_choice_does_not_have_cannot_be_set(
    branch: str, name: str, has_not: set[str]
) -> None:
    settings = SMALL.choose(branch, name)
    for setting in has_not:
        assert not settings.has(f"{branch}.{setting}")
        with pytest.raises(ConfigurationError, match=f"got '{branch}.{setting}'; .* has"):
            settings.change({f"{branch}.{setting}": 1})


def test_what_two_kinds_share_is_carried_over() -> None:
    """What differs from its default, that is: a GRU's one layer is its own."""
    transformer = Settings(memory=GRU(hidden_size=48)).choose("memory", "transformer")
    assert transformer.memory == Transformer(hidden_size=48)
    ppo = Settings(algorithm=A2C(gae_lambda=(0.5,), bptt_segments=2)).choose("algorithm", "ppo")
    assert ppo.algorithm == PPO(gae_lambda=(0.5,))
    told = Settings(policy=Adaptive(embedding_size=8, head="hypernetwork"))
    lower = told.choose("policy", "memoryless")
    assert (lower.policy, lower.memory) == (Memoryless(embedding_size=8), None)


def test_a_policy_and_a_memory_that_do_not_go_together_are_refused() -> None:
    for wrong in ({"memory": None}, {"policy": Memoryless()}):
        with pytest.raises(ConfigurationError, match="expected a memory with every policy but"):
            Settings(**wrong)


@pytest.mark.parametrize(
    ("name", "reads_the_past", "is_told"),
    [("adaptive", True, False), ("contextual", True, True), ("memoryless", False, False)],
)
def test_the_policy_is_the_one_asked_for(name: Any, reads_the_past: bool, is_told: bool) -> None:
    tasks = counter()
    policy = build_policy(tasks, SMALL.choose("policy", name))
    assert (policy.name, policy.contextual) == (name, is_told)
    params, carry = random_params(policy), policy.initial_carry(jax.random.key(0))
    unroll = jax.jit(policy.unroll)
    last_value = lambda x: float(unroll(params, carry, x)[1].value[-1])
    x = random_experience(tasks, policy.contextual, 4)
    first = lambda leaf: noise_like(leaf, seed=5)[0]
    past = jax.tree.map(lambda leaf: leaf.at[0].set(first(leaf)), x.transition)
    assert (last_value(x.replace(transition=past)) != last_value(x)) == reads_the_past
    assert x.context.shape == (4, 1 if is_told else 0)
    assert (last_value(x.replace(context=x.context + 1)) != last_value(x)) == is_told
    assert last_value(x.replace(observation=x.observation + 1)) != last_value(x)


def test_the_policy_has_the_sizes_asked_for() -> None:
    settings = SMALL.change({"policy.head_sizes": (7, 6), "policy.initial_log_std": -1.25})
    policy = build_policy(revealed_target(), settings)
    assert policy.initial_carry(jax.random.key(0)).shape == (5,)
    key = jax.random.key(0)
    weights: Any = jax.eval_shape(policy.init, key).weights
    assert {leaf.shape[-1] for leaf in jax.tree.leaves(weights["embedding"])} == {4}
    shapes = [leaf.shape for leaf in jax.tree.leaves(weights["heads"]) if len(leaf.shape) == 2]
    # Value and actor, each: features (5 of the memory, 4 of the observation) -> 7 -> 6 -> out.
    assert sorted(shapes) == sorted([(9, 7), (7, 6), (6, 1), (9, 7), (7, 6), (6, 2)])
    # Compiled, so that no other weight is made.
    log_std = jax.jit(lambda key: policy.init(key).weights["heads"]["params"]["log_std"])(key)
    np.testing.assert_array_equal(log_std, [-1.25, -1.25])


# The algorithm.


@functools.cache
def updated(settings: Settings) -> tuple[TrainState, dict[str, Any]]:
    """The state and the metrics after a program's first update on a probe family."""
    program = build_setup(tiny_bandit(num_pulls=4), settings, num_devices=1)
    state = random_state(program.algorithm, settings.hyperparameters())
    return jax.jit(program.algorithm.update)(state)


@pytest.mark.parametrize(
    ("structure", "gradient_steps", "terms"),
    [
        (A2C(), 1, {"policy_gradient", "value_error", "entropy"}),
        (
            A2C(bptt_segments=4),
            4,
            {"policy_gradient", "value_error", "entropy"},
        ),
        # 3 minibatches would not divide the tasks: the two numbers cannot change places.
        (
            PPO(epochs=3, minibatches=2),
            6,
            {"clipped_policy_gradient", "value_error", "entropy"},
        ),
        (Reinforce(), 1, {"policy_gradient", "entropy"}),
    ],
)
def test_the_algorithm_takes_the_gradient_steps_asked_for(
    structure: AlgorithmSettings, gradient_steps: int, terms: set[str]
) -> None:
    """Told by Adam's count after one update, and by the terms of the loss."""
    state, metrics = updated(SMALL.change({"algorithm": structure}))
    assert optax.tree_utils.tree_get(state.learner.optimizer_state, "count") == gradient_steps
    every = {"policy_gradient", "clipped_policy_gradient", "value_error", "entropy"}
    assert metrics.keys() & every == terms
    assert int(state.skipped) == 0


def test_an_update_is_structured_as_asked_for() -> None:
    """The discount mode shows in the advantages, the normalisation in the statistics."""
    plain, _ = updated(SMALL)
    other, _ = updated(
        SMALL.change(
            {"discounting.discount_mode": "episodic", "policy.normalize_observations": True}
        )
    )
    assert float(plain.learner.advantage.mean) != float(other.learner.advantage.mean)
    before, after = (state.learner.params.statistics for state in (plain, other))
    assert_same(before.reward, after.reward)  # the same was played
    assert float(before.observation.count) < float(after.observation.count)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_begins_with_the_schedules_asked_for(algorithm: Any) -> None:
    """Those of the settings, over the updates of the plan."""
    settings = SMALL.choose("algorithm", algorithm).change(
        {"optimizer.learning_rate": (0.01, 0.02, 0.03), "budget.total_steps": 5_000}
    )
    program = build_setup(counter(), settings)

    @jax.jit  # so that no weight is made
    def schedules(key: jax.Array) -> Any:
        state = program.algorithm.init(key, program.plan.num_updates)
        return state.hyperparameters, state.num_updates

    chosen, num_updates = schedules(jax.random.key(0))
    assert_same(chosen, settings.hyperparameters())
    assert float(num_updates) == program.plan.num_updates > 100


# The plan.


@pytest.mark.parametrize("budget", [None, 5])
@pytest.mark.parametrize("num_evaluations", [1, 2, 10, 20])
@pytest.mark.parametrize("total_steps", [1, 24, 25, 700, 2_345, 9_999, 100_000])
def test_a_plan_takes_the_steps_asked_for_rounded_up_to_a_chunk(
    total_steps: int, num_evaluations: int, budget: int | None
) -> None:
    settings = SMALL.change(
        {
            "budget.total_steps": total_steps,
            "evaluation.num_evaluations": num_evaluations,
            "budget.meta_episode_steps": budget,
        }
    )
    tasks = counter(episode_length=3, num_episodes=2)
    program = build_setup(tasks, settings)
    plan, steps_per_update = program.plan, program.algorithm.steps_per_update
    assert steps_per_update == 4 * (budget or 6)
    assert plan.num_updates * steps_per_update >= total_steps
    assert (plan.num_updates - plan.updates_per_chunk) * steps_per_update < total_steps
    evaluations = [u for u in rows(program) if plan.evaluates(u)]
    wanted = -(-total_steps // steps_per_update)
    assert len(evaluations) >= min(wanted, num_evaluations)
    assert len(evaluations) <= 2 * num_evaluations
    assert evaluations[-1] == plan.num_updates
    if wanted >= num_evaluations * LOGGED_PER_EVALUATION:
        assert len(rows(program)) >= num_evaluations * LOGGED_PER_EVALUATION


def rows(program: Setup) -> range:
    """The updates after which there is a row."""
    plan = program.plan
    return range(plan.updates_per_chunk, plan.num_updates + 1, plan.updates_per_chunk)


# The presets.


@pytest.fixture(scope="module")
def presets() -> dict[str, Experiment]:
    assert len(PRESETS) >= 18
    return {name: load_experiment(name) for name in PRESETS}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_what_exists(name: str, presets: dict[str, Experiment]) -> None:
    """Paths of its settings, algorithms, arguments of its family; and its entry point's name."""
    preset = presets[name]
    assert preset.name == name
    assert preset.arguments.keys() <= inspect.signature(preset.family).parameters.keys()
    own = {preset.settings.algorithm.name, preset.settings.memory_name}
    assert preset.variants.keys() <= {*ALGORITHMS, *CHOICES["memory"]} - own
    for kind, changes in preset.variants.items():
        branch = "memory" if kind in CHOICES["memory"] else "algorithm"
        chosen = preset.settings.choose(branch, kind)
        assert all(chosen.has(path) for path in changes)
        assert not {"algorithm", "memory"} & changes.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_a_variant_changes_what_it_names_and_nothing_else(
    name: str, presets: dict[str, Experiment]
) -> None:
    preset = presets[name]
    for branch, kinds in (("algorithm", ALGORITHMS), ("memory", CHOICES["memory"])):
        for kind in kinds:
            expected = preset.settings.choose(branch, kind)
            if expected is not preset.settings:
                expected = expected.change(preset.variants.get(kind, {}))
            assert preset.settings_for(**{branch: kind}) == expected


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_program_with_every_algorithm(
    name: str, presets: dict[str, Experiment]
) -> None:
    """Its segments divide its meta-episode, and its minibatches its tasks."""
    preset = presets[name]
    tasks = preset.family(**preset.arguments)
    for algorithm in ALGORITHMS:
        settings = preset.settings_for(algorithm=algorithm)
        program = build_setup(tasks, settings)
        assert (
            program.plan.num_updates * program.algorithm.steps_per_update
            >= settings.budget.total_steps
        )
    for memory in CHOICES["memory"]:
        settings = preset.settings_for(memory=memory)
        assert build_policy(tasks, settings).name == "adaptive"


def test_a_variant_of_a_preset_reaches_its_settings() -> None:
    """An experiment of our own: the settings of another algorithm are not those of its own."""
    experiment = Experiment(
        name="probe",
        summary="",
        family=counter,
        settings=SMALL.change({"optimizer.learning_rate": (0.5,)}),
        variants={
            "ppo": {"algorithm.epochs": 9},
            "a2c": {"algorithm.bptt_segments": 7},
            "lstm": {"memory.hidden_size": 3, "algorithm.gae_lambda": (0.1,)},
        },
    )
    own, ppo = experiment.settings, PPO(epochs=9)
    both = own.change({"algorithm": ppo, "memory": LSTM(hidden_size=3)})
    both = both.change({"algorithm.gae_lambda": (0.1,)})
    assert experiment.settings_for(algorithm="ppo", memory="lstm") == both
    assert experiment.settings_for(algorithm="a2c") == own
    assert experiment.settings_for(algorithm="ppo") == own.change({"algorithm": ppo})
    without = experiment.settings_for(algorithm="reinforce", memory="lstm")
    assert without.algorithm == Reinforce()  # which has no lambda
    assert jnp.allclose(
        experiment.settings_for(algorithm="ppo").hyperparameters()["learning_rate"], 0.5
    )


def test_a_window_that_does_not_see_all_is_told() -> None:
    tasks = counter()
    settings = SMALL.choose("memory", "snail").change({"memory.context_length": 3})
    policy = build_policy(tasks, settings)
    assert shorter_context(policy, 4) == "each layer looks back 3 of a meta-episode's 4 steps"
    assert shorter_context(policy, 3) is None
    assert shorter_context(build_policy(tasks, SMALL), 4) is None
