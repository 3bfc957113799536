"""What several processes agree on: what one raises all raise, what one is sent all hear."""

import signal

import jax
import pytest

from metarl_jax.files import reason
from metarl_jax.parallel import processes
from metarl_jax.parallel.processes import StopVote, broadcast_from_first, on_all_processes
from metarl_jax.parallel.signals import StopRequest
from metarl_jax.types import ConfigurationError, PeerError, UnwritableError


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (ConfigurationError("expected a run"), ConfigurationError),  # all are refused the same
        (UnwritableError(28, "No space left"), PeerError),  # all may go on, the first among them
        (ValueError("broken"), PeerError),
    ],
)
def test_what_one_raises_all_raise(
    error: Exception, elsewhere: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def fails() -> None:
        raise error

    def first(text: str) -> list[str]:
        told.append(text)
        return [text, ""]

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "_all_texts", first)
    with pytest.raises(type(error)) as here:
        on_all_processes(fails)
    assert here.value is error
    monkeypatch.setattr(processes, "_all_texts", lambda text: [*told, text])
    with pytest.raises(elsewhere) as there:
        on_all_processes(lambda: None)
    assert reason(error) in str(there.value)


def test_what_none_raises_is_returned_and_what_the_first_says_is_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = iter([["", ""], ["", ""], ["a folder", ""]])
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "_all_texts", lambda text: next(said))
    assert on_all_processes(lambda: 7) == 7
    monkeypatch.setattr(processes, "is_first", lambda: False)
    assert broadcast_from_first(lambda: "another") == "a folder"


def test_what_one_was_sent_since_the_last_chunk_all_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    request = StopRequest()
    stop_vote = StopVote(request)
    assert stop_vote.poll() is None
    request.signal = signal.SIGTERM
    assert stop_vote.signal is None
    assert stop_vote.poll() == stop_vote.signal == signal.SIGTERM
