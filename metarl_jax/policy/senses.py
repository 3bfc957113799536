"""What a gymnasium loop tells an actor, checked and completed to whole transitions."""

from typing import Any, Literal, get_args

import jax
import numpy as np

from metarl_jax.policy.acting import Sensed
from metarl_jax.tasks.interface import Interface
from metarl_jax.tasks.spaces import Dict, Discrete, Leaf, Space, Tuple, dtype_of, map_spaces
from metarl_jax.trees import plain
from metarl_jax.types import ConfigurationError, PyTree

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
        observation = map_spaces(
            lambda leaf: np.zeros((size, *leaf.shape), dtype_of(leaf)), self._spec.observation
        )
        no = np.zeros(size, bool)
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
            observation: [O] or [B, O] numbers, or a dict or tuple of arrays.
            reward: [] or [B] numbers; None where every environment waits.
            terminated: [] or [B] bool; None where every environment waits.
            truncated: [] or [B] bool; None where every environment waits.
            final_observation: where the last action led if it ended an episode, like the
                observation. An object array of B observations may hold None for the other
                environments. None where the environments have not been reset yet.

        Returns:
            What the B environments tell, and a mask [B] of those that must be reset before they
            need an action, or None if there are none. If the loop must reset the only environment
            first, there is nothing to tell: (None, mask).

        Raises:
            ConfigurationError: something is missing, of the wrong shape, or not finite.
        """
        now = self._observed("observation", observation)
        waits, last = self._waits, self._last
        told = self._told(reward, terminated, truncated)
        ends = (told[1] | told[2]) & ~waits
        final = now
        if ends.any():
            final = self._final(now, ends, final_observation)
        sensed = Sensed(now, *told, final)
        if waits.any():  # their last transition is the one that ended their episode
            sensed = Sensed(now, *_where(waits, last[1:], sensed[1:]))
        if not ends.any() or final_observation is not None:
            self._waits = np.zeros_like(waits)
            return sensed, None
        self._waits, self._last = ends, sensed
        return (None if self._mode == "Disabled" else sensed), ends

    def present(self, action: PyTree) -> Any:
        """The actions [B, ...] as the environments take them."""

        def leaf(space: Leaf, action: np.ndarray) -> Any:
            action = np.asarray(action)
            if np.issubdtype(action.dtype, np.integer):
                action = action.astype(np.int64)
            if self._batch is not None:
                return action
            return int(action[0]) if isinstance(space, Discrete) else action[0]

        return map_spaces(leaf, self._spec.action, action)

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

    def _final(self, now: PyTree, ends: np.ndarray, given: Any) -> PyTree:
        """[B, ...] where the last actions led."""
        if given is not None:
            if getattr(given, "dtype", np.dtype(float)).kind == "O":
                if missing := [i for i in np.flatnonzero(ends).tolist() if given[i] is None]:
                    raise ConfigurationError(
                        f"expected a final observation of every episode that ended, got none for "
                        f"the environments {missing}; pass what env.step returned, unchanged."
                    )
                given = self._stacked(given, now)
            return _where(ends, self._observed("final_observation", given), now)
        own_loop = self._batch is None and self._mode == "Disabled"
        if not own_loop and self._mode != "NextStep":
            raise ConfigurationError(
                "expected the final observations of the episodes that ended, got none; give "
                'final_observation=infos["final_obs"], or say that the vector resets in the next '
                'step: agent.reset(batch=..., autoreset="NextStep").'
            )
        return now

    def _stacked(self, rows: Any, now: PyTree) -> PyTree:
        """One observation a row, None where the present one will do, as arrays [B, ...]."""
        present = [jax.tree.map(lambda x, i=i: x[i], now) for i in range(len(rows))]
        full = [old if new is None else new for new, old in zip(rows, present, strict=True)]
        space = self._spec.observation
        like = [_in_structure("final_observation", space, row) for row in full]
        return map_spaces(lambda leaf, *xs: np.stack([np.asarray(x) for x in xs]), space, *like)

    def _observed(self, name: str, given: Any) -> PyTree:
        """An observation as arrays [B, ...] of the dtypes that the policy reads."""
        space = self._spec.observation
        given = _in_structure(name, space, given)
        return map_spaces(
            lambda leaf, x: self._array(name, x, *leaf.shape, dtype=dtype_of(leaf)), space, given
        )

    def _array(self, name: str, given: Any, *sizes: int, dtype: str = "float32") -> np.ndarray:
        """[B, ...] of this dtype."""
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
        array = array.astype(dtype)
        if not np.isfinite(array).all():
            raise ConfigurationError(
                f"{name} must be finite, got {array!s:.80}; mend the environment."
            )
        return array if self._batch is not None else array[None]


def _where(condition: np.ndarray, new: PyTree, old: PyTree) -> Any:
    """`np.where` for trees, over the leading axis."""

    def leaf(new: np.ndarray, old: np.ndarray) -> np.ndarray:
        return np.where(condition.reshape(-1, *(1,) * (np.ndim(new) - 1)), new, old)

    return jax.tree.map(leaf, new, old)


def _in_structure(name: str, space: Space, given: Any) -> Any:
    """The parts of an observation under the names of the space."""
    if not isinstance(space, Dict | Tuple):
        return given
    items = space.spaces if isinstance(space, Dict) else enumerate(space.spaces)
    parts: dict[Any, Space] = dict(items)
    found: Any = given if isinstance(given, dict | tuple | list) else plain(given)
    try:
        taken = {key: _in_structure(f"{name}[{key!r}]", parts[key], found[key]) for key in parts}
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(
            f"{name} must have the parts {', '.join(map(repr, parts))}, got {given!r:.100}; an "
            "action mask is the part 'action_mask'."
        ) from error
    return taken if isinstance(space, Dict) else tuple(taken.values())
