"""What one of several processes raises, all of them raise."""

import jax
import pytest

from metarl_jax import processes
from metarl_jax.processes import by_first, together
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
        together(fails)
    assert here.value is error
    monkeypatch.setattr(processes, "_all_texts", lambda text: [*told, text])
    with pytest.raises(elsewhere) as there:
        together(lambda: None)
    assert str(error) in str(there.value)


def test_what_none_raises_is_returned_and_what_the_first_says_is_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = iter([["", ""], ["", ""], ["a folder", ""]])
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "_all_texts", lambda text: next(said))
    assert together(lambda: 7) == 7
    monkeypatch.setattr(processes, "is_first", lambda: False)
    assert by_first(lambda: "another") == "a folder"
