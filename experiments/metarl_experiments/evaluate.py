"""`metarl evaluate RUN`: a run's checkpoint on meta-test tasks, from its folder alone."""

import dataclasses
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from metarl_experiments.pictures import ABLATION_LABELS, draw_run
from metarl_experiments.runs import RunConfig, load_config, load_tasks
from metarl_jax.ablations import Ablation
from metarl_jax.checkpoint import restore
from metarl_jax.evaluation import Evaluation
from metarl_jax.learner import TrainState, require_positive, require_seed
from metarl_jax.meta_test import make_meta_test, references_of
from metarl_jax.metrics_file import jsonable
from metarl_jax.own_files import write_whole
from metarl_jax.policy import PolicyParams
from metarl_jax.processes import is_first, together
from metarl_jax.program import Program, make_program, shorter_window
from metarl_jax.standing import standing
from metarl_jax.tasks import TaskDistribution
from metarl_jax.types import UnwritableError

META_TEST_SEED = 2_147_483_629
"""Of the meta-test tasks: the same for all runs of a family, and no run's own seed."""

MEASURE_SEED = 2_147_483_549
"""Of the tasks on which a family's own measures are taken."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Evaluate a run's last checkpoint on meta-test tasks.

    Attributes:
        run: the folder that `metarl train` made.
        tasks: meta-test tasks; the run's own number by default.
        episodes: episodes in a meta-episode; as trained by default.
        greedy: the most probable action instead of a sample.
        ablate: what is taken from the policy. memory: every episode begins with a fresh one and the
            blank transition; rewards: it reads none; history: its task is exchanged for another
            before the last episode.
        split: an out-of-distribution split of the family.
        step: the checkpoint of this update; the last one by default.
        seed: of the actions; the tasks are the same for all.
        json: prints the result as JSON, as evaluation*.json holds it.
    """

    run: tyro.conf.Positional[Path]
    tasks: int | None = None
    episodes: int | None = None
    greedy: bool = False
    ablate: Ablation | None = None
    split: str | None = None
    step: int | None = None
    seed: int = 0
    json: bool = False

    def __post_init__(self) -> None:
        for name in ("tasks", "episodes"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require_seed(self.seed)

    @property
    def label(self) -> str:
        """Of the files written: every question asked has an answer of its own."""
        parts = ["evaluation"]
        parts += [f"{self.tasks}_tasks"] * (self.tasks is not None)
        parts += [f"{self.episodes}_episodes"] * (self.episodes is not None)
        parts += ["greedy"] * self.greedy
        parts += [ABLATION_LABELS[self.ablate]] if self.ablate else []
        parts += [f"split_{self.split}"] * (self.split is not None)
        parts += [f"step_{self.step}"] * (self.step is not None)
        parts += [f"seed_{self.seed}"] * (self.seed != 0)
        return "_".join(parts)


def evaluate_command(arguments: Sequence[str]) -> int:
    """Evaluates, prints, and writes evaluation*.json, evaluation*.npz and the pictures."""
    options = tyro.cli(EvaluateOptions, prog="metarl evaluate", args=list(arguments))
    config = load_config(options.run)
    _, tasks = load_tasks(config)
    program, state = restore_run(options.run, config, tasks, options.step)
    steps = (options.episodes or tasks.num_episodes) * tasks.episode_length
    if looks_back := shorter_window(program.policy, steps):
        print(f"metarl: {looks_back}", file=sys.stderr)
    conclude(options, config, program, state)
    return 0


def restore_run(
    folder: Path, config: RunConfig, tasks: TaskDistribution, step: int | None = None
) -> tuple[Program, TrainState]:
    """A run's program, and the train state of a checkpoint; what is passed over is said.

    Args:
        folder: the run's.
        config: the run's.
        tasks: the run's.
        step: the checkpoint of this update; the last one by default.

    Raises:
        ConfigurationError: there is no such checkpoint, or none that is whole.
    """
    settings = config.settings
    if settings.precision != "f32" and jax.default_backend() == "cpu":
        print("metarl: evaluated in f32, a CPU having no product of bfloat16.", file=sys.stderr)
        settings = dataclasses.replace(settings, precision="f32")
    program = make_program(tasks, settings, sweep=config.sweep)
    template = jax.eval_shape(program.algorithm.init, program.key)
    restored = restore(folder / "checkpoints", template, step)
    for reason in restored.passed_over:
        print(f"metarl: passed over: {reason}", file=sys.stderr)
    return program, restored.state


def conclude(
    options: EvaluateOptions, config: RunConfig, program: Program, state: TrainState
) -> list[Path]:
    """Evaluates a run or a population, prints the result and draws it.

    Of several processes all evaluate, and the first prints and draws.

    Args:
        options: which question is asked of it; pictures are drawn of the plain one alone.
        config: the run's.
        program: the run's.
        state: the train state of the checkpoint.

    Returns:
        The pictures' paths.
    """
    plain = options.label == "evaluation"
    if program.is_population:
        from metarl_experiments import populations

        record = populations.evaluate_population(options, config, program, state)
        in_words, draw = populations.print_population, populations.draw_population
        drawn: Any = record
    else:
        record = evaluate_run(options, config, program, state)
        in_words, draw = print_evaluation, draw_run
        drawn = state.learner.params

    def tell() -> list[Path]:
        if not is_first():
            return []
        if options.json:
            print(json.dumps(jsonable(record), indent=2))
        else:
            in_words(record)
        return draw(options.run, config, program, drawn) if plain else []

    return together(tell)


def evaluate_run(
    options: EvaluateOptions, config: RunConfig, program: Program, state: TrainState
) -> dict[str, Any]:
    """Evaluates a policy and writes LABEL.npz and LABEL.json into the run's folder.

    Args:
        options: which question is asked of it.
        config: the run's.
        program: the run's.
        state: the train state of the checkpoint.

    Returns:
        What LABEL.json holds.
    """
    params = state.learner.params
    evaluation = evaluator_of(options, config, program)(params)
    record = evaluation_record(evaluation, options, config, program, int(state.update))
    if options.label == "evaluation":
        from metarl_experiments.measures import measure  # imports the families, which takes seconds

        record["measures"] = measure(program, params, jax.random.key(MEASURE_SEED))
    write_evaluation(options, record, evaluation.episode_returns)
    return record


def evaluator_of(
    options: EvaluateOptions, config: RunConfig, program: Program
) -> Callable[[PolicyParams], Evaluation]:
    """The evaluation that is asked for, as a function of a policy's parameters."""
    tasks_key, actors_key = jax.random.split(jax.random.key(META_TEST_SEED))
    meta_test = make_meta_test(
        program.tasks,
        program.policy,
        tasks_key,
        options.tasks or config.settings.final_evaluation_tasks,
        num_episodes=options.episodes,
        greedy=options.greedy,
        ablation=options.ablate,
        split=options.split,
        num_devices=program.num_devices,
    )
    key = jax.random.fold_in(actors_key, options.seed)
    return lambda params: meta_test(params, key)


def write_evaluation(
    options: EvaluateOptions, record: Mapping[str, Any], episode_returns: np.ndarray
) -> None:
    """Writes LABEL.npz and, last and whole, LABEL.json: where it stands, the evaluation was done.

    Of several processes the first writes.

    Raises:
        UnwritableError: the run's folder cannot be written.
    """
    together(lambda: _write(options, record, episode_returns) if is_first() else None)


def _write(
    options: EvaluateOptions, record: Mapping[str, Any], episode_returns: np.ndarray
) -> None:
    place = options.run / options.label
    try:
        arrays = io.BytesIO()
        np.savez_compressed(arrays, episode_returns=episode_returns)
        write_whole(place.with_name(f"{place.name}.npz"), arrays.getvalue())
        text = json.dumps(jsonable(record), indent=2) + "\n"
        write_whole(place.with_name(f"{place.name}.json"), text)
    except OSError as error:
        raise UnwritableError(
            f"expected a run's folder that can be written, got {options.run}: {error.strerror}; "
            "make room or give yourself the right to write there."
        ) from error


def evaluation_record(
    evaluation: Evaluation,
    options: EvaluateOptions,
    config: RunConfig,
    program: Program,
    update: int,
) -> dict[str, Any]:
    """An evaluation as JSON: means with the half-widths of their 95% intervals."""
    contextual = program.policy.contextual
    references = references_of(program.tasks, options.episodes, options.split)
    stands = standing(evaluation, references, contextual=contextual)
    return {
        "task_family": program.tasks.name,
        "experiment": config.experiment,
        "policy": config.settings.policy,
        "memory": config.settings.memory,
        "update": update,
        "algorithm": config.settings.algorithm,
        "num_tasks": evaluation.num_tasks,
        "task_set_hash": evaluation.task_set_hash,
        "split": options.split,
        "sampled_actions": not options.greedy,
        "ablation": options.ablate,
        "seed": options.seed,
        "episode_return_mean": evaluation.episode_return_mean.tolist(),
        "episode_return_ci95": evaluation.episode_return_ci95.tolist(),
        "total_return_mean": evaluation.total_return_mean,
        "total_return_ci95": evaluation.total_return_ci95,
        "total_return_iqm": evaluation.total_return_iqm,
        "total_return_iqm_interval95": list(evaluation.total_return_iqm_interval95),
        "total_return_p20": evaluation.total_return_p20,
        "total_return_p20_interval95": list(evaluation.total_return_p20_interval95),
        "adaptation_gain": evaluation.adaptation_gain,
        "adaptation_gain_ci95": evaluation.adaptation_gain_ci95,
        "regret": stands and stands.regret,
        "normalized_score": stands and stands.normalized_score,
        "normalized_score_ci95": stands and stands.normalized_score_ci95,
        "references": {
            "random": references.random_total,
            "memoryless": references.memoryless_total,
            "optimal": references.optimal_total,
            "bound": references.optimal_bound,
            "known_task": references.known_task_total,
        },
    }


def print_evaluation(record: dict[str, Any]) -> None:
    """The result in words."""
    means, widths = record["episode_return_mean"], record["episode_return_ci95"]
    shown = range(len(means)) if len(means) <= 12 else (0, 1, len(means) - 2, len(means) - 1)
    print(f"{record['num_tasks']:,} meta-test tasks, 95% intervals:")
    for i in shown:
        print(f"  episode {i + 1:<4} {means[i]:10.4f} ± {widths[i]:.4f}")
    for name, value in record.get("measures", {}).items():
        values = value if isinstance(value, list) else [value]
        print(f"  {name.replace('_', ' ')}: {', '.join(f'{v:.3f}' for v in values)}")
    gain, width = record["adaptation_gain"], record["adaptation_gain_ci95"]
    print(f"  gain         {gain:10.4f} ± {width:.4f}, last episode less the first")
    for label, name, words in (
        ("middle half", "iqm", "interquartile mean of the total"),
        ("worst fifth", "p20", "20th percentile of the total"),
    ):
        low, high = record[f"total_return_{name}_interval95"]
        value = record[f"total_return_{name}"]
        print(f"  {label:12} {value:10.4f}, {low:.4f} to {high:.4f}, {words}")
    print(f"  total        {record['total_return_mean']:10.4f} ± {record['total_return_ci95']:.4f}")
    if record["regret"] is not None:
        best = record["total_return_mean"] + record["regret"]
        optimal = record["references"]["optimal"]
        told = optimal is None or abs(best - optimal) > 1e-6
        words = "who is told the task" if told else "the Bayes-optimal policy"
        print(f"  regret       {record['regret']:10.4f}, to the {best:.4f} of {words}")
    if record["normalized_score"] is not None:
        score, width = record["normalized_score"], record["normalized_score_ci95"]
        print(f"  score        {score:10.4f} ± {width:.4f}, 0 at random and 1 there")
