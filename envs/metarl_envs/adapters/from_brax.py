"""Bodies of Brax, their constants hidden, or a goal of one's own.

Reference:
    Freeman et al. (2021), "Brax: A Differentiable Physics Engine for Large Scale Rigid Body
    Simulation".
"""

from collections.abc import Callable, Mapping
from typing import Any

from metarl_envs.adapters.bodies import Reward, bodies
from metarl_envs.adapters.physics_scales import SCALES
from metarl_envs.adapters.suite import EPISODE_LENGTH, NUM_EPISODES, family_of, import_suite
from metarl_envs.adapters.vary import Values
from metarl_jax.checks import suggestion
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import Array, ConfigurationError, Key, PyTree

BACKENDS = ("spring", "positional", "generalized", "mjx")


def from_brax(
    environment: Any,
    *,
    backend: str = "spring",
    vary: Mapping[str, Values] | None = None,
    sample: Callable[[Key], PyTree] | None = None,
    describe: Callable[[PyTree], Array] | None = None,
    reward: Reward | None = None,
    episode_length: int = EPISODE_LENGTH,
    num_episodes: int = NUM_EPISODES,
) -> TaskDistribution:
    """A task distribution over the constants of a body of Brax, or over goals of one's own.

    Args:
        environment: its name, such as "ant", or an environment.
        backend: the physics: spring, positional, generalized or mjx.
        vary: gravity, mass, friction, strength or damping -> range (low, high) or list of factors.
        sample: `key -> goal`, what the reward is told.
        describe: `goal -> [C]`, what the contextual policy is told; by default all its numbers.
        reward: `(state, action, next_state, goal) -> []`, in place of Brax's.
        episode_length: H, steps of an episode.
        num_episodes: E, episodes of a meta-episode.

    Raises:
        ConfigurationError: brax is not installed, or has no such environment or backend.
    """
    named = isinstance(environment, str)
    made = make_brax(environment, backend) if named else environment
    name = environment if named else type(environment).__name__
    _require_effect(name, made, vary or {})
    return bodies(
        name,
        made,
        "sys",
        vary=vary,
        sample=sample,
        describe=describe,
        reward=reward,
        episode_length=episode_length,
        num_episodes=num_episodes,
    )


def make_brax(name: str, backend: str) -> Any:
    """The environment of this name.

    Raises:
        ConfigurationError: brax is not installed, or has no such environment or backend.
    """
    envs = import_suite("brax.envs", "brax")
    known = sorted(envs._envs)
    if name not in known:
        hint = suggestion(name, known, f"{', '.join(known)}.")
        raise ConfigurationError(f"expected an environment of brax, got {name!r}; {hint}")
    if backend not in BACKENDS:
        raise ConfigurationError(
            f"expected a backend among {', '.join(BACKENDS)}, got {backend!r}; spring is the "
            "fastest."
        )
    return envs.get_environment(name, backend=backend)


def _require_effect(name: str, made: Any, vary: Mapping[str, Values]) -> None:
    """Refuses constants that a backend does not read: they would hide nothing."""
    asked = {field for field, values in vary.items() if not isinstance(values, str) or values}
    if made.backend not in ("spring", "positional"):
        return
    ignored = {"damping"} | ({"mass"} if float(made.sys.spring_mass_scale) == 1 else set())
    if unread := sorted(asked & ignored):
        raise ConfigurationError(
            f"{name}: expected constants that brax's {made.backend} backend reads, got "
            f"{', '.join(unread)}; take backend generalized or mjx."
        )


def brax_family(name: str) -> Callable[..., TaskDistribution]:
    """The task family of `brax:NAME`.

    Args:
        name: of an environment.
    """
    return family_of(from_brax, name, SCALES)
