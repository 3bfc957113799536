"""How things are timed: compiled beforehand, in turn, by their medians."""

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax

from metarl_jax.training.memory_budget import available_bytes
from metarl_jax.types import ConfigurationError


class Program(NamedTuple):
    """A compiled program.

    Attributes:
        call: with arguments of the shapes it was compiled for.
        compile_s: seconds from the Python function to the program, tracing included.
        peak_memory_bytes: arguments, results and temporary memory, on all devices together; None
            where XLA does not tell.
    """

    call: Callable[..., Any]
    compile_s: float
    peak_memory_bytes: int | None


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way of doing what a benchmark measures, compiled but not run yet.

    Attributes:
        run: does it once, and returns when it is done.
        env_steps: environment steps of a run.
        flops: floating-point operations of the network in a run; 0 where it has none.
        compile_s: seconds it took to compile; None for what is not compiled.
        peak_memory_bytes: it takes; None where that is not known.
    """

    run: Callable[[], object]
    env_steps: int
    flops: float = 0.0
    compile_s: float | None = None
    peak_memory_bytes: int | None = None


def compile_program(
    function: Callable[..., Any], *arguments: Any, num_devices: int = 1, donate: bool = False
) -> Program:
    """Compiles a function for its arguments, without the persistent cache.

    Args:
        function: what to compile.
        arguments: to compile it for.
        num_devices: over how many it runs.
        donate: whether the first argument's memory is given to the results.

    Raises:
        ConfigurationError: it takes more memory than there is. A CPU's process would be killed.
    """
    begin = time.perf_counter()
    jitted = jax.jit(function, donate_argnums=(0,) if donate else ())
    compiled = jitted.lower(*arguments).compile()
    seconds = time.perf_counter() - begin
    needed = _bytes_held(compiled.memory_analysis(), num_devices)
    available = available_bytes(num_devices)
    if needed is not None and available is not None and needed > available:
        raise ConfigurationError(
            f"expected {needed / 1e9:.1f} GB of free memory, got {available / 1e9:.1f}."
        )
    return Program(compiled, seconds, needed)


def _bytes_held(memory: Any, num_devices: int) -> int | None:
    """What is donated is an argument and a result at once, and counted once."""
    if memory is None:  # a backend need not tell
        return None
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return num_devices * (held + memory.temp_size_in_bytes)


def compare(
    runs: Mapping[str, Callable[[], object]],
    repetitions: int,
    *,
    budget_s: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Times everything in turn, again and again.

    Every other round goes backwards, so that nothing always follows the same one. What a machine
    does meanwhile strikes all of them alike, and the median forgets it. The first round does not
    count: each finds there the memory that the others have left.

    Args:
        runs: name -> what to time.
        repetitions: rounds that count, at least 1.
        budget_s: what has taken so many seconds altogether is left out of the rounds to come.
        clock: tells the time in seconds.

    Returns:
        Each one's median, in seconds.
    """
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(repetitions):
        for name in list(runs)[:: -1 if repetition % 2 else 1]:
            if sum(times[name]) < budget_s:
                begin = clock()
                runs[name]()
                times[name].append(clock() - begin)
    return {name: statistics.median(taken) for name, taken in times.items()}


def make_variants(
    benchmark: str, makers: Mapping[str, Callable[[], Variant]], *, at_once: int = 1
) -> dict[str, Variant]:
    """Makes the variants that this machine can run; of the others it says why it cannot.

    Args:
        benchmark: whose variants they are.
        makers: name -> compiles the variant.
        at_once: so many are compiled beside each other. They run one after the other: programs
            that meet on several devices would wait for each other.

    Returns:
        Those that were made and have run once.
    """
    with ThreadPoolExecutor(at_once) as threads:
        making = {name: threads.submit(make) for name, make in makers.items()}
    made = {}
    for name, done in making.items():
        try:
            variant = done.result()
            variant.run()
            made[name] = variant
        except Exception as error:  # memory, engines and kernels fail each in a way of its own
            # XLA's messages go on for pages, the first line tells what happened.
            reason = str(error).partition("\n")[0][:300]
            message = f"{benchmark}: {name} is left out: {type(error).__name__}: {reason}"
            print(message, file=sys.stderr, flush=True)
    return made
