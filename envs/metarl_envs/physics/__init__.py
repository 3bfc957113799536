"""The half-cheetah's physics: one pure function (state, action) -> state, two engines behind it."""

from metarl_envs.physics.engine import EngineName, MjxImplementation, PhysicsEngine, PhysicsState
from metarl_envs.physics.make_engine import make_engine

__all__ = ["EngineName", "MjxImplementation", "PhysicsEngine", "PhysicsState", "make_engine"]
