"""An experiment: a task family, and the settings that learn it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from metarl_jax.experiment.settings import AlgorithmName, MemoryName, Settings
from metarl_jax.tasks.distribution import TaskDistribution


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """A preset.

    Attributes:
        name: what `metarl train` is given.
        summary: one line for `metarl list`.
        family: makes the task distribution, from keyword arguments that all have defaults.
        arguments: those this preset changes.
        settings: how it is learned by default.
        variants: settings to change where another algorithm or memory (by its name) is asked for.
    """

    name: str
    summary: str
    family: Callable[..., TaskDistribution]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    settings: Settings = Settings()
    variants: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def settings_for(
        self, algorithm: AlgorithmName | None = None, memory: MemoryName | None = None
    ) -> Settings:
        """The preset's settings where it is learned by an algorithm, with a memory.

        Args:
            algorithm: None for the preset's own.
            memory: likewise. What its variant changes overrides what the algorithm's does.
        """
        settings = self.settings
        for field, asked in (("algorithm", algorithm), ("memory", memory)):
            if asked not in (None, getattr(self.settings, field)):
                changes = {field: asked} | dict(self.variants.get(str(asked), {}))
                settings = dataclasses.replace(settings, **changes)
        return settings
