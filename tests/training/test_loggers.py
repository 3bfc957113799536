"""TensorBoard, whose files are read back, and Weights & Biases, played by a stand-in."""

import struct
import sys
import types
import uuid

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.learning.schedules import interpolate
from metarl_jax.training.loggers import TensorBoardLogger, WandbLogger
from metarl_jax.training.metrics_row import METRICS, TIMES, MetricsRow
from metarl_jax.training.tags import GROUPS, schedule_values, shown_episodes, tagged
from metarl_jax.types import ConfigurationError
from support.full_disk import largest_file


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
        (50, {"time/update": 5, "meta_test/episode_1": 1.0, "meta_test/episode_2": 2.0}),
        (60, {"time/update": 6, "metrics/loss": 0.5}),
    ]
    assert list(events(tmp_path)) == expected
    logger.close()
    assert list(events(tmp_path)) == expected


def test_both_log_the_hyperparameters_of_an_update(tmp_path, monkeypatch):
    """A line from the first update to the last, of which the sixth of eleven is the middle."""
    logged = []
    run = types.SimpleNamespace(log=lambda row, step: logged.append(row))
    wandb = types.SimpleNamespace(init=lambda **options: run, Error=KeyError)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    at = schedule_values({"learning_rate": (3.0, 1.0), "discount": (0.5,)}, num_updates=11)
    WandbLogger(tmp_path, project="p", name="n", config={}, hyperparameters=at).log(row(60))
    board = TensorBoardLogger(tmp_path, at)
    board.log(row(60))
    board.close()
    (found,) = (what for _, what in events(tmp_path) if what != "session_log")
    for each in (logged[0], found):
        assert each["hyperparameters/learning_rate"] == 2.0
        assert each["hyperparameters/discount"] == 0.5


@pytest.mark.parametrize("knots", [(0.3,), (0.3, 0.1), (0.3, 0.5, 0.1, 0.2)])
@pytest.mark.parametrize("num_updates", [1, 2, 7])
def test_the_value_of_a_schedule_is_that_of_the_update(knots, num_updates):
    """On the host as in the compiled update."""
    at = schedule_values({"x": knots}, num_updates)
    for update in range(num_updates):
        progress = jnp.float32(update / max(num_updates - 1, 1))
        expected = interpolate(jnp.asarray(knots, jnp.float32), progress)
        assert at(update + 1)["x"] == pytest.approx(float(expected), rel=1e-5)


def test_every_number_of_a_row_has_a_tag_in_its_group():
    numbers = {"return": 3.0, "value_error": 0.1, "kl_divergence": 0.2, "my_loss": 0.25}
    numbers |= {"return_members": [2.0, 4.0], "active_members": 3.0}
    times = {"seconds": 1.5, "env_steps_per_second": 10.0}
    chunk = MetricsRow.of_chunk(numbers, update=2, env_steps=20, **times)
    first, second = (Evaluation(np.array([curve]), "") for curve in ([1.0, 2.0], [3.0, 4.0]))
    evaluated = chunk.with_evaluation(PopulationEvaluation((first, second)), 0.5)
    assert tagged(evaluated, {"discount": 0.9}) == {
        "train/return": 3.0,
        "train/return/agent_1": 2.0,
        "train/return/agent_2": 4.0,
        "loss/value_error": 0.1,
        "ppo/kl_divergence": 0.2,
        "metrics/my_loss": 0.25,
        "metrics/active_members": 3.0,
        "meta_test/episode_1": 2.0,
        "meta_test/episode_2": 3.0,
        "meta_test/episode_1/agent_1": 1.0,
        "meta_test/episode_1/agent_2": 3.0,
        "meta_test/episode_2/agent_1": 2.0,
        "meta_test/episode_2/agent_2": 4.0,
        "meta_test/total_return": 5.0,
        "meta_test/total_return/agent_1": 3.0,
        "meta_test/total_return/agent_2": 7.0,
        "time/update": 2.0,
        "time/seconds": 1.5,
        "time/env_steps_per_second": 10.0,
        "time/evaluation_seconds": 0.5,
        "hyperparameters/discount": 0.9,
    }


def test_every_metric_that_the_file_names_has_a_group_of_its_own():
    assert set(METRICS.values()) | set(TIMES) <= {key for keys in GROUPS.values() for key in keys}


def test_of_many_episodes_some_have_a_tag():
    assert shown_episodes(3) == [1, 2, 3]
    assert shown_episodes(100) == [1, 2, 4, 8, 16, 32, 64, 100]
    returns = tuple(map(float, range(1, 101)))
    many = tagged(row(10, meta_test_episode_returns=returns))
    assert {many[f"meta_test/episode_{n}"] for n in (1, 64, 100)} == {1.0, 64.0, 100.0}


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
    assert rows == [(50, {"time/update": 5}), (90, {"time/update": 9})]
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
    assert logged == [({"time/update": 5, "metrics/loss": 0.5}, 50)] * 2


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
