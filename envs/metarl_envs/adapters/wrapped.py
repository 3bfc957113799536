"""An environment around another."""

from typing import Any

from metarl_jax.tasks.spaces import ACTION_MASK
from metarl_jax.types import Key, PyTree, Task


class Wrapped:
    """Hands everything on to the environment inside; a subclass changes some of it.

    Args:
        environment: as `metarl_jax.tasks.distribution.Environment`; its `action_mask` is handed on
            where it has one.
    """

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        if mask := getattr(environment, ACTION_MASK, None):
            self.action_mask = mask

    def reset_env(self, key: Key, task: Task) -> tuple[PyTree, PyTree]:
        """Begins an episode."""
        return self.environment.reset_env(key, task)

    def step_env(self, key: Key, state: PyTree, action: PyTree, task: Task) -> Any:
        """Makes one step."""
        return self.environment.step_env(key, state, action, task)

    def action_space(self, task: Task) -> Any:
        """The actions."""
        return self.environment.action_space(task)

    def observation_space(self, task: Task) -> Any:
        """The observations."""
        return self.environment.observation_space(task)
