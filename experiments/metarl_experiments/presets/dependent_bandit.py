"""Two dependent arms (Wang et al. 2016, section 3.1), 100 pulls: one preset for each kind."""

from metarl_envs.dependent_bandit import Kind, dependent_bandit
from metarl_jax.experiment import Experiment, Settings

# Two arms that tell the same are learned sooner than those of bandit_100_5, on whose settings
# these are modelled: short credit at first, lengthened.
_SETTINGS = Settings(
    hidden_size=64,
    num_tasks=128,
    total_steps=20_000_000,
    learning_rate=(3e-3, 1e-4),
    discount=(0.9, 0.995),
    gae_lambda=(0.3, 0.9),
    entropy_coefficient=(0.05, 0.0),
)


def _preset(kind: Kind, summary: str) -> Experiment:
    return Experiment(
        name=f"bandit_dependent_{kind}",
        summary=f"2 arms that pay with p and 1 - p, 100 pulls: {summary}",
        family=dependent_bandit,
        arguments={"kind": kind},
        settings=_SETTINGS,
        variants={"ppo": {"learning_rate": (1e-3, 1e-4)}},
    )


bandit_dependent_easy = _preset("easy", "p is 0.1 or 0.9")
bandit_dependent_hard = _preset("hard", "p is 0.4 or 0.6")
bandit_dependent_medium = _preset("medium", "p is 0.25 or 0.75")
bandit_dependent_uniform = _preset("uniform", "p ~ U(0, 1)")
