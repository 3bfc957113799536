"""TensorBoard and Weights & Biases, each played by a stand-in."""

import sys
import types

import pytest

from metarl_jax.loggers import TensorBoardLogger, WandbLogger
from metarl_jax.types import ConfigurationError


def test_tensorboard_gets_every_finite_number(tmp_path, monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            calls.append((folder, purge_step))

        def __getattr__(self, name):
            return lambda *arguments: calls.append((name, *arguments))

    module = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    logger = TensorBoardLogger(tmp_path)
    logger.log({"env_steps": 50, "loss": float("nan"), "meta_test_episode_returns": [1.0, 2.0]})
    logger.close()
    assert calls == [
        (str(tmp_path / "tensorboard"), 50),
        ("add_scalar", "env_steps", 50, 50),
        ("add_scalar", "meta_test_episode_returns/1", 1.0, 50),
        ("add_scalar", "meta_test_episode_returns/2", 2.0, 50),
        ("flush",),
        ("close",),
    ]


def test_wandb_goes_on_with_the_same_run(tmp_path, monkeypatch):
    begun, logged = [], []

    def init(**options):
        begun.append(options)
        return types.SimpleNamespace(log=lambda row, step: logged.append((row, step)))

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    for _ in range(2):
        logger = WandbLogger(tmp_path, project="p", name="n", config={"seed": 1})
        logger.log({"env_steps": 50, "loss": 0.5})
    assert begun[0] == begun[1]
    assert begun[0]["id"] == (tmp_path / "wandb_id").read_text()
    assert begun[0]["resume"] == "allow"
    assert logged == [({"env_steps": 50, "loss": 0.5}, 50)] * 2


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'metarl-jax\[tensorboard\]'"):
        TensorBoardLogger(tmp_path)
    with pytest.raises(ConfigurationError, match=r"pip install 'metarl-jax\[wandb\]'"):
        WandbLogger(tmp_path, project="p", name="n", config={})
