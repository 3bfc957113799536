"""`metarl check` and `metarl doctor`."""

import dataclasses
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro
from rich.console import Console

from metarl_experiments.commands.options import parse_family_options
from metarl_experiments.commands.parsing import parse
from metarl_experiments.process.runtime import cache_folder
from metarl_experiments.runs import make_tasks
from metarl_jax.experiment.code import load_object
from metarl_jax.experiment.kinds import STEPS
from metarl_jax.experiment.registry import (
    contents_of,
    experiment_names,
    is_of_suite,
    load_experiment,
)
from metarl_jax.files import reason
from metarl_jax.memory import LawReport, Memory, check_memory
from metarl_jax.policy import Policy, check_policy
from metarl_jax.tasks.conformance import check_task_distribution
from metarl_jax.tasks.spaces import summary
from metarl_jax.training.provenance import describe_machine, versions
from metarl_jax.types import ConfigurationError

CHECKED_STEPS = 16
"""Steps of the longest meta-episode that a memory is checked for, where it asks for them."""


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Check that a task family, a memory or a policy keeps the laws the framework relies on.

    Attributes:
        name: a preset, SUITE:NAME, or FILE.py:NAME for a family, a memory or a policy of your own;
            FILE.py alone lists what the file holds. The options of a family may follow.
    """

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]


def check_command(arguments: Sequence[str]) -> int:
    """Says what was checked, once the laws are found kept; or lists a file."""
    name = parse(CheckOptions, "metarl check", arguments[:1]).name
    if name.endswith(".py"):
        return _list_file(name)
    own = ":" in name and not is_of_suite(name)
    if own and (report := check_named(load_object(name))):
        print(report)
        return 0
    experiment = load_experiment(name)
    family = parse_family_options(experiment, arguments[1:], f"metarl check {name}")
    tasks = make_tasks(experiment, dataclasses.asdict(family))
    casts = check_task_distribution(tasks)
    spec = tasks.specification
    print(
        f"{tasks.name} keeps the laws: observations {summary(spec.observation)}, actions "
        f"{summary(spec.action)}, {tasks.num_episodes} episodes of "
        f"{'at most ' * tasks.ends_early}{tasks.episode_length} steps."
    )
    for cast in casts:
        print(f"  cast: {cast}")
    return 0


def check_named(found: Any) -> LawReport | None:
    """Checks a memory or a policy, or what a function makes that says it returns one.

    Args:
        found: what stands at FILE.py:NAME. The arguments of a function must have defaults, but
            for `num_steps`, the steps of the longest meta-episode.

    Returns:
        What was checked; None where it is neither.

    Raises:
        ConfigurationError: a law is broken, or an argument has no default.
    """
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        returned = signature.return_annotation
        name = getattr(returned, "__name__", str(returned)).rpartition(".")[2]
        if name not in (Memory.__name__, Policy.__name__):
            return None
        steps = {STEPS: CHECKED_STEPS} if STEPS in signature.parameters else {}
        parameters = signature.parameters.values()
        if bare := [p.name for p in parameters if p.default is p.empty and p.name not in steps]:
            raise ConfigurationError(
                f"{found.__name__}: expected a default for every argument but {STEPS}, got "
                f"{', '.join(bare)} without; write it as `hidden_size: int = 64`."
            )
        found = found(**steps)
    if isinstance(found, Policy):
        return check_policy(found)
    return check_memory(found) if isinstance(found, Memory) else None


def _list_file(place: str) -> int:
    held = contents_of(place)
    if not held:
        raise ConfigurationError(
            f"expected an experiment, a task family, a memory or a policy in {place}, got none; a "
            "function must say what it returns: `def NAME(...) -> TaskDistribution:`, say."
        )
    for kind, names in held.items():
        width = max(map(len, names))
        print(f"{kind} in {place}:")
        for name, line in names.items():
            print(f"  {name:{width}}  {line}".rstrip())
    print(f"\n`metarl check {place}:NAME` checks one.")
    return 0


@dataclasses.dataclass(frozen=True)
class DoctorOptions:
    """Check that everything a run needs is in place: versions, devices, presets and physics."""


def doctor_command(arguments: Sequence[str]) -> int:
    """Checks that everything a run needs is in place; returns 1 where something is not."""
    parse(DoctorOptions, "metarl doctor", arguments)
    console = Console(highlight=False)
    for name, version in versions().items():  # first: without a device, nothing else can be told
        console.print(f"  {name:18} {version}")
    machine = describe_machine()
    del machine["versions"]
    for name, value in machine.items():
        console.print(f"  {name:18} {value}")
    console.print(f"  {'executable':18} {sys.executable}")
    console.print(f"  {'compilation cache':18} {cache_folder() or 'none'}")
    checks = {
        "jax computes": _compute,
        "presets are installed": _presets,
        "physics steps": _physics,
    }
    failures = [name for name, check in checks.items() if not _passes(console, name, check)]
    return 1 if failures else 0


def _passes(console: Console, name: str, check: Callable[[], str]) -> bool:
    begin = time.perf_counter()
    try:
        detail = check()
    except Exception as error:  # a doctor reports whatever is wrong
        console.print(f"  [red]FAILED[/red] {name}: {type(error).__name__}: {reason(error)}")
        return False
    console.print(f"  [green]ok[/green]     {name}: {detail} ({time.perf_counter() - begin:.1f} s)")
    return True


def _compute() -> str:
    import jax
    import jax.numpy as jnp

    x = jnp.ones((256, 256), jnp.float32)
    assert float(jax.jit(lambda x: (x @ x).sum())(x)) == 256.0**3
    return str(jax.devices()[0])


def _presets() -> str:
    names = experiment_names()
    if not names:
        raise RuntimeError("no presets found; install the package: pip install -e .")
    return f"{len(names)} presets"


def _physics() -> str:
    import jax
    import jax.numpy as jnp

    tasks: Any = make_tasks(load_experiment("cheetah_vel"), {})
    task_key, reset_key, step_key = jax.random.split(jax.random.key(0), 3)
    task = tasks.sample(task_key)
    _, state = tasks.environment.reset_env(reset_key, task)
    step = jax.jit(tasks.environment.step_env)
    observation, *_ = step(step_key, state, jnp.zeros((6,), jnp.float32), task)
    assert bool(jnp.isfinite(observation).all())
    return "half-cheetah, one step"
