"""TensorBoard, whose files are read back, and Weights & Biases, played by a stand-in."""

import struct
import sys
import types
import uuid

import pytest
from tensorboardX.proto import event_pb2

from metarl_jax.training.loggers import TensorBoardLogger, WandbLogger
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.types import ConfigurationError
from support.full_disk import largest_file

RETURNS = "meta_test_episode_returns"


def row(env_steps, **more):
    """A row after 10 steps an update."""
    return MetricsRow(update=env_steps // 10, env_steps=env_steps, **more)


def events(folder):
    """(step, what) of all events of all files, as they were written."""
    for path in sorted(folder.glob("tensorboard/*tfevents*"), key=lambda path: path.suffix):
        data = path.read_bytes()
        while data:
            size = struct.unpack("Q", data[:8])[0]
            event = event_pb2.Event.FromString(data[12 : 12 + size])
            values = {value.tag: value.simple_value for value in event.summary.value}
            if event.WhichOneof("what") != "file_version":
                yield event.step, values or event.WhichOneof("what")
            data = data[16 + size :]


def test_tensorboard_gets_every_finite_number(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.log(row(50, metrics={"loss": float("nan")}, meta_test_episode_returns=(1.0, 2.0)))
    logger.log(row(60, metrics={"loss": 0.5}))
    expected = [
        (50, "session_log"),  # what is beyond is purged
        (50, {"update": 5, "env_steps": 50, f"{RETURNS}/1": 1.0, f"{RETURNS}/2": 2.0}),
        (60, {"update": 6, "env_steps": 60, "loss": 0.5}),
    ]
    assert list(events(tmp_path)) == expected
    logger.close()
    assert list(events(tmp_path)) == expected


def test_tensorboard_goes_on_when_there_is_room_again(tmp_path):
    """No thread that has died, and no file without a row."""
    logger = TensorBoardLogger(tmp_path)
    logger.log(row(50))
    with largest_file(100):
        for step in range(60, 90):
            with pytest.raises(OSError, match="File too large"):
                logger.log(row(step, metrics={"loss": 0.5}))
    logger.log(row(90))
    logger.close()
    rows = [(step, what) for step, what in events(tmp_path) if what != "session_log"]
    assert rows == [(50, {"update": 5, "env_steps": 50}), (90, {"update": 9, "env_steps": 90})]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_wandb_goes_on_with_the_same_run(tmp_path, monkeypatch):
    begun, logged = [], []

    def init(**options):
        begun.append(options)
        return types.SimpleNamespace(log=lambda row, step: logged.append((row, step)))

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, Error=KeyError))
    for _ in range(2):
        logger = WandbLogger(tmp_path, project="p", name="n", config={"seed": 1})
        logger.log(row(50, metrics={"loss": 0.5}))
    assert begun[0] == begun[1]
    assert begun[0]["id"] == (tmp_path / "wandb_id").read_text()
    assert begun[0]["resume"] == "allow"
    assert logged == [({"update": 5, "env_steps": 50, "loss": 0.5}, 50)] * 2


class WandbError(Exception):
    """Stands in for theirs, which is no OSError."""


def test_no_server_is_told_once(tmp_path, monkeypatch):
    """Each time takes as long as the server is waited for."""
    asked = []

    def init(**options):
        asked.append(options)
        raise WandbError("timed out after 90.0 sec")

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, Error=WandbError))
    logger = WandbLogger(tmp_path, project="p", name="n", config={})
    with pytest.raises(OSError, match=r"Weights & Biases: timed out after 90\.0 sec"):
        logger.log(row(50))
    logger.log(row(60))
    logger.close()
    assert len(asked) == 1


def test_no_room_for_the_run_of_wandb_leaves_no_half_of_it(tmp_path, monkeypatch):
    begun = []

    def init(**options):
        begun.append(options["id"])
        return types.SimpleNamespace(log=lambda row, step: None)

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, Error=WandbError))
    logger = WandbLogger(tmp_path, project="p", name="n", config={})
    with largest_file(5), pytest.raises(OSError, match="File too large"):
        logger.log(row(50))
    logger.log(row(60))
    assert begun == [(tmp_path / "wandb_id").read_text()]
    assert uuid.UUID(hex=begun[0]).version == 4


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'metarl-jax\[tensorboard\]'"):
        TensorBoardLogger(tmp_path)
    with pytest.raises(ConfigurationError, match=r"pip install 'metarl-jax\[wandb\]'"):
        WandbLogger(tmp_path, project="p", name="n", config={})
