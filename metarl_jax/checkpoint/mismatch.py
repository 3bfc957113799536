"""Why a checkpoint does not fit a train state, in words that name what to change."""

from pathlib import Path

_GENERATORS = {"key<fry>": "threefry2x32", "key<rbg>": "rbg", "key<urbg>": "unsafe_rbg"}
"""What JAX_DEFAULT_PRNG_IMPL calls the keys of each dtype."""


def refusal(place: Path, path: str, expected: str, got: str) -> str:
    """The message about the first leaf that differs.

    Args:
        place: of the checkpoint.
        path: of the leaf.
        expected: the leaf's form in the train state, such as `float32[64]`.
        got: its form in the checkpoint.
    """
    what, mend = _cause(expected, got)
    return f"{place} {what}: at {path} expected {expected}, got {got}; {mend}."


def _cause(expected: str, got: str) -> tuple[str, str]:
    """What the checkpoint is, and the mend."""
    wanted, _, wanted_shape = expected.partition("[")
    saved, _, saved_shape = got.partition("[")
    if saved != wanted and {saved, wanted} <= _GENERATORS.keys():
        return _other_setting(f"JAX_DEFAULT_PRNG_IMPL={_GENERATORS[saved]}")
    same_but_for_width = (wanted[:-2], wanted_shape) == (saved[:-2], saved_shape)
    if same_but_for_width and {wanted[-2:], saved[-2:]} == {"32", "64"}:
        return _other_setting(f"JAX_ENABLE_X64={int(saved.endswith('64'))}")
    mend = "give the settings it was trained with (its run's config.json), or another run"
    return "is of another architecture", mend


def _other_setting(variable: str) -> tuple[str, str]:
    return f"was saved under {variable}", f"set {variable}, or give another run"
