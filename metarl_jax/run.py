"""A whole run in one call: trains, evaluates on meta-test tasks, saves and draws."""

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from metarl_jax.checks import require_positive
from metarl_jax.evaluation.ablated import (
    ABLATION_LABELS,
    Ablated,
    ablations_at_once,
    find_ablations,
)
from metarl_jax.evaluation.protocol import final_evaluation, final_measures, make_validation
from metarl_jax.evaluation.record import EvaluationRecord, EvaluationSubject
from metarl_jax.evaluation.store import write_evaluation
from metarl_jax.experiment.policy_file import PolicyRecord, write_policy_record
from metarl_jax.experiment.run_config import is_configured
from metarl_jax.files import json_text, read_object, write_whole
from metarl_jax.learning.train_state import Algorithm, with_params
from metarl_jax.policy.conformance import check_unroll
from metarl_jax.policy.policy import Policy, PolicyParams
from metarl_jax.report.pictures import draw_pictures
from metarl_jax.report.verdict import verdict
from metarl_jax.tasks.conformance import check_task_distribution
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.interface import Interface, interface_of, write_interface
from metarl_jax.training.metrics_file import read_rows
from metarl_jax.training.plan import Evaluate, ExitCode, Logger, Outcome, TrainingPlan, plan_for
from metarl_jax.training.provenance import describe_machine
from metarl_jax.training.result import TrainingError, TrainResult
from metarl_jax.training.train import require_new, run_training
from metarl_jax.types import ConfigurationError, Key

if TYPE_CHECKING:
    from metarl_jax.report.console import Console

RUN_FILE = "run.json"
NUM_EVALUATIONS = 20
"""Evaluations in a run where `evaluate_every` is not given."""


def train(
    tasks: TaskDistribution,
    policy: Policy,
    algorithm: Algorithm,
    *,
    total_steps: int,
    key: Key,
    folder: str | os.PathLike[str] | None = None,
    evaluate_every: int | None = None,
    evaluation_tasks: int = 256,
    final_evaluation_tasks: int = 10_000,
    loggers: Sequence[Logger] = (),
    progress: bool = True,
    resume: bool = False,
    init_params: PolicyParams | None = None,
) -> TrainResult:
    """Trains a policy, evaluates it on meta-test tasks, and leaves a run's folder.

    The folder is the one that `metarl train` makes, without config.json: metrics, checkpoints,
    evaluation, pictures and report. `Agent.load` acts from it.

    Args:
        tasks: p(M).
        policy: what is trained; the one that `algorithm` was made with.
        algorithm: of `a2c`, `ppo` or `reinforce`.
        total_steps: environment steps to train for, rounded up to whole chunks of updates. The
            schedules run over them.
        key: of the first train state; it decides everything random.
        folder: the run's; made if it is missing. None keeps nothing on disk.
        evaluate_every: environment steps between evaluations and checkpoints; None for 20 in all.
        evaluation_tasks: meta-test tasks of each evaluation during training.
        final_evaluation_tasks: meta-test tasks of the evaluation at the end.
        loggers: more places for the rows of metrics.
        progress: whether to print how it goes: a live view in a terminal, lines elsewhere.
        resume: whether to go on with the run that the folder holds, or to begin if there is none.
            With more steps than it was begun with, its schedules end where they would have ended.
        init_params: parameters to begin with in place of random ones: a warm start.

    Returns:
        The parameters, the evaluation and the rows of metrics.

    Raises:
        ConfigurationError: an argument is out of its range, the task family breaks a law, or the
            folder holds a run already.
        KeyboardInterrupt: Ctrl-C; the run is saved, and `resume=True` goes on.
        TrainingError: the run diverged, was terminated, or could not be saved.
    """
    _check_counts(total_steps, evaluation_tasks, final_evaluation_tasks, evaluate_every)
    _check_parts(tasks, policy, algorithm, key)
    record, interface = PolicyRecord.of(policy, algorithm, key), interface_of(tasks)
    with contextlib.ExitStack() as stack:
        place, begun = _make_folder(folder, resume, stack)
        plan = _plan(algorithm, total_steps, begun or total_steps, evaluate_every)
        header = _header(tasks, policy, algorithm, plan, folder)
        console = stack.enter_context(_console(header, progress))
        outcome = run_training(
            algorithm,
            _announced(make_validation(tasks, policy, evaluation_tasks), evaluation_tasks, console),
            plan,
            folder=place,
            key=key,
            reporter=console,
            loggers=loggers,
            resume_from="latest" if begun else None,
            prepare=lambda state: with_params(state, init_params) if init_params else state,
            on_start=lambda: _describe(place, interface, record, algorithm, total_steps, begun),
        )
        _require_finished(outcome)
        console.evaluating(final_evaluation_tasks)
        result = _conclude(tasks, policy, algorithm, outcome, final_evaluation_tasks, place)
        console.finish(verdict(result.evaluation))
        if folder is None:
            return dataclasses.replace(result, folder=None)
        console.note(f"report: {_publish(tasks, policy, result, final_evaluation_tasks)}")
        return result


