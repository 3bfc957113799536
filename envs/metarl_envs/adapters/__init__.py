"""Task families from the field's own suites, and wrappers that make new ones of any family.

A suite is imported when its adapter is called: `pip install 'metarl-jax[jumanji]'` and so on.
"""

from metarl_envs.adapters.from_brax import from_brax
from metarl_envs.adapters.from_craftax import from_craftax
from metarl_envs.adapters.from_gymnax import from_gymnax
from metarl_envs.adapters.from_jumanji import from_jumanji
from metarl_envs.adapters.from_navix import from_navix
from metarl_envs.adapters.from_playground import from_playground
from metarl_envs.adapters.from_xminigrid import from_xminigrid
from metarl_envs.adapters.masked import masked
from metarl_envs.adapters.random_projection import random_projection
from metarl_envs.adapters.ruleset_files import load_rulesets

__all__ = [
    "from_brax",
    "from_craftax",
    "from_gymnax",
    "from_jumanji",
    "from_navix",
    "from_playground",
    "from_xminigrid",
    "load_rulesets",
    "masked",
    "random_projection",
]
