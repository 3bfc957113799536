"""Checkpoints: the whole train state, saved and restored bit for bit, with digests."""

from metarl_jax.checkpoint.checkpoint import CheckpointError, Restored, SaveError, restore, save

__all__ = [
    "CheckpointError",
    "Restored",
    "SaveError",
    "restore",
    "save",
]
