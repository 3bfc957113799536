"""`metarl compare`: runs and classical agents on the same meta-test tasks, side by side."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import tyro
from rich.console import Console
from rich.table import Table

from metarl_experiments.commands.evaluate import restore_run
from metarl_experiments.commands.options import parse_train_options
from metarl_experiments.commands.parsing import parse
from metarl_experiments.runs import load_tasks
from metarl_jax.checks import require_positive, require_seed, suggestion
from metarl_jax.evaluation.evaluate import make_evaluator
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.protocol import META_TEST_SEED
from metarl_jax.evaluation.scores import scores_of
from metarl_jax.evaluation.statistics import confidence_half_width
from metarl_jax.experiment.registry import load_experiment
from metarl_jax.experiment.run_config import RunConfig, load_config
from metarl_jax.files import json_text
from metarl_jax.policy.policy import Policy
from metarl_jax.report.figures import chart_figure
from metarl_jax.report.population import adaptation_chart
from metarl_jax.report.style import save_figure
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.types import ConfigurationError

WIDE = 160


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Compare runs, and classical agents, on the same meta-test tasks.

    Attributes:
        names: folders that `metarl train` made, and agents that the task family offers.
        preset: whose tasks they are, where no run says so.
        tasks: meta-test tasks; the first run's own number by default.
        out: a new folder for compare.json and compare.png; none are written if left out.
        seed: of the actions; the tasks are the same for all.
        json: prints the result as JSON.
    """

    names: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="RUN|AGENT")]
    preset: str | None = None
    tasks: int | None = None
    out: Path | None = None
    seed: int = 0
    json: bool = False

    def __post_init__(self) -> None:
        if self.tasks is not None:
            require_positive("tasks", self.tasks)
        require_seed(self.seed)


