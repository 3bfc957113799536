"""What data parallelism over many chips will cost: the arithmetic behind docs/scaling.md.

    t_compute = 6 P S / F       forward and backward of P weights over S steps, F operations/s
    t_floor   = T τ             a scan of T steps, each of which takes τ however few its tasks
    t_reduce  = 2 (n - 1) / n · 4 P / W + 2 ⌈log2 n⌉ α     float32, once a gradient step
    share     = t_reduce / (t_reduce + max(t_compute, t_floor))

`python -m system_checks.scaling_plan` prints the table.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Chip:
    """What a chip does, and what joins it to the others.

    Attributes:
        name: of it.
        flops: operations a second that updates in float32 come to.
        bandwidth: bytes a second that an all-reduce sends from each chip.
        latency: seconds of a message.
        step: seconds of a scan's step, forward and backward, at the least.
    """

    name: str
    flops: float
    bandwidth: float
    latency: float
    step: float


CHIPS = (
    Chip("H100, 400 Gbit/s a GPU between nodes", 21e12, 50e9, 10e-6, 133e-6),
    Chip("TPU v5e, two links of 400 Gbit/s", 20e12, 100e9, 2e-6, 50e-6),
)
WEIGHTS = (1_000_000, 100_000_000)
NUMBERS = (8, 32, 128, 256)
STEPS = 100
"""T, of a meta-episode."""
TASKS = 1024
"""On each chip."""
SHARE = 0.05


def all_reduced_bytes(weights: int) -> int:
    """Of a gradient step: every weight's, in float32."""
    return 4 * weights


def reduce_seconds(chip: Chip, weights: int, number: int) -> float:
    """Of an all-reduce of all gradients over so many chips."""
    sent = 2 * (number - 1) / number * all_reduced_bytes(weights)
    return sent / chip.bandwidth + 2 * math.ceil(math.log2(number)) * chip.latency


def update_seconds(chip: Chip, weights: int, tasks: float) -> float:
    """Of an update's computation on a chip."""
    return max(6 * weights * tasks * STEPS / chip.flops, STEPS * chip.step)


def share(chip: Chip, weights: int, number: int, tasks: float = TASKS) -> float:
    """Of an update's time that the all-reduce takes, if nothing hides it."""
    reduced = reduce_seconds(chip, weights, number)
    return reduced / (reduced + update_seconds(chip, weights, tasks))


def fewest_tasks(chip: Chip, weights: int, number: int) -> int:
    """Tasks on a chip at which the all-reduce takes a twentieth; 0: the scan hides it at any."""
    computing = reduce_seconds(chip, weights, number) * (1 - SHARE) / SHARE
    if computing <= STEPS * chip.step:
        return 0
    return math.ceil(computing * chip.flops / (6 * weights * STEPS))


def table() -> str:
    """As Markdown: the share at 1,024 tasks on a chip, and the tasks at which it is 5%."""
    head = ["chip", "weights", "all-reduced", *(f"{n} chips" for n in NUMBERS)]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for chip in CHIPS:
        for weights in WEIGHTS:
            cells = [
                f"{share(chip, weights, n):.1%}, {fewest_tasks(chip, weights, n) or 'any'}"
                for n in NUMBERS
            ]
            size = f"{all_reduced_bytes(weights) / 1e6:.0f} MB"
            row = [chip.name, f"{weights / 1e6:.0f} M", size, *cells]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