@contextlib.contextmanager
def _console(header: Mapping[str, str], progress: bool) -> Iterator["Console"]:
    from metarl_jax.report.console import Console  # rich is slow to import

    console = Console(silent=not progress)
    console.start(header)
    try:
        yield console
    finally:
        console.close()


def _check_counts(
    total_steps: int, evaluation_tasks: int, final_evaluation_tasks: int, evaluate_every: int | None
) -> None:
    for name, value in locals().items():
        if value is not None:
            require_positive(name, value)


def _check_parts(tasks: TaskDistribution, policy: Policy, algorithm: Algorithm, key: Key) -> None:
    if jax.process_count() > 1:
        raise ConfigurationError(
            f"expected one process, got {jax.process_count()}; several train together by "
            "`metarl train`."
        )
    if spec := algorithm.spec:
        made_with = {"policy": (policy, spec.policy), "tasks": (tasks, spec.meta_episode.tasks)}
        if other := [name for name, (given, own) in made_with.items() if given is not own]:
            raise ConfigurationError(
                f"expected the {' and the '.join(other)} that the algorithm was made with, got "
                "another; make the algorithm with what it shall train."
            )
    check_task_distribution(tasks)
    check_unroll(policy, tasks)
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jax.numpy.issubdtype(dtype, jax.dtypes.prng_key):
        raise ConfigurationError(
            f"expected a typed key, got {type(key).__name__}; make one: jax.random.key(0)."
        )
    if key.shape:
        raise ConfigurationError(
            f"expected one key, got {key.shape[0]}; train agents one after the other, or several "
            "seeds in one program: metarl train --num-seeds."
        )


def _describe(
    folder: Path,
    interface: Interface,
    record: PolicyRecord,
    algorithm: Algorithm,
    steps: int,
    begun: int | None,
) -> None:
    """Writes what an agent is loaded from, and what the run was begun with."""
    write_interface(folder, interface)
    write_policy_record(folder, record)
    if begun:
        return
    settings = {
        "algorithm": algorithm.name,
        "total_steps": steps,
        "steps_per_update": algorithm.steps_per_update,
    }
    run = describe_machine() | {"executable": sys.executable, "settings": settings}
    write_whole(folder / RUN_FILE, json_text(run))


def _make_folder(
    folder: str | os.PathLike[str] | None, resume: bool, stack: contextlib.ExitStack
) -> tuple[Path, int | None]:
    """The run's folder, and the steps that the run in it was begun with; None to begin one.

    Where no folder is asked for, it goes with the run.
    """
    if folder is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metarl-"))), None
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # the second: a name that no file can have
        raise ConfigurationError(
            f"expected a folder that can be made for the run, got {str(place)!r}: "
            f"{getattr(error, 'strerror', error)}; choose another folder."
        ) from error
    if is_configured(place):
        raise ConfigurationError(
            f"expected a folder for a run from Python, got {place}, which `metarl train` made; go "
            f"on with that one: metarl train --resume {place}"
        )
    return place, _steps_begun(place, resume)


def _steps_begun(folder: Path, resume: bool) -> int | None:
    if not resume:
        require_new(folder)
    if not resume or not (folder / RUN_FILE).exists():
        return None
    settings = read_object(folder / RUN_FILE).get("settings")
    steps = settings.get("total_steps") if isinstance(settings, dict) else None
    if not isinstance(steps, int) or steps < 1:
        raise ConfigurationError(
            f"expected in {folder / RUN_FILE} the total_steps of a run from Python, got {steps!r}; "
            "resume a run of `metarl train` with metarl train --resume."
        )
    return steps


