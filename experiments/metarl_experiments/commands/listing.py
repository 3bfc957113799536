"""`metarl list`: the installed presets by kind, as a table or as JSON."""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl_experiments.commands.parsing import parse
from metarl_jax.experiment.experiment import Experiment
from metarl_jax.experiment.registry import experiment_names, load_experiment
from metarl_jax.files import json_text
from metarl_jax.types import ConfigurationError

WIDTH = 100
OTHER = "others"
LEGEND = (
    "E × H: episodes of a meta-episode × most steps in each. minutes: training measured on two CPU "
    "cores.\n`metarl train NAME` trains one; `metarl train NAME --help` shows its options."
)


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """List the installed presets.

    Attributes:
        json: print them as JSON.
    """

    json: bool = False


def list_command(arguments: Sequence[str]) -> int:
    """Prints every installed preset; one that cannot be imported hides none of the others."""
    options = parse(ListOptions, "metarl list", arguments)
    presets, broken = _load_all(experiment_names())
    if options.json:
        listed = [described(preset) for preset in presets]
        listed += [{"name": name, "error": error} for name, error in broken.items()]
        print(json_text(listed), end="")
        return 0
    console = Console(highlight=False)
    console.width = min(WIDTH, console.width) if console.is_terminal else WIDTH
    console.print(presets_table(presets))
    for name, error in broken.items():
        console.print(f"[red]{escape(name)}: {escape(error)}[/red]")
    console.print(f"\n{LEGEND}")
    return 0


def _load_all(names: Iterable[str]) -> tuple[list[Experiment], dict[str, str]]:
    """The experiments of these names, and what is wrong with those that cannot be loaded."""
    presets, broken = [], {}
    for name in names:
        try:
            presets.append(load_experiment(name))
        except ConfigurationError as error:
            broken[name] = str(error)
    return presets, broken


def described(preset: Experiment) -> dict[str, Any]:
    """A preset as an object of `metarl list --json`; null for what is not known."""
    episodes, length = preset.meta_episode or (None, None)
    return {
        "name": preset.name,
        "kind": preset.kind,
        "summary": preset.summary,
        "num_episodes": episodes,
        "episode_length": length,
        "algorithm": preset.settings.algorithm.name,
        "memory": preset.settings.memory_name,
        "total_steps": preset.settings.budget.total_steps,
        "minutes": preset.minutes,
    }


def presets_table(presets: Iterable[Experiment]) -> Table:
    """A line for each preset, under a heading for each kind."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("preset", no_wrap=True)
    table.add_column("E × H", justify="right", no_wrap=True)
    table.add_column("algorithm", no_wrap=True)
    table.add_column("minutes", justify="right", no_wrap=True)
    table.add_column("what it is")
    for kind, group in groupby(sorted(presets, key=_order), key=lambda preset: preset.kind):
        table.add_row(f"[bold]{escape(kind or OTHER)}[/bold]")
        for preset in group:
            table.add_row(*map(escape, _cells(preset)))
    return table


def _order(preset: Experiment) -> tuple[bool, str, list[str]]:
    """By kind, those without one last; then by name, in which 5 comes before 10."""
    words = [word.zfill(9) if word.isdecimal() else word for word in preset.name.split("_")]
    return not preset.kind, preset.kind, words


def _cells(preset: Experiment) -> tuple[str, ...]:
    shape = "{} × {}".format(*preset.meta_episode) if preset.meta_episode else ""
    minutes = f"{preset.minutes:.2g}" if preset.minutes is not None else ""
    algorithm = preset.settings.algorithm.name
    return f"  {preset.name}", shape, algorithm, minutes, preset.summary
