"""The two physics engines: equal to MuJoCo's own HalfCheetah-v5, and to each other."""

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.physics import PhysicsEngine, PhysicsState, make_engine, model
from metarl_envs.physics import mujoco_engine as c_engine
from metarl_jax.types import ConfigurationError

engines = importlib.import_module("metarl_envs.physics.make_engine")  # not the function

STEPS = 200


def load_row(row: np.ndarray) -> PhysicsState:
    """The C engine's state at a float64 row [..., W]."""
    words = jnp.asarray(np.ascontiguousarray(row).view(np.uint32))
    qpos, qvel, _ = jnp.split(jnp.asarray(row[..., 1:], jnp.float32), 3, axis=-1)
    return PhysicsState(qpos, qvel, jnp.zeros_like(qpos), words)


def rows(state: PhysicsState) -> np.ndarray:
    """The float64 row [..., W] of the C engine's state."""
    return np.asarray(state.internal).view(np.float64)


def random_actions(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (*shape, 6)).astype(np.float32)


@functools.cache
def batch_step() -> Callable[[PhysicsState, Any], PhysicsState]:
    """The C engine's step over a batch, compiled."""
    return jax.jit(jax.vmap(make_engine("mujoco").step))


def member(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def random_states(count: int, seed: int) -> PhysicsState:
    generator = np.random.default_rng(seed)
    qpos = jnp.asarray(generator.uniform(-0.1, 0.1, (count, 9)), jnp.float32)
    qvel = jnp.asarray(0.1 * generator.standard_normal((count, 9)), jnp.float32)
    return jax.vmap(make_engine("mujoco").initial)(qpos, qvel)


def own_cheetah() -> Any:
    """Gymnasium's environment itself, without its wrappers."""
    mujoco = import_module("mujoco")
    mujoco.set_mju_user_warning(lambda message: None)  # no MUJOCO_LOG.TXT
    try:
        return gymnasium.make("HalfCheetah-v5").unwrapped
    finally:
        mujoco.set_mju_user_warning(None)


def gymnasium_rows(cheetah: Any, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows [T + 1, W] and velocities [T] of a reset cheetah under `actions`."""

    def row() -> np.ndarray:
        data = cheetah.data
        return np.concatenate([[data.time], data.qpos, data.qvel, data.qacc_warmstart])

    visited, velocities = [row()], []
    for action in actions:
        velocities.append(cheetah.step(action)[4]["x_velocity"])
        visited.append(row())
    return np.stack(visited), np.stack(velocities)


def scan(physics: PhysicsEngine, state: PhysicsState, actions: Any) -> PhysicsState:
    """The states after each of `actions` [T, 6], stacked."""

    def step(state: PhysicsState, action: Any) -> tuple[PhysicsState, PhysicsState]:
        state = physics.step(state, action)
        return state, state

    return jax.lax.scan(step, state, actions)[1]


def assert_same(a: PhysicsState, b: PhysicsState) -> None:
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("seed", [0, 1])
def test_c_engine_is_gymnasiums_half_cheetah_bit_for_bit(seed: int) -> None:
    cheetah, actions = own_cheetah(), random_actions(seed, STEPS)
    cheetah.reset(seed=seed)
    expected, velocities = gymnasium_rows(cheetah, actions)
    physics = make_engine("mujoco")
    states = jax.jit(lambda s, a: scan(physics, s, a))(load_row(expected[0]), actions)
    np.testing.assert_array_equal(rows(states), expected[1:])
    np.testing.assert_array_equal(states.qpos, expected[1:, 1:10].astype(np.float32))
    np.testing.assert_array_equal(states.qvel, expected[1:, 10:19].astype(np.float32))
    np.testing.assert_allclose(states.displacement[:, 0] / 0.05, velocities, rtol=1e-6)


@pytest.mark.usefixtures("cpu")
def test_our_own_reset_goes_on_as_gymnasiums_from_the_same_place() -> None:
    start = member(random_states(1, seed=3), 0)
    cheetah, actions = own_cheetah(), random_actions(3, 20)
    cheetah.reset(seed=0)
    cheetah.set_state(np.asarray(start.qpos, np.float64), np.asarray(start.qvel, np.float64))
    expected, _ = gymnasium_rows(cheetah, actions)
    physics = make_engine("mujoco")
    states = jax.jit(lambda s, a: scan(physics, s, a))(start, actions)
    np.testing.assert_array_equal(rows(states), expected[1:])


ON_TWO_DEVICES = """
import sys
import jax, numpy as np
from jax.sharding import AxisType, PartitionSpec as P
from envs.test_physics import load_row, make_engine, rows, scan
folder, physics = sys.argv[1], make_engine("mujoco")
given = np.load(folder + "/given.npz")
assert jax.local_device_count() == 2
mesh = jax.make_mesh((2,), ("tasks",), axis_types=(AxisType.Auto,))
for check in (True, False):
    run = jax.shard_map(
        jax.vmap(lambda state, actions: scan(physics, state, actions)),
        mesh=mesh, in_specs=P("tasks"), out_specs=P("tasks"), check_vma=check,
    )
    states = jax.jit(run)(load_row(given["start"]), given["actions"])
    assert len(states.qpos.sharding.device_set) == 2
    np.save(f"{folder}/{check}.npy", rows(states))
"""


def test_c_engine_is_bit_for_bit_itself_on_two_devices(tmp_path: Path) -> None:
    actions = random_actions(4, 4, STEPS)
    expected = []
    for seed in range(4):
        cheetah = own_cheetah()
        cheetah.reset(seed=seed)
        expected.append(gymnasium_rows(cheetah, actions[seed])[0])
    start = np.stack([visited[0] for visited in expected])
    np.savez(tmp_path / "given.npz", start=start, actions=actions)
    root = Path(__file__).parents[2]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(root / "tests"), str(root / "envs")]),
    }
    command = [sys.executable, "-c", ON_TWO_DEVICES, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for checked in (True, False):
        got = np.load(tmp_path / f"{checked}.npy")
        np.testing.assert_array_equal(got, np.stack(expected)[:, 1:])


@pytest.mark.usefixtures("cpu")
def test_batch_is_a_loop_over_its_members_whatever_the_nesting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    physics, states, actions = make_engine("mujoco"), random_states(6, 5), random_actions(5, 6)
    step = jax.jit(physics.step)
    alone = [step(member(states, index), actions[index]) for index in range(6)]
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone)
    assert_same(batch_step()(states, actions), looped)
    nested = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), (states, actions))
    twice = jax.jit(jax.vmap(jax.vmap(physics.step)))(*nested)
    assert_same(jax.tree.map(lambda leaf: leaf.reshape(6, *leaf.shape[2:]), twice), looped)
    same_action = jax.jit(jax.vmap(physics.step, in_axes=(0, None)))(states, actions[0])
    assert_same(member(same_action, 0), alone[0])
    monkeypatch.setattr(c_engine, "CAPACITY", 4)  # two calls of the pool, the second not full
    assert_same(batch_step()(states, actions), looped)


def test_float64_of_a_float32_is_exact() -> None:
    generator = np.random.default_rng(0)
    scale = 10.0 ** generator.integers(-37, 38, 2000)
    edges = [0.0, -0.0, np.inf, -np.inf, 1.0, np.finfo(np.float32).max, np.finfo(np.float32).tiny]
    values = np.concatenate([generator.uniform(-1, 1, 2000) * scale, edges]).astype(np.float32)
    values = values[(np.abs(values) >= np.finfo(np.float32).tiny) | (values == 0)]
    wide = np.asarray(c_engine._as_float64(jnp.asarray(values))).view(np.float64)[:, 0]
    np.testing.assert_array_equal(wide.view(np.uint64), values.astype(np.float64).view(np.uint64))


@pytest.mark.usefixtures("cpu")
def test_no_gradient_passes_through_a_step_and_one_passes_beside_it() -> None:
    physics, start = make_engine("mujoco"), random_states(3, seed=7)

    def loss(weight: Any) -> Any:
        def step(state: PhysicsState, _: None) -> tuple[PhysicsState, Any]:
            action = jnp.tanh(state.qvel[:, :6] * weight)
            state = jax.vmap(physics.step)(state, action)
            return state, jnp.sum(action * state.qvel[:, :6])

        return jax.lax.scan(step, start, None, length=5)[1].sum()

    def frozen(weight: Any, visited: Any) -> Any:
        before, after = visited
        return jnp.sum(jnp.tanh(before * weight) * after)

    weight = jnp.linspace(0.1, 0.6, 6)[None]
    gradient = jax.jit(jax.grad(loss))(weight)
    states, visited = start, []
    for _ in range(5):
        after = batch_step()(states, jnp.tanh(states.qvel[:, :6] * weight))
        visited.append((states.qvel[:, :6], after.qvel[:, :6]))
        states = after
    expected = sum(jax.grad(frozen)(weight, pair) for pair in visited)
    assert np.abs(expected).min() > 1e-3
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.usefixtures("cpu")
def test_a_command_that_is_not_finite_is_ignored_in_silence(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    states = random_states(2, seed=8)
    actions = jnp.array([[jnp.nan] * 6, [0.0] * 6], jnp.float32)
    after = batch_step()(states, actions)
    idle = batch_step()(states, jnp.zeros((2, 6)))
    assert_same(after, idle)
    assert "WARNING" not in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def visited_by_random_policy(count: int) -> tuple[PhysicsState, np.ndarray]:
    """`count` states of the C engine out of ten random episodes of 100 steps, and actions there."""
    physics, start = make_engine("mujoco"), random_states(10, seed=9)
    run = jax.jit(jax.vmap(lambda state, actions: scan(physics, state, actions)))
    states = run(start, random_actions(9, 10, 100))
    flat = jax.tree.map(lambda leaf: leaf.reshape(1000, -1), states)
    chosen = np.random.default_rng(9).permutation(1000)[:count]
    return member(flat, chosen), random_actions(10, count)


@pytest.mark.usefixtures("cpu")
def test_mjx_steps_as_c_does_from_a_hundred_states() -> None:
    states, actions = visited_by_random_policy(100)
    expected = batch_step()(states, actions)
    warm_start = jnp.asarray(rows(states)[:, 19:], jnp.float32)
    got = jax.jit(jax.vmap(make_engine("mjx").step))(states.replace(internal=warm_start), actions)
    np.testing.assert_allclose(got.qpos, expected.qpos, atol=1e-3)
    np.testing.assert_allclose(got.qvel, expected.qvel, atol=1e-3)
    np.testing.assert_allclose(got.displacement, expected.displacement, atol=1e-3)
    assert np.abs(expected.qvel).max() > 5.0
    assert got.qpos.dtype == got.qvel.dtype == got.internal.dtype == jnp.float32


def test_the_model_is_gymnasiums() -> None:
    ours, theirs = model.half_cheetah(), own_cheetah().model
    for field in ("body_mass", "dof_damping", "actuator_gear", "geom_friction", "jnt_range"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    assert ours.opt.timestep * model.SUBSTEPS == pytest.approx(model.CONTROL_PERIOD)
    assert theirs.opt.timestep == ours.opt.timestep


@pytest.mark.parametrize(
    ("arguments", "missing", "backend", "words"),
    [
        (("mujco",), None, "cpu", ("'mujoco' or 'mjx'", "'mujco'")),
        (("mujoco",), None, "gpu", ("on the CPU", "'gpu'", "JAX_PLATFORMS=cpu")),
        (("mujoco",), "mujoco.batch", "cpu", ("mujoco>=4.0", "pip install")),
        (("mjx",), "mujoco.mjx", "cpu", ("mujoco-mjx", "pip install")),
        (("mjx", "wrap"), None, "cpu", ("'jax' or 'warp'", "'wrap'")),
        (("mjx", "warp"), "warp", "cpu", ("warp", "pip install", "mjx_impl 'jax'")),
    ],
)
def test_an_engine_that_is_not_there_is_refused(
    arguments: tuple[Any, ...],
    missing: str | None,
    backend: str,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    if missing is not None:
        hide(missing, monkeypatch)
    with pytest.raises(ConfigurationError) as error:
        make_engine(*arguments)
    for word in words:
        assert word in str(error.value)


def hide(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `module` fail to import, in the engines too."""
    parent, _, child = module.rpartition(".")
    monkeypatch.setitem(sys.modules, module, None)
    if parent:
        monkeypatch.delattr(sys.modules[parent], child, raising=False)
    for name in ("mujoco_engine", "mjx_engine"):
        monkeypatch.delitem(sys.modules, f"metarl_envs.physics.{name}", raising=False)


@pytest.mark.parametrize(("backend", "chosen"), [("cpu", "c"), ("gpu", "mjx"), ("tpu", "mjx")])
def test_auto_takes_c_on_a_cpu_and_mjx_elsewhere(
    backend: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(engines, "_c_engine", lambda: "c")
    monkeypatch.setattr(engines, "_mjx_engine", lambda impl: "mjx")
    assert make_engine("auto") == chosen


def test_a_missing_model_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="half_cheetah.xml.*no package gymnasium"):
        model._model_file()
