"""The files of a run's folder: whole, and its own."""

import sys
import types

import pytest

from metarl_jax.files import require_own, write_whole
from metarl_jax.training.loggers import TensorBoardLogger, WandbLogger
from metarl_jax.types import ConfigurationError


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "evaluation.json"
    write_whole(path, "old")

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "new")
    assert path.read_text() == "old"


def test_links_are_refused(tmp_path, monkeypatch):
    """Also those that lead nowhere yet."""
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=None, Error=KeyError))
    loggers = {
        "tensorboard": TensorBoardLogger,
        "wandb": lambda folder: WandbLogger(folder, project="p", name="n", config={}),
    }
    loggers["wandb_id"] = loggers["wandb"]
    for name, make in loggers.items():
        folder = tmp_path / f"run_{name}"
        folder.mkdir()
        make(folder)
        require_own(folder / name)
        (folder / name).symlink_to(tmp_path / "nowhere")
        with pytest.raises(ConfigurationError, match="the run's own, got a link"):
            make(folder)
