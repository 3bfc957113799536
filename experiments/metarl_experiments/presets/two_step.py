"""The two-step task (Wang et al. 2016, section 3.2.1), and with transitions that reverse too."""

from typing import Any

from metarl_jax.experiment.experiment import Experiment, FamilyAt
from metarl_jax.experiment.settings import Settings

# A discount of 0.9, as there: a choice is paid in the next step, and either tells as much. A GRU
# came to 69.9 of the exact 70.59 in 4 M steps; to 63.0 of 66.10 in 6 M where transitions reverse.
_SETTINGS: dict[str, Any] = {
    "memory.hidden_size": 64,
    "budget.num_tasks": 128,
    "optimizer.learning_rate": (3e-3, 1e-4),
    "discounting.discount": (0.9,),
    "algorithm.gae_lambda": (0.9,),
    "algorithm.entropy_coefficient": (0.05, 0.0),
}
_VARIANTS = {"ppo": {"optimizer.learning_rate": (1e-3, 1e-4)}}

two_step = Experiment(
    name="two_step",
    kind="psychology",
    summary="two-step task: what pays changes",
    meta_episode=(1, 200),
    family=FamilyAt("metarl_envs.two_step:two_step"),
    settings=Settings().change({"budget.total_steps": 10_000_000, **_SETTINGS}),
    variants=_VARIANTS,
)
two_step_reversing = Experiment(
    name="two_step_reversing",
    kind="psychology",
    summary="two-step task: payoffs and paths change",
    meta_episode=(1, 200),
    family=FamilyAt("metarl_envs.two_step:two_step"),
    arguments={"reversing_transitions": True},
    settings=Settings().change({"budget.total_steps": 30_000_000, **_SETTINGS}),
    variants=_VARIANTS,
)
