"""`metarl video RUN`: a film of what a run's policy does in a few meta-test tasks."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro

from metarl_experiments.commands.evaluate import restore_run
from metarl_experiments.commands.parsing import parse
from metarl_experiments.runs import load_tasks
from metarl_jax.checks import require_positive
from metarl_jax.experiment.run_config import load_config
from metarl_jax.report.pictures import RECORDED, record_policy
from metarl_jax.report.video import film_format, play_of, write_video
from metarl_jax.types import ConfigurationError, UnwritableError


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """Write a film of a run's policy in a few meta-test tasks, beside each other.

    Attributes:
        run: the folder that `metarl train` made.
        out: the film, a .gif or an .mp4; by default RUN/replay.mp4 where ffmpeg is installed, else
            RUN/replay.gif.
        tasks: how many tasks, at most 32; one is the median by return, several are spread from
            well to badly done.
        fps: steps shown in a second; by default the film takes about 20 seconds.
    """

    run: tyro.conf.Positional[Path]
    out: Path | None = None
    tasks: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        require_positive("tasks", self.tasks, RECORDED)
        if self.fps is not None and not 0 < self.fps <= 50:
            raise ConfigurationError(
                f"fps must be above 0 and at most 50, which a GIF can show, got {self.fps:g}."
            )


def video_command(arguments: Sequence[str]) -> int:
    """Plays the last checkpoint in recorded meta-test tasks, and writes the film."""
    options = parse(VideoOptions, "metarl video", arguments)
    config = load_config(options.run)
    out = options.out or options.run / f"replay.{'mp4' if shutil.which('ffmpeg') else 'gif'}"
    film_format(out)  # refused before anything is compiled
    _, tasks = load_tasks(config)
    if tasks.scene is None:
        raise ConfigurationError(
            f"{config.title} has no scene to film: expected TaskDistribution.scene to be a "
            "function (task, states) -> Scene, got None; give the family one."
        )
    setup, state = restore_run(options.run, config, tasks)
    if setup.is_population:
        raise ConfigurationError(
            f"expected a run of one agent, got {options.run}, which holds {len(setup.agents)}; "
            "train the one to be shown with `metarl train`."
        )
    print(f"metarl: filming {options.tasks} of {RECORDED} meta-test tasks ...", flush=True)
    _, recording = record_policy(tasks, setup.policy, state.learner.params)
    from_best = np.argsort(-recording.returns.sum(axis=1), kind="stable")
    places = np.linspace(0, len(from_best) - 1, options.tasks + 2)[1:-1].round().astype(int)
    plays = [play_of(tasks, recording, int(task)) for task in from_best[places]]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_video(out, plays, title=config.title, fps=options.fps)
    except OSError as error:
        raise UnwritableError(
            f"expected a file that can be written, got {out}: {error.strerror or error}; choose "
            "another --out."
        ) from error
    print(f"  {out}")
    return 0
