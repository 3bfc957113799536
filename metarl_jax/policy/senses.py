"""What a gymnasium loop tells an actor, checked and completed to whole transitions."""

from typing import Any, Literal, get_args

import numpy as np

from metarl_jax.policy.acting import Sensed
from metarl_jax.tasks.interface import Interface
from metarl_jax.types import ConfigurationError

Autoreset = Literal["Disabled", "SameStep", "NextStep"]
"""How environments begin their next episode; the values of `gymnasium.vector.AutoresetMode`."""


class Senses:
    """Reads what B environments tell, step by step.

    An environment *waits* from the end of an episode until the first observation of the next one.
    Its last transition is kept until then. At a meta-episode's start all environments wait.

    Args:
        interface: of the environments.
        batch: B, or None for one environment without a leading axis.
        autoreset: when the environments reset themselves, as an `Autoreset` or as gymnasium's own
            enum. None means "Disabled": the loop resets them.

    Raises:
        ConfigurationError: there is no such mode.
    """

    def __init__(self, interface: Interface, batch: int | None, autoreset: Any = None) -> None:
        mode = getattr(autoreset, "value", autoreset) or "Disabled"
        if mode not in get_args(Autoreset):
            raise ConfigurationError(
                f"autoreset must be one of {', '.join(get_args(Autoreset))}, got {mode!r}; a "
                'vector environment says which in metadata["autoreset_mode"].'
            )
        self._spec, self._batch, self._mode = interface.specification, batch, mode
        size = batch or 1
        observation, no = (
            np.zeros((size, self._spec.observation_size), np.float32),
            np.zeros(size, bool),
        )
        self._waits = ~no
        self._last = Sensed(observation, np.zeros(size, np.float32), no, no, observation)

    def read(
        self,
        observation: Any,
        reward: Any,
        terminated: Any,
        truncated: Any,
        final_observation: Any,
    ) -> tuple[Sensed | None, np.ndarray | None]:
        """Reads one step.

        Args:
            observation: [O] or [B, O] numbers.
            reward: [] or [B] numbers; None where every environment waits.
            terminated: [] or [B] bool; None where every environment waits.
            truncated: [] or [B] bool; None where every environment waits.
            final_observation: [O] or [B, O] numbers, where the last action led if it ended an
                episode. An object array may hold None for the other environments. None where the
                environments have not been reset yet.

        Returns:
            What the B environments tell, and a mask [B] of those that must be reset before they
            need an action, or None if there are none. If the loop must reset the only environment
            first, there is nothing to tell: (None, mask).

        Raises:
            ConfigurationError: something is missing, of the wrong shape, or not finite.
        """
        now = self._array("observation", observation, self._spec.observation_size)
        waits, last = self._waits, self._last
        told = self._told(reward, terminated, truncated)
        ends = (told[1] | told[2]) & ~waits
        final = now
        if ends.any():
            final = self._final(now, ends, final_observation)
        sensed = Sensed(now, *told, final)
        if waits.any():  # their last transition is the one that ended their episode
            kept = [
                np.where(waits if old.ndim == 1 else waits[:, None], old, new)
                for old, new in zip(last[1:], sensed[1:], strict=True)
            ]
            sensed = Sensed(now, *kept)
        if not ends.any() or final_observation is not None:
            self._waits = np.zeros_like(waits)
            return sensed, None
        self._waits, self._last = ends, sensed
        return (None if self._mode == "Disabled" else sensed), ends

    def present(self, action: np.ndarray) -> Any:
        """The actions [B] or [B, A] as the environments take them."""
        if self._spec.num_actions is None:
            return action if self._batch is not None else action[0]
        return action.astype(np.int64) if self._batch is not None else int(action[0])

    def _told(self, *given: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reward and end flags, [B] each; zeros at the first step of an episode."""
        waits = self._waits
        if all(x is None for x in given) and waits.all():
            return self._last.reward * 0, ~waits, ~waits
        if any(x is None for x in given):
            raise ConfigurationError(
                "expected the observation, reward, terminated and truncated that env.step "
                "returned, got an observation without all of the others; give them, or call "
                "agent.reset() first if a new task begins here."
            )
        names = ("reward", "terminated", "truncated")
        reward, terminated, truncated = map(self._array, names, given)
        terminated, truncated = terminated != 0, truncated != 0
        if waits.any() and (waits & ((reward != 0) | terminated | truncated)).any():
            raise ConfigurationError(
                "expected only the first observation of an episode, with no reward and no end, got "
                f"reward {given[0]}, terminated {given[1]}, truncated {given[2]}: the call before "
                "ended that episode or was agent.reset(). If the environment resets itself in the "
                "step that ends an episode, give its last observation as final_observation."
            )
        return reward, terminated, truncated

    def _final(self, now: np.ndarray, ends: np.ndarray, given: Any) -> np.ndarray:
        """[B, O] where the last actions led."""
        if given is not None:
            if getattr(given, "dtype", np.dtype(float)).kind == "O":
                rows = zip(given, now, strict=True)
                given = np.stack([old if new is None else new for new, old in rows])
            final = self._array("final_observation", given, self._spec.observation_size)
            return np.where(ends[:, None], final, now)
        if self._batch is not None and self._mode != "NextStep":
            raise ConfigurationError(
                "expected the final observations of the episodes that ended, got none; give "
                'final_observation=infos["final_obs"], or say that the vector resets in the next '
                'step: agent.reset(batch=..., autoreset="NextStep").'
            )
        return now

    def _array(self, name: str, given: Any, *sizes: int) -> np.ndarray:
        """[B, ...] float32."""
        expected = sizes if self._batch is None else (self._batch, *sizes)
        try:
            array = np.asarray(given)
            if array.dtype.kind not in "fiub":
                raise ValueError(f"elements of type {array.dtype}")
        except ValueError as error:
            raise ConfigurationError(f"{name} must hold numbers, got {error}.") from error
        if array.shape != expected:
            raise ConfigurationError(
                f"{name} must have shape {list(expected)}, got {list(array.shape)}; "
                "agent.reset(batch=...) says how many environments there are."
            )
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ConfigurationError(
                f"{name} must be finite, got {array!s:.80}; mend the environment."
            )
        return array if self._batch is not None else array[None]
