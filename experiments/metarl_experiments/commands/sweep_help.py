"""`metarl sweep --help`: what a sweep is, and what it can be over."""

from metarl_experiments.commands.help import Row, field_texts, print_rows, told
from metarl_jax.experiment.kinds import CHOICES
from metarl_jax.experiment.settings import SCHEDULED, Settings

USAGE = """\
usage: metarl sweep NAME --over SETTING=VALUE,VALUE,... [--over ...] [options]

Trains an agent for each value of a numeric setting, or for each combination where --over is given
more than once, in one program. A value holds from the first update to the last, in place of a
schedule. `metarl sweep NAME --help` shows the options. A sweep that was stopped goes on with
`metarl train --resume RUN`.

  metarl sweep goal_grid_3 --over learning_rate=1e-4,1e-3 --over gae_lambda=0.9,0.95 --num-seeds 2
"""


def print_sweep_help() -> None:
    """Prints the usage and every setting that some algorithm reads and a sweep can be over."""
    print(USAGE)
    rows: dict[str, Row] = {}
    readers: dict[str, list[str]] = {}
    for algorithm in CHOICES["algorithm"]:
        for row in sweepable(Settings().choose("algorithm", algorithm)):
            rows.setdefault(row.flag, row)
            readers.setdefault(row.flag, []).append(algorithm)
    named = [
        row._replace(
            default="" if len(readers[name]) == len(CHOICES["algorithm"]) else _only(readers[name])
        )
        for name, row in rows.items()
    ]
    print_rows("a SETTING is one of", named)


def sweepable(settings: Settings) -> list[Row]:
    """The settings that a sweep can be over: their names, what they are, and their values."""
    texts: dict[str, str] = {}
    for branch in SCHEDULED:
        texts |= field_texts(type(getattr(settings, branch)))
    return [
        Row(name, texts.get(name, "").replace(" (schedule)", ""), told(knots))
        for name, knots in settings.schedules().items()
    ]


def _only(algorithms: list[str]) -> str:
    return f"{' and '.join(algorithms)} only"
