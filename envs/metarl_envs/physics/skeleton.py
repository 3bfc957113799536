"""The half-cheetah's body as rods in the plane it moves in, for whoever draws it."""

from importlib import import_module

import numpy as np

from metarl_envs.physics.model import half_cheetah
from metarl_jax.tasks.scene import Limbs


def limbs(qpos: np.ndarray) -> Limbs:
    """Where the model's capsules are: torso, head, and thigh, shin and foot of either leg.

    A capsule's ends are its centre ± half its length along its own z axis; x is forwards, and the
    plane's y is the world's z, upwards.

    Args:
        qpos: [h + 1, 9] joint positions, m and rad.

    Returns:
        [h + 1, 8] rods, m.
    """
    mujoco = import_module("mujoco")  # here, since it takes most of a second
    model = half_cheetah()
    data = mujoco.MjData(model)
    capsules = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE)
    half_lengths = model.geom_size[capsules, 1, None]
    ends = np.zeros((len(qpos), len(capsules), 2, 2))
    for step, position in enumerate(np.asarray(qpos, np.float64)):
        data.qpos[:] = position
        mujoco.mj_kinematics(model, data)
        centres = data.geom_xpos[capsules]
        along = half_lengths * data.geom_xmat[capsules].reshape(-1, 3, 3)[:, :, 2]
        ends[step] = np.stack([centres - along, centres + along], axis=1)[..., [0, 2]]
    return Limbs(ends, 2 * model.geom_size[capsules, 0])
