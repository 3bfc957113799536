"""What an evaluation is asked, and the record of its answer in a run's folder."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import jax
import tyro

from metarl_jax.checks import require_positive, require_seed
from metarl_jax.evaluation.ablated import ABLATION_LABELS
from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.evaluation.evaluate import make_evaluator
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.evaluation.protocol import META_TEST_SEED
from metarl_jax.evaluation.record import EvaluationSubject
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.policy.policy import PolicyParams


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

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
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


def evaluator_of(
    options: EvaluateOptions, config: RunConfig, setup: Setup
) -> Callable[[PolicyParams], Evaluation]:
    """The evaluation that is asked for, as a function of a policy's parameters."""
    tasks_key, actors_key = jax.random.split(jax.random.key(META_TEST_SEED))
    evaluator = make_evaluator(
        setup.tasks,
        setup.policy,
        tasks_key,
        options.tasks or config.settings.evaluation.final_evaluation_tasks,
        num_episodes=options.episodes,
        greedy=options.greedy,
        ablation=options.ablate,
        split=options.split,
        num_devices=setup.num_devices,
    )
    key = jax.random.fold_in(actors_key, options.seed)
    return lambda params: evaluator(params, key)


def subject_of(
    evaluation: Evaluation, options: EvaluateOptions, config: RunConfig, setup: Setup, update: int
) -> EvaluationSubject:
    """What was evaluated, and how it was asked.

    Args:
        evaluation: of it, whose tasks are told.
        options: which question was asked.
        config: the run's.
        setup: the run's.
        update: of the checkpoint.
    """
    return EvaluationSubject(
        task_family=setup.tasks.name,
        experiment=config.experiment,
        policy=config.settings.policy.name,
        memory=config.settings.memory_name,
        update=update,
        algorithm=config.settings.algorithm.name,
        num_tasks=evaluation.num_tasks,
        task_set_hash=evaluation.task_set_hash,
        split=options.split,
        sampled_actions=not options.greedy,
        ablation=options.ablate,
        seed=options.seed,
    )
