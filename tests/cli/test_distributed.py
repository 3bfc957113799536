"""How a process finds the others of its run: by flags, variables, its cluster, or not at all."""

from collections.abc import Iterator
from typing import Any

import jax
import pytest

from metarl_experiments.process.distributed import DistributedOptions, join
from metarl_experiments.process.early_flags import read_early_flags
from metarl_jax.types import ConfigurationError, PeerError
from support.command_line import assert_refused, metarl_here


def read_options(arguments: list[str], environment: dict[str, str]) -> DistributedOptions:
    return read_early_flags(arguments, environment).distributed


FLAGS = ["--coordinator", "10.0.0.1:8476", "--num-processes", "4", "--process-id=3"]
VARIABLES = {
    "METARL_COORDINATOR": "10.0.0.2:8476",
    "METARL_NUM_PROCESSES": "2",
    "METARL_PROCESS_ID": "0",
    "METARL_HEARTBEAT": "10",
}


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The calls of `jax.distributed.initialize`."""
    calls: list[dict[str, Any]] = []

    def initialize(
        coordinator: str | None = None,
        count: int | None = None,
        own: int | None = None,
        **rest: Any,
    ) -> None:
        calls.append({"named": (coordinator, count, own), **rest})

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    return calls


def fails_with(error: Exception) -> Any:
    def initialize(*arguments: Any, **options: Any) -> None:
        raise error

    return initialize


def test_flags_and_variables_name_the_same_things() -> None:
    expected = DistributedOptions(coordinator="10.0.0.1:8476", num_processes=4, process_id=3)
    assert read_options(FLAGS, {}) == expected
    assert read_options(FLAGS, VARIABLES) == DistributedOptions(
        coordinator="10.0.0.1:8476", num_processes=4, process_id=3, heartbeat=10
    )
    assert read_options([], {}) == DistributedOptions()


def test_named_processes_join_at_the_address_named_and_no_other(joined: list[dict]) -> None:
    """jax alone would listen on every interface of the machine."""
    join(read_options(["--heartbeat", "30"], VARIABLES), VARIABLES)
    (call,) = joined
    assert call["named"] == ("10.0.0.2:8476", 2, 0)
    assert call["coordinator_bind_address"] == "10.0.0.2:8476"
    assert call["heartbeat_timeout_seconds"] == call["shutdown_timeout_seconds"] == 30
    assert call["initialization_timeout"] == 300
    join(
        read_options([], VARIABLES | {"JAX_COORDINATOR_BIND_ADDRESS": "0.0.0.0:8476"}),
        VARIABLES | {"JAX_COORDINATOR_BIND_ADDRESS": "0.0.0.0:8476"},
    )
    assert joined[1]["coordinator_bind_address"] == "0.0.0.0:8476"


def test_what_is_not_named_is_left_to_the_cluster(joined: list[dict]) -> None:
    join(read_options([], {}), {})
    assert joined[0]["named"] == (None, None, None)
    assert "coordinator_bind_address" not in joined[0]


@pytest.fixture
def cache() -> Iterator[str]:
    """Where compiled programs are kept."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", "/compiled")
    yield "/compiled"
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.usefixtures("joined", "accelerator")
@pytest.mark.parametrize(
    ("processes", "shared", "kept"), [(2, False, False), (2, True, True), (1, False, True)]
)
def test_gpus_of_several_processes_keep_what_they_compile_where_all_find_it(
    processes: int, shared: bool, kept: bool, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process alone writes there, and must not be the only one to find it."""
    monkeypatch.setattr(jax, "process_count", lambda: processes)
    join(
        read_options([], VARIABLES | ({"JAX_COMPILATION_CACHE_DIR": cache} if shared else {})),
        VARIABLES | ({"JAX_COMPILATION_CACHE_DIR": cache} if shared else {}),
    )
    assert jax.config.jax_compilation_cache_dir == (cache if kept else None)


@pytest.mark.usefixtures("joined", "cpu")
def test_cpus_of_several_processes_keep_what_they_compile(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    join(read_options([], VARIABLES), VARIABLES)
    assert jax.config.jax_compilation_cache_dir == cache


def test_off_joins_nothing(joined: list[dict]) -> None:
    join(read_options(["--distributed", "off"], VARIABLES), VARIABLES)
    assert joined == []


def test_no_cluster_is_no_error_and_a_broken_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = ValueError("coordinator_address should be defined.")
    monkeypatch.setattr(jax.distributed, "initialize", fails_with(alone))
    join(read_options([], {}), {})
    with pytest.raises(ConfigurationError, match="the other pods of this job, got no way"):
        join(read_options([], {"JOB_COMPLETION_INDEX": "0"}), {"JOB_COMPLETION_INDEX": "0"})
    for error in (RuntimeError("DEADLINE_EXCEEDED"), ValueError("Number of processes must be")):
        monkeypatch.setattr(jax.distributed, "initialize", fails_with(error))
        with pytest.raises(PeerError, match=r"expected to join .* got: .*; start all of them"):
            join(read_options([], VARIABLES), VARIABLES)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (FLAGS[:4], "--coordinator, --num-processes and --process-id together"),
        (["--coordinator", "8476", *FLAGS[2:]], "--coordinator HOST:PORT, got '8476'"),
        (["--coordinator", "10.0.0.1", *FLAGS[2:]], "--coordinator HOST:PORT, got '10.0.0.1'"),
        ([*FLAGS[:4], "--process-id", "4"], "from 0 to --num-processes less 1, got 4 of 4"),
        (["--num-processes", "two"], "a whole number for --num-processes, got 'two'"),
        ([*FLAGS, "--heartbeat", "0"], "heartbeat must be at least 1, got 0"),
    ],
)
def test_what_names_no_process_is_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_options(arguments, {})


def test_refused_on_the_command_line_before_anything_else(tmp_path) -> None:
    result = metarl_here("train", "bandit_10_5", *FLAGS[:2], "--out", "run", cwd=tmp_path)
    assert_refused(result, "together", "10.0.0.1:8476, None and None")
    assert not (tmp_path / "run").exists()


def test_others_that_never_come_leave_a_run_to_be_started_again(monkeypatch, tmp_path) -> None:
    def nobody(options: DistributedOptions) -> None:
        raise PeerError("expected to join the other processes of this run, got: nobody")

    result = metarl_here("train", "bandit_10_5", cwd=tmp_path, join=nobody)
    assert result.returncode == 75
    assert "got: nobody" in result.stderr
