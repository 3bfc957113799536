"""Processes that run one program together: what they agree on, and what one does for all.

Each of them runs the same loop on devices of its own (`jax.distributed.initialize`); what crosses
between them are arrays. Here is what must not differ: whether something went wrong, and where the
run's folder is. One process agrees with itself at no cost.

`on_all_processes` and `broadcast_from_first` are collective: every process calls them, in the same
order, while none of its programs is in flight. A vote to stop travels with a chunk's metrics.
"""

from collections.abc import Callable
from signal import Signals
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metarl_jax.files import reason
from metarl_jax.parallel.signals import StopRequest
from metarl_jax.types import Array, ConfigurationError, PeerError

T = TypeVar("T")

TEXT_BYTES = 2048
"""Of a text that processes tell each other, at most."""
_REFUSED = "refused: "
_ASKED = "asked_to_stop"


def is_first() -> bool:
    """Whether this process is the one that writes what is written once."""
    return jax.process_index() == 0


def on_all_processes(function: Callable[[], T]) -> T:
    """Calls a function in every process; what it raises in one is raised in all.

    Raises:
        ConfigurationError: another process raised one.
        PeerError: another process raised anything else.
    """
    if jax.process_count() == 1:
        return function()
    results: list[T] = []
    error: Exception | None = None
    try:
        results.append(function())
    except Exception as raised:
        error = raised
    texts = _all_texts("" if error is None else _told(error))
    if error is not None:
        raise error
    for process, text in enumerate(texts):
        if text.startswith(_REFUSED):
            raise ConfigurationError(text.removeprefix(_REFUSED))
        if text:
            raise PeerError(f"process {process}: {text}")
    return results[0]


def broadcast_from_first(function: Callable[[], str]) -> str:
    """Calls a function in the first process alone; its text, of 2,048 bytes at most, is for all.

    Raises:
        ConfigurationError: the first process raised one.
        PeerError: it raised anything else.
    """
    text = on_all_processes(lambda: function() if is_first() else "")
    return text if jax.process_count() == 1 else _all_texts(text)[0]


class StopVote:
    """Whether a run is to stop, which its processes must do after the same update.

    Each says with every chunk of updates which signal it was sent, if any; what one was sent is, as
    the chunk's metrics arrive, everybody's. A preemption that jax's own service was told of counts
    as SIGTERM. One process needs no vote.

    Args:
        request: of this process.
    """

    def __init__(self, request: StopRequest) -> None:
        self._request, self._agreed, self._chunks = request, 0, 0
        if jax.process_count() > 1:
            mesh = Mesh(np.array(jax.devices()), ("devices",))
            self._split = NamedSharding(mesh, PartitionSpec("devices"))
            everywhere = NamedSharding(mesh, PartitionSpec())
            self._highest = jax.jit(lambda x: jnp.max(x, keepdims=True), out_shardings=everywhere)

    @property
    def signal(self) -> Signals | None:
        """The stopping signal that all know of, or None."""
        if jax.process_count() == 1:
            return self._request.signal
        return Signals(self._agreed) if self._agreed else None

    def vote(self) -> dict[str, Array]:
        """This process's vote, as one more of a chunk's metrics."""
        if jax.process_count() == 1:
            return {}
        self._chunks += 1
        asked = self._request.signal or (Signals.SIGTERM if _is_preempted(self._chunks) else 0)
        votes = np.full(jax.local_device_count(), int(asked), np.int32)
        return {_ASKED: self._highest(jax.make_array_from_process_local_data(self._split, votes))}

    def poll(self) -> Signals | None:
        """The stopping signal that any was sent by now; collective, as `on_all_processes` is."""
        self.tally({name: int(vote[0]) for name, vote in self.vote().items()})
        return self.signal

    def tally(self, values: dict[str, Any]) -> dict[str, Any]:
        """Takes the votes out of a chunk's metrics."""
        self._agreed = max(self._agreed, int(values.pop(_ASKED, 0)))
        return values


def _is_preempted(step: int) -> bool:
    """Whether jax's service was told of a preemption, and all its processes are to stop now.

    It takes the SIGTERM that comes after they have joined and before our own handler is set.
    """
    if not jax.config.jax_enable_preemption_service:  # pyright: ignore[reportAttributeAccessIssue]
        return False
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(step)


def _all_texts(text: str) -> list[str]:
    """Each process's, in their order."""
    from jax.experimental import multihost_utils

    written = np.frombuffer(text.encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0"), np.uint8)
    rows = multihost_utils.process_allgather(written)
    return [row.tobytes().rstrip(b"\0").decode(errors="ignore") for row in rows]


def _told(error: Exception) -> str:
    if isinstance(error, ConfigurationError):
        return f"{_REFUSED}{error}"
    return f"{type(error).__name__}: {reason(error)}"