def _plan(
    algorithm: Algorithm, total_steps: int, schedule_steps: int, evaluate_every: int | None
) -> TrainingPlan:
    every = evaluate_every or max(1, schedule_steps // NUM_EVALUATIONS)
    return plan_for(
        algorithm.steps_per_update, total_steps, max(1, schedule_steps // every), schedule_steps
    )


def _header(
    tasks: TaskDistribution,
    policy: Policy,
    algorithm: Algorithm,
    plan: TrainingPlan,
    folder: str | os.PathLike[str] | None,
) -> dict[str, str]:
    shapes: Any = jax.eval_shape(policy.init, jax.eval_shape(lambda: jax.random.key(0)))
    weights = sum(x.size for x in jax.tree.leaves(shapes.weights))
    memory = f", {policy.memory}" if policy.memory else ""
    return {
        "task family": f"{tasks.name}, {tasks.num_episodes} episodes of {tasks.episode_length}",
        "policy": f"{policy.name}{memory}, {weights:,} parameters",
        "algorithm": algorithm.name,
        "updates": f"{plan.num_updates:,} of {algorithm.steps_per_update:,} steps",
        "folder": "not kept" if folder is None else os.fspath(folder),
    }


def _announced(evaluate: Evaluate, num_tasks: int, console: "Console") -> Evaluate:
    def evaluate_aloud(params: PolicyParams) -> Any:
        console.evaluating(num_tasks)
        return evaluate(params)

    return evaluate_aloud


def _require_finished(outcome: Outcome) -> None:
    if outcome.exit_code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt(outcome.message)
    if outcome.exit_code != ExitCode.FINISHED:
        raise TrainingError(outcome)


def _conclude(
    tasks: TaskDistribution,
    policy: Policy,
    algorithm: Algorithm,
    outcome: Outcome,
    num_tasks: int,
    folder: Path,
) -> TrainResult:
    """Evaluates on the meta-test tasks that every run of the family is evaluated on."""
    state, params = outcome.state, outcome.state.learner.params
    evaluation = final_evaluation(tasks, policy, params, num_tasks)
    subject = EvaluationSubject(
        task_family=tasks.name,
        experiment=tasks.name,
        policy=policy.name,
        memory=policy.memory,
        algorithm=algorithm.name,
        update=outcome.update,
        num_tasks=evaluation.num_tasks,
        task_set_hash=evaluation.task_set_hash,
        sampled_actions=True,
    )
    record = EvaluationRecord.of(
        evaluation,
        subject,
        tasks.references(),
        contextual=policy.contextual,
        measures=final_measures(tasks, policy, params),
    )
    rows = read_rows(folder / "metrics.jsonl")
    return TrainResult(params, state, record, evaluation.episode_returns, rows, folder)


def _publish(tasks: TaskDistribution, policy: Policy, result: TrainResult, num_tasks: int) -> Path:
    """Writes the evaluation, after a short run its ablations too, and draws; the report's path."""
    assert result.folder is not None
    write_evaluation(result.folder, "evaluation", result.evaluation, result.episode_returns)
    ablations = _ablate(tasks, policy, result, num_tasks, result.folder)
    pictures = draw_pictures(result.folder, tasks, policy, result.params, ablations=ablations)
    return pictures[-1]


def _ablate(
    tasks: TaskDistribution, policy: Policy, result: TrainResult, num_tasks: int, folder: Path
) -> dict[str, Ablated]:
    """What the policy earns with one thing at a time taken away, after a short run."""
    seconds = max((row.seconds or 0.0 for row in result.rows), default=0.0)
    made = ablations_at_once(
        tasks, has_memory=bool(policy.memory), num_tasks=num_tasks, seconds=seconds
    )
    for ablation in made:
        evaluation = final_evaluation(tasks, policy, result.params, num_tasks, ablation)
        record = EvaluationRecord.of(
            evaluation,
            dataclasses.replace(result.evaluation, ablation=ablation),
            tasks.references(),
            contextual=policy.contextual,
        )
        label = f"evaluation_{ABLATION_LABELS[ablation]}"
        write_evaluation(folder, label, record, evaluation.episode_returns)
    return find_ablations(folder, result.evaluation)
