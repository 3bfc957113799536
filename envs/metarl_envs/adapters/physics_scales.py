"""Physical constants of a MuJoCo model, hidden as factors of what the model has."""

from collections.abc import Callable, Mapping
from typing import Any

from metarl_jax.types import Array, PyTree

SCALES: Mapping[str, float] = {
    "gravity": 1.0,
    "mass": 1.0,
    "friction": 1.0,
    "strength": 1.0,
    "damping": 1.0,
}
"""What can be varied. Each is a factor: mass 2 doubles every body's mass and inertia."""

_MUJOCO: Mapping[str, Callable[[Any, Array], dict[str, Any]]] = {
    "gravity": lambda m, x: {"opt": m.opt.replace(gravity=m.opt.gravity * x)},
    "mass": lambda m, x: {
        "body_mass": m.body_mass * x,
        "body_inertia": m.body_inertia * x,
        "body_subtreemass": m.body_subtreemass * x,
        "body_invweight0": m.body_invweight0 / x,
        "dof_invweight0": m.dof_invweight0 / x,
    },
    "friction": lambda m, x: {"geom_friction": m.geom_friction * x},
    "strength": lambda m, x: {"actuator_gear": m.actuator_gear * x},
    "damping": lambda m, x: {"dof_damping": m.dof_damping * x},
}
_BRAX: Mapping[str, Callable[[Any, Array], dict[str, Any]]] = {
    "gravity": lambda s, x: {"gravity": s.gravity * x},
    "mass": lambda s, x: {"link": s.link.replace(inertia=_heavier(s.link.inertia, x))},
    "friction": lambda s, x: {},
    "strength": lambda s, x: {"actuator": s.actuator.replace(gear=s.actuator.gear * x)},
    "damping": lambda s, x: {"dof": s.dof.replace(damping=s.dof.damping * x)},
}
"""Of brax's own pipelines, which keep these beside MuJoCo's."""


def scaled_model(model: PyTree, scales: Mapping[str, Array]) -> PyTree:
    """A model with its constants multiplied.

    Args:
        model: of `mujoco.mjx`, or a system of brax.
        scales: a factor for each name of `SCALES`.
    """
    for name, scale in scales.items():
        changes = _MUJOCO[name](model, scale)
        if hasattr(model, "link"):
            changes |= _BRAX[name](model, scale)
        model = model.replace(**changes)
    return model


def _heavier(inertia: Any, scale: Array) -> Any:
    return inertia.replace(mass=inertia.mass * scale, i=inertia.i * scale)
