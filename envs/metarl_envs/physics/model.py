"""The half-cheetah's model: the very file that gymnasium's HalfCheetah-v5 loads."""

import functools
from importlib import import_module, util
from pathlib import Path
from typing import Any

from metarl_jax.types import ConfigurationError

SUBSTEPS = 5
"""Physics steps of 0.01 s in one control step: HalfCheetah-v5's `frame_skip`."""
CONTROL_PERIOD = 0.05
"""Seconds from one action to the next."""
NUM_JOINTS = 9
"""nq = nv: x, z and pitch of the torso, then six hinges."""
NUM_ACTUATORS = 6
"""Motors of the six hinges, driven by commands in [-1, 1]."""


@functools.cache
def half_cheetah() -> Any:
    """Loads the `mujoco.MjModel`. There is one instance in the process, which nobody may write to.

    Raises:
        ConfigurationError: gymnasium, whose wheel ships the file, is missing, or has no such file.
    """
    mujoco = import_module("mujoco")  # here, since it takes most of a second
    path = _model_file()
    # The file is old enough for MuJoCo to warn, on stderr and in a MUJOCO_LOG.TXT where one stands.
    warn = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    finally:
        mujoco.set_mju_user_warning(warn)


def _model_file() -> Path:
    """Finds the file without importing gymnasium's environments, which need a renderer."""
    package = util.find_spec("gymnasium")
    folders = (package.submodule_search_locations if package else None) or []
    for folder in folders:
        path = Path(folder) / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
        if path.is_file():
            return path
    got = f"none in {folders[0]}" if folders else "no package gymnasium"
    raise ConfigurationError(
        f"Expected the model file half_cheetah.xml in the package gymnasium, got {got}: "
        "install it again, pip install --force-reinstall 'gymnasium>=1.1'."
    )
