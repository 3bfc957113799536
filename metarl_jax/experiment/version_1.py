"""Settings as version 0.1 wrote them: one flat object, whose names have moved into the tree."""

import dataclasses
from pathlib import Path
from typing import Any

from metarl_jax.experiment.kinds import CHOICES
from metarl_jax.experiment.settings import Settings
from metarl_jax.types import ConfigurationError

RENAMED = {"window": "context_length", "windows": "bptt_segments", "recurrent": "adaptive"}
BRANCHES = ("memory", "policy", "algorithm", "optimizer", "discounting", "budget", "evaluation")


def settings_of_version_1(flat: Any, where: Path) -> Settings:
    """The tree of flat settings; what nothing read under them is dropped.

    Args:
        flat: every setting by its name of then.
        where: the file, for errors.

    Raises:
        ConfigurationError: it is no such object, or a value is out of its range.
    """
    if not isinstance(flat, dict) or not {"policy", "memory", "algorithm"} <= flat.keys():
        raise ConfigurationError(
            f"{where}: expected the settings of version 0.1, with a policy, a memory and an "
            "algorithm, got something else; it was edited: give another folder."
        )
    values = {RENAMED.get(name, name): value for name, value in flat.items()}
    values["policy"] = RENAMED.get(values["policy"], values["policy"])
    settings = Settings()
    for branch in ("algorithm", "memory", "policy"):
        if values[branch] not in CHOICES[branch]:
            raise ConfigurationError(
                f"{where}: {branch} must be one of {', '.join(CHOICES[branch])}, got "
                f"{values[branch]!r}."
            )
        settings = settings.choose(branch, values[branch])
    if values["discount_mode"] != "dual":
        values["boundary_discount"] = None
    for branch in BRANCHES:
        node = getattr(settings, branch)
        if node is not None:
            names = [field.name for field in dataclasses.fields(node)]
            given = {n: _tuple(values[n]) for n in names if values.get(n) is not None}
            settings = dataclasses.replace(settings, **{branch: dataclasses.replace(node, **given)})
    return settings


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
