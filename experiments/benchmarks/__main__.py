"""The command: options, then everything that was asked for."""

import sys

import tyro

from benchmarks.options import BenchOptions
from metarl_experiments.process.runtime import configure_jax, use_huge_pages
from metarl_jax.types import ConfigurationError


def main() -> int:
    """Runs what was asked for; 0, or 2 where this machine cannot."""
    try:
        options = tyro.cli(BenchOptions, prog="make bench")
        # Before anything is imported that might start jax.
        configure_jax(options.devices, keep_compiled=False)
        from benchmarks.suite import run_suite

        run_suite(options)
    except ConfigurationError as error:
        print(f"make bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    use_huge_pages()
    sys.exit(main())
