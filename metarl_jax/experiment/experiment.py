"""An experiment: a task family, and the settings that learn it."""

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from metarl_jax.experiment.settings import Settings
from metarl_jax.tasks.distribution import TaskDistribution


class FamilyAt:
    """A task family by its place, imported when it is first used.

    A list of presets then costs no import of their environments.

    Args:
        place: MODULE:FUNCTION.
        of: arguments of that function, if it makes the family from them.
    """

    def __init__(self, place: str, *of: Any) -> None:
        self._place, self._of = place, of

    @functools.cached_property
    def function(self) -> Callable[..., TaskDistribution]:
        """The function that makes the task distribution."""
        module, _, name = self._place.partition(":")
        found = getattr(importlib.import_module(module), name)
        return found(*self._of) if self._of else found

    def __call__(self, **arguments: Any) -> TaskDistribution:
        """The task distribution, from the family's own arguments."""
        return self.function(**arguments)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.function.__doc__


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A preset.

    Attributes:
        name: what `metarl train` is given.
        summary: one line for `metarl list`.
        kind: the group it is listed in, such as "bandits"; "" if it has none.
        meta_episode: (E, H), episodes and most steps in each, as its family makes them; None if not
            stated. It is stated here so that a list imports no environment.
        minutes: of training on two CPU cores, evaluations included and compilation not; None where
            that was not measured.
        family: makes the task distribution, from keyword arguments that all have defaults.
        arguments: those this preset changes.
        settings: how it is learned by default. `Settings()` states no choice: `metarl train` then
            takes those of `defaults.settings_for`.
        variants: changes, by their path in the settings, where another algorithm or memory (by
            its name) is asked for; those that the other one does not have are left out.
    """

    name: str
    summary: str
    kind: str = ""
    meta_episode: tuple[int, int] | None = None
    minutes: float | None = None
    family: Callable[..., TaskDistribution]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Settings = Settings()
    variants: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def settings_for(
        self,
        *,
        algorithm: str | None = None,
        memory: str | None = None,
        policy: str | None = None,
        encoder: str | None = None,
        optimizer: str | None = None,
        objective: str | None = None,
    ) -> Settings:
        """The preset's settings with another algorithm, memory, policy and so on.

        Args:
            algorithm: its name; None for the preset's own.
            memory: likewise. What its variant changes overrides what the algorithm's does.
            policy: likewise.
            encoder: likewise.
            optimizer: likewise.
            objective: likewise.
        """
        settings = self.settings
        for branch, name in (("algorithm", algorithm), ("memory", memory)):
            if name is not None and settings.choose(branch, name) is not settings:
                settings = settings.choose(branch, name)
                changes = self.variants.get(name, {})
                settings = settings.change({p: x for p, x in changes.items() if settings.has(p)})
        rest = {
            "policy": policy,
            "encoder": encoder,
            "optimizer": optimizer,
            "objective": objective,
        }
        for branch, name in rest.items():
            settings = settings if name is None else settings.choose(branch, name)
        return settings
