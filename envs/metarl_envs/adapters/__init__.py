"""Task families from the field's own suites, and wrappers that make new ones of any family."""

from metarl_envs.adapters.from_gymnax import from_gymnax
from metarl_envs.adapters.masked import masked
from metarl_envs.adapters.random_projection import random_projection

__all__ = ["from_gymnax", "masked", "random_projection"]
