"""`metarl evaluate RUN`: a run's checkpoint on meta-test tasks, from its folder alone."""

import dataclasses
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax

from metarl_experiments.commands.evaluation_record import (
    EvaluateOptions,
    evaluator_of,
    subject_of,
)
from metarl_experiments.commands.parsing import parse
from metarl_experiments.commands.pictures import draw_run
from metarl_experiments.runs import load_tasks
from metarl_jax.checkpoint.checkpoint import restore
from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.evaluate import references_of
from metarl_jax.evaluation.population_record import PopulationRecord
from metarl_jax.evaluation.protocol import final_measures
from metarl_jax.evaluation.record import EvaluationRecord
from metarl_jax.evaluation.store import write_evaluation
from metarl_jax.experiment.build import Setup, build_setup, shorter_context
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.files import json_text
from metarl_jax.learning.train_state import TrainState, initial_shapes
from metarl_jax.parallel.processes import is_first, on_all_processes
from metarl_jax.report.verdict import verdict
from metarl_jax.tasks.distribution import TaskDistribution


def evaluate_command(arguments: Sequence[str]) -> int:
    """Evaluates, prints, and writes evaluation*.json, evaluation*.npz and the pictures."""
    options = parse(EvaluateOptions, "metarl evaluate", arguments)
    config = load_config(options.run)
    _, tasks = load_tasks(config)
    setup, state = restore_run(options.run, config, tasks, options.step)
    steps = (options.episodes or tasks.num_episodes) * tasks.episode_length
    if looks_back := shorter_context(setup.policy, steps):
        print(f"metarl: {looks_back}", file=sys.stderr)
    evaluate_and_draw(options, config, setup, state)
    return 0


def restore_run(
    folder: Path, config: RunConfig, tasks: TaskDistribution, step: int | None = None
) -> tuple[Setup, TrainState]:
    """A run's setup, and the train state of a checkpoint; what is passed over is said.

    Args:
        folder: the run's.
        config: the run's.
        tasks: the run's.
        step: the checkpoint of this update; the last one by default.

    Raises:
        ConfigurationError: there is no such checkpoint, or none that is whole.
    """
    settings = config.settings
    if settings.policy.precision != "f32" and jax.default_backend() == "cpu":
        print("metarl: evaluated in f32; a CPU has no bfloat16 matmul.", file=sys.stderr)
        settings = settings.change({"policy.precision": "f32"})
    setup = build_setup(tasks, settings, sweep=config.sweep)
    template = initial_shapes(setup.algorithm, setup.key, setup.plan.num_updates)
    restored = restore(folder / "checkpoints", template, step)
    for reason in restored.passed_over:
        print(f"metarl: passed over: {reason}", file=sys.stderr)
    return setup, restored.state


def evaluate_and_draw(
    options: EvaluateOptions,
    config: RunConfig,
    setup: Setup,
    state: TrainState,
    ablations: Sequence[Ablation] = (),
) -> list[Path]:
    """Evaluates a run or a population, prints the result and draws it.

    Of several processes all evaluate, and the first prints and draws.

    Args:
        options: which question is asked of it; pictures are drawn of the plain one alone.
        config: the run's.
        setup: the run's.
        state: the train state of the checkpoint.
        ablations: of one agent, evaluated too, for its report.

    Returns:
        The pictures' paths.
    """
    plain = options.label == "evaluation"
    _say(options, _announcement(options, config, setup))
    record: EvaluationRecord | PopulationRecord
    if setup.is_population:
        from metarl_experiments.commands import populations

        whole = populations.evaluate_population(options, config, setup, state)
        record, in_words = whole, partial(populations.print_population, whole)
        draw = partial(populations.draw_population, options.run, config, setup, whole)
    else:
        alone = evaluate_run(options, config, setup, state)
        for ablation in ablations:
            ablated = dataclasses.replace(options, ablate=ablation)
            evaluate_run(ablated, config, setup, state)
        record, in_words = alone, partial(print_evaluation, alone)
        draw = partial(draw_run, options.run, config, setup, state.learner.params)

    def tell() -> list[Path]:
        if not is_first():
            return []
        if options.json:
            print(json_text(record.to_json()), end="")
        else:
            in_words()
        if not plain:
            return []
        _say(options, "drawing the report ...")
        return draw()

    return on_all_processes(tell)


def _say(options: EvaluateOptions, text: str) -> None:
    """Prints before a silent stretch, unless a program reads what is printed."""
    if is_first() and not options.json:
        print(text, flush=True)


def _announcement(options: EvaluateOptions, config: RunConfig, setup: Setup) -> str:
    tasks = options.tasks or config.settings.evaluation.final_evaluation_tasks
    agents = f"{len(setup.agents)} agents " if setup.is_population else ""
    return f"evaluating {agents}on {tasks:,} tasks ..."


def evaluate_run(
    options: EvaluateOptions, config: RunConfig, setup: Setup, state: TrainState
) -> EvaluationRecord:
    """Evaluates a policy and writes LABEL.npz and LABEL.json into the run's folder.

    Args:
        options: which question is asked of it.
        config: the run's.
        setup: the run's.
        state: the train state of the checkpoint.

    Returns:
        The record that LABEL.json holds.
    """
    params, plain = state.learner.params, options.label == "evaluation"
    evaluation = evaluator_of(options, config, setup)(params)
    take = partial(final_measures, setup.tasks, setup.policy, params, setup.num_devices)
    record = EvaluationRecord.of(
        evaluation,
        subject_of(evaluation, options, config, setup, int(state.update)),
        references_of(setup.tasks, options.episodes, options.split),
        contextual=setup.policy.contextual,
        measures=take() if plain else None,
    )
    write_evaluation(options.run, options.label, record, evaluation.episode_returns)
    return record


def print_evaluation(record: EvaluationRecord) -> None:
    """The result in words; of a plain evaluation the verdict too."""
    print(f"{record.num_tasks:,} meta-test tasks, 95% intervals:")
    means, widths = record.episode_return_mean, record.episode_return_ci95
    for i in _shown_episodes(len(means)):
        print(f"  episode {i + 1:<4} {means[i]:10.4f} ± {widths[i]:.4f}")
    print(f"  total        {record.total_return_mean:10.4f} ± {record.total_return_ci95:.4f}")
    low, high = record.total_return_p20_interval95
    fifth = f"{record.total_return_p20:10.4f}, {low:.4f} to {high:.4f}"
    print(f"  worst fifth  {fifth}, 20th percentile of the total")
    _print_scores(record)
    for name, value in (record.measures or {}).items():
        values = value if isinstance(value, tuple) else (value,)
        print(f"  {name.replace('_', ' ')}: {', '.join(f'{v:.3f}' for v in values)}")
    if record.ablation is None:
        print(verdict(record))


def _shown_episodes(num_episodes: int) -> Sequence[int]:
    """Indices of the episodes that have a line: all of a few, else the first two and the last."""
    return range(num_episodes) if num_episodes <= 4 else (0, 1, num_episodes - 1)


def _print_scores(record: EvaluationRecord) -> None:
    if record.regret is None:
        return
    best = record.total_return_mean + record.regret
    optimal = record.references.optimal
    told = optimal is None or abs(best - optimal) > 1e-6
    line = f"  regret       {record.regret:10.4f}, {'oracle return' if told else 'Bayes optimum'} "
    line += f"{best:.4f}"
    if record.normalized_score is not None:
        score = f"{record.normalized_score:.4f} ± {record.normalized_score_ci95:.4f}"
        line += f"; score {score}, 0 at random and 1 there"
    print(line)
