"""A process that runs an update of a gigabyte and tells what was foreseen, and what it grew by.

python memory_growth.py ppo 10000        prints {"foreseen": BYTES, "grown": BYTES}
"""

import json
import sys
from functools import partial
from pathlib import Path

import jax

from metarl_jax import Architecture, adaptive_policy, gru, transformer
from metarl_jax.learning.algorithms import a2c, ppo
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import UpdateConfig
from metarl_jax.training.chunks import compile_chunk
from metarl_jax.training.memory_budget import program_bytes
from support.probes import counter

TASKS = counter(ends_early=True, num_episodes=12)
CASES = {
    "a2c on two devices": (a2c, gru(64), 2),
    "ppo": (partial(ppo, epochs=1, minibatches=2), gru(64), 1),
    "a transformer": (a2c, transformer(12, 32), 1),
}
PEAK, NOW = "VmHWM", "VmRSS"


def resident(name: str) -> int:
    """Bytes of memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def main(case: str, num_tasks: int) -> None:
    jax.config.update("jax_num_cpu_devices", 2)
    make, memory, devices = CASES[case]
    policy = adaptive_policy(TASKS, memory, Architecture(embedding_size=16))
    config = UpdateConfig(num_tasks=num_tasks, num_devices=devices)
    algorithm = make(TASKS, policy, hyperparameters(), config)
    state = algorithm.init(jax.random.key(0))
    chunk = compile_chunk(algorithm, 1, state)
    before = resident(NOW)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
    jax.block_until_ready(chunk(state))
    print(json.dumps({"foreseen": program_bytes(chunk), "grown": resident(PEAK) - before}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
