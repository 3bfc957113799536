"""The parts of a benchmark of physics: the rollout alone, and the engine alone."""

from collections.abc import Callable
from importlib import import_module, util
from typing import Any

import jax
import numpy as np

from benchmarks.timing import Variant
from benchmarks.workloads import Size, Workload, build_policy, collection_variant, fast_update
from metarl_envs.physics.model import SUBSTEPS, half_cheetah
from metarl_jax.parallel.host import usable_cores


def physics_variants(workload: Workload, size: Size) -> dict[str, Callable[[], Variant]]:
    """Makers of the variants that only physics has, as far as this machine can run them.

    On a CPU C MuJoCo is the engine, which can run without us; elsewhere MJX is, which is a jax
    program as any other, and may have warp's kernels.

    Args:
        workload: the cheetah's.
        size: of the batch.
    """
    makers: dict[str, Callable[[], Variant]] = {"collect": lambda: collection(workload, size)}
    if jax.default_backend() == "cpu":
        makers["bare_rollout"] = lambda: bare_rollout(size.num_tasks, workload.family().max_steps)
    elif util.find_spec("warp") is not None:
        warp: dict[str, Any] = {"engine": "mjx", "mjx_impl": "warp"}
        makers["fast_warp"] = lambda: fast_update(workload, size, **warp)
        makers["collect_warp"] = lambda: collection(workload, size, **warp)
    return makers


def collection(workload: Workload, size: Size, **family: Any) -> Variant:
    """A rollout of whole meta-episodes without learning.

    Args:
        workload: whose policy acts.
        size: of the batch.
        family: further arguments of the task family.
    """
    tasks = workload.family(**family)
    return collection_variant(tasks, build_policy(workload, tasks), size.num_tasks, size.devices)


def bare_rollout(num_tasks: int, num_steps: int) -> Variant:
    """`mujoco.rollout` of as many half-cheetahs for as many steps, on all of the machine's cores.

    Args:
        num_tasks: half-cheetahs.
        num_steps: control steps of each, with random commands made beforehand.
    """
    mujoco, rollout = import_module("mujoco"), import_module("mujoco.rollout")
    model, threads = half_cheetah(), usable_cores()
    data = [mujoco.MjData(model) for _ in range(threads)]
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    generator = np.random.default_rng(0)
    initial = np.zeros((num_tasks, size))
    initial[:, 1:] = generator.uniform(-0.1, 0.1, (num_tasks, size - 1))
    control = generator.uniform(-1, 1, (num_tasks, num_steps, model.nu)).repeat(SUBSTEPS, axis=1)
    pool = rollout.Rollout(nthread=threads)

    def run() -> None:
        pool.rollout(model, data, initial, control)

    return Variant(run, num_tasks * num_steps)