class Contender(NamedTuple):
    """What is compared.

    Attributes:
        name: of its line.
        policy: learned or classical.
        params: the policy's.
    """

    name: str
    policy: Policy
    params: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContenderRecord:
    """What a contender came to, in reward units; intervals are half-widths of 95% intervals.

    Attributes:
        name: of its line.
        policy: the policy's name.
        episode_return_mean: [E] mean return of each episode.
        episode_return_ci95: [E] of these means.
        total_return_mean: mean return of a whole meta-episode.
        total_return_ci95: of this mean.
        total_return_p20: what a fifth of the tasks fall short of.
        difference_mean: its total less the first contender's, on the same tasks, pair by pair.
        difference_ci95: of this mean.
        normalized_score: 0 at random and 1 at the best known return; None where one is unknown.
    """

    name: str
    policy: str
    episode_return_mean: tuple[float, ...]
    episode_return_ci95: tuple[float, ...]
    total_return_mean: float
    total_return_ci95: float
    total_return_p20: float
    difference_mean: float
    difference_ci95: float
    normalized_score: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """What compare.json holds.

    Attributes:
        experiment: whose tasks they are.
        num_tasks: meta-test tasks.
        task_set_hash: SHA-256 of these tasks.
        contenders: in the order they were given.
    """

    experiment: str
    num_tasks: int
    task_set_hash: str
    contenders: tuple[ContenderRecord, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison by the keys of the file."""
        return dataclasses.asdict(self)


def compare_command(arguments: Sequence[str]) -> int:
    """Evaluates every contender, prints a table, and writes what is asked for."""
    options = parse(CompareOptions, "metarl compare", arguments)
    if options.out is not None and options.out.exists():
        raise ConfigurationError(
            f"expected a new folder for the comparison, got {options.out}, which is there and is "
            "not overwritten; choose another --out."
        )
    configs = {name: load_config(Path(name)) for name in options.names if _is_run(name)}
    config = _family(options, configs)
    _, tasks = load_tasks(config)
    contenders = [_contender(name, tasks, configs.get(name)) for name in options.names]
    labels = _labels(options.names)
    contenders = [contender._replace(name=labels[contender.name]) for contender in contenders]
    num_tasks = options.tasks or config.settings.evaluation.final_evaluation_tasks
    compared = compare(tasks, contenders, num_tasks, options.seed, experiment=config.experiment)
    if options.json:
        print(json_text(compared.to_json()), end="")
    else:
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = WIDE  # nothing is cut off in a file
        console.print(comparison_table(compared))
    if options.out is not None:
        _write(options.out, compared, tasks)
    return 0


def _is_run(name: str) -> bool:
    return (Path(name) / "config.json").exists()


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Runs by their folders' own names where these tell them apart; else all as given."""
    short = {name: Path(name).absolute().name if _is_run(name) else name for name in names}
    return short if len(set(short.values())) == len(short) else {name: name for name in names}


def _family(options: CompareOptions, configs: dict[str, RunConfig]) -> RunConfig:
    """The first run's configuration, or the preset's, with the same tasks as all others have.

    Raises:
        ConfigurationError: no name is a run's and no preset is given, or the tasks differ.
    """
    if options.preset is not None:
        preset = parse_train_options(load_experiment(options.preset), ())
        own = RunConfig(options.preset, dataclasses.asdict(preset.family), preset.settings)
        configs = {f"--preset {options.preset}": own} | configs
    if not configs:
        raise ConfigurationError(
            f"expected a run's folder or --preset, to know whose tasks they are, got "
            f"{', '.join(options.names) or 'no names'}; add --preset bandit_10_5, say."
        )
    (first, config), *others = configs.items()
    for name, other in others:
        if (other.experiment, other.family) != (config.experiment, config.family):
            raise ConfigurationError(
                f"expected contenders with the same tasks, got {config.experiment} {config.family} "
                f"in {first} and {other.experiment} {other.family} in {name}; leave one out."
            )
    return config


def _contender(name: str, tasks: TaskDistribution, config: RunConfig | None) -> Contender:
    """A run's last checkpoint, or an agent that the family offers.

    Raises:
        ConfigurationError: the name is neither's, or a run has several agents.
    """
    if config is not None:
        setup, state = restore_run(Path(name), config, tasks)
        if setup.is_population:
            raise ConfigurationError(
                f"expected runs of one agent, got {name}, which holds {len(setup.agents)}; "
                "`metarl evaluate` tells them apart."
            )
        return Contender(name, setup.policy, state.learner.params)
    agents = tasks.references().agents
    if name not in agents:
        offered = ", ".join(agents) or "none"
        raise ConfigurationError(
            f"expected a run's folder or an agent that {tasks.name} offers ({offered}), got "
            f"{name!r}; {suggestion(name, agents, 'check the name.')}"
        )
    policy = agents[name]()
    return Contender(name, policy, policy.init(jax.random.key(0)))


def compare(
    tasks: TaskDistribution,
    contenders: Sequence[Contender],
    num_tasks: int,
    seed: int = 0,
    *,
    experiment: str = "",
) -> Comparison:
    """Evaluates contenders on the same tasks, with the same luck of each task's environment.

    Args:
        tasks: p(M).
        contenders: at least one; the others are held against the first.
        num_tasks: meta-test tasks, N or a few more.
        seed: of the actions.
        experiment: whose tasks they are.

    Returns:
        Every contender's means with their 95% intervals, and its differences to the first.

    Raises:
        ConfigurationError: a mean is higher than what is possible.
    """
    tasks_key, actors_key = jax.random.split(jax.random.key(META_TEST_SEED))
    key, devices = jax.random.fold_in(actors_key, seed), jax.local_device_count()
    evaluations = [
        make_evaluator(tasks, policy, tasks_key, num_tasks, num_devices=devices)(params, key)
        for _, policy, params in contenders
    ]
    return Comparison(
        experiment=experiment or tasks.name,
        num_tasks=evaluations[0].num_tasks,
        task_set_hash=evaluations[0].task_set_hash,
        contenders=tuple(
            _line(contender, evaluation, evaluations[0], tasks.references())
            for contender, evaluation in zip(contenders, evaluations, strict=True)
        ),
    )


def _line(
    contender: Contender, evaluation: Evaluation, first: Evaluation, references: References
) -> ContenderRecord:
    apart = evaluation.controlled_returns.sum(axis=1) - first.controlled_returns.sum(axis=1)
    scores = scores_of(evaluation, references, contextual=contender.policy.contextual)
    return ContenderRecord(
        name=contender.name,
        policy=contender.policy.name,
        episode_return_mean=tuple(evaluation.episode_return_mean.tolist()),
        episode_return_ci95=tuple(evaluation.episode_return_ci95.tolist()),
        total_return_mean=evaluation.total_return_mean,
        total_return_ci95=evaluation.total_return_ci95,
        total_return_p20=evaluation.total_return_p20,
        difference_mean=float(apart.mean()),
        difference_ci95=float(confidence_half_width(apart[:, None])[0]),
        normalized_score=None if scores is None else scores.normalized_score,
    )


def comparison_table(record: Comparison) -> Table:
    """A line for each contender."""
    contenders = record.contenders
    last = len(contenders[0].episode_return_mean)
    title = (
        f"{record.experiment}, {record.num_tasks:,} meta-test tasks, 95% intervals, "
        f"differences to {contenders[0].name}"
    )
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    episodes = dict.fromkeys(("episode 1", f"episode {last}"))
    for column in (*episodes, "total", "difference", "score"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in contenders:
        means = line.episode_return_mean
        score = line.normalized_score
        table.add_row(
            line.name,
            *(f"{means[i]:.4f}" for i in sorted({0, last - 1})),
            _with_interval(line.total_return_mean, line.total_return_ci95),
            ""
            if line is contenders[0]
            else _with_interval(line.difference_mean, line.difference_ci95, sign="+"),
            "" if score is None else f"{score:.3f}",
        )
    return table


def _with_interval(mean: float, width: float, sign: str = "") -> str:
    return f"{mean:{sign}.4f} ± {width:.4f}"


def _write(folder: Path, record: Comparison, tasks: TaskDistribution) -> None:
    """compare.json and compare.png.

    Raises:
        ConfigurationError: the folder cannot be made.
    """
    curves = {x.name: (x.episode_return_mean, x.episode_return_ci95) for x in record.contenders}
    figure = chart_figure(
        adaptation_chart(curves, tasks.references()),
        title=f"{record.experiment}: adaptation",
        subtitle="return per meta-test episode, with 95% intervals",
    )
    try:
        folder.mkdir(parents=True)
        (folder / "compare.json").write_text(json_text(record.to_json()), encoding="utf-8")
        save_figure(figure, folder / "compare.png")
    except OSError as error:
        raise ConfigurationError(
            f"expected a folder that can be made, got {folder}: {error.strerror}; choose another "
            "--out."
        ) from error
