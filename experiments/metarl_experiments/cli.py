"""The command line: `metarl COMMAND`."""

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from metarl_experiments.process.runtime import (
    configure_jax,
    draw_into_files,
    end_with_supervisor,
    no_device,
    use_huge_pages,
)
from metarl_experiments.process.streams import ignore_broken_output, say_what_can_be_said

USAGE = """\
usage: metarl COMMAND ...

  train NAME [options]      meta-train, evaluate on meta-test tasks, draw; --help shows the options
  train --resume RUN        go on with a run that was stopped
  sweep NAME --over S=V,V   train an agent for each value of a numeric setting, in one program
  supervise -- metarl ...   start a run again where it crashes or is preempted, until it ends
  evaluate RUN [options]    evaluate a run's last checkpoint on meta-test tasks
  compare RUN|AGENT ...     runs and classical agents on the same tasks, side by side
  video RUN [options]       a GIF or MP4 of what a run's policy does in a few meta-test tasks
  report RUN                evaluate a run with and without its memory, and draw its report.html
  list                      the presets that are installed
  check NAME                does a task family keep the laws? what breaks them is named
  doctor                    versions, devices, physics: is everything in place?

NAME is a preset, or FILE.py:FUNCTION for a task family of your own."""

COMMANDS = {
    "train": "train",
    "sweep": "train",
    "supervise": "supervise",
    "evaluate": "evaluate",
    "compare": "compare",
    "video": "video",
    "report": "report",
    "list": "inspection",
    "check": "inspection",
    "doctor": "inspection",
}
"""The module of each command."""
TRAINING = ("train", "sweep")
"""The commands that several processes may run as one."""
LONG = (*TRAINING, "supervise")
"""Those that nothing may end but what they are about."""
BAD_INPUT = 2
"""`ExitCode.BAD_INPUT`, known before jax is imported."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its `ExitCode`."""
    say_what_can_be_said()
    if arguments is None:
        use_huge_pages()
        end_with_supervisor()
        draw_into_files()
        arguments = sys.argv[1:]
        if arguments[:1] and arguments[0] in LONG:
            ignore_broken_output()
    arguments = list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else BAD_INPUT
    if arguments[0] not in COMMANDS:
        print(f"metarl: {_unknown(arguments[0])}", file=sys.stderr)
        return BAD_INPUT
    try:
        import jax  # noqa: F401  # all that follows needs it, and it reads the environment
    except ValueError as error:
        print(f"metarl: expected settings that jax can read, got: {error}.", file=sys.stderr)
        return BAD_INPUT
    return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    """Runs one command; what it raises for people is said to them."""
    from metarl_experiments.process.distributed import join
    from metarl_experiments.process.early_flags import read_early_flags
    from metarl_jax.training.plan import ExitCode
    from metarl_jax.types import ConfigurationError, PeerError, UnwritableError

    try:
        # Both before the command is imported: something there might start jax.
        flags = read_early_flags(arguments)
        configure_jax(flags.devices)
        if arguments[0] in TRAINING:
            join(flags.distributed)
        return _command(arguments[0])(arguments[1:])
    except (ConfigurationError, UnwritableError) as error:
        print(f"metarl: {error}", file=sys.stderr)
        return ExitCode.BAD_INPUT
    except PeerError as error:
        print(f"metarl: {error}", file=sys.stderr)
        return ExitCode.TERMINATED
    except (RuntimeError, AssertionError) as error:
        if missing := no_device():
            print(f"metarl: {missing}", file=sys.stderr)
            return ExitCode.BAD_INPUT
        if not _is_of_several(error):
            raise
        traceback.print_exc()
        print("metarl: something failed here, or in another process of this run.", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ExitCode.TERMINATED)  # the usual way out would wait for the others
    except KeyboardInterrupt:
        print("metarl: interrupted.", file=sys.stderr)
        return ExitCode.INTERRUPTED


def _is_of_several(error: Exception) -> bool:
    """Whether it is jax's own, in one of several processes: of what crosses between them."""
    import jax

    return isinstance(error, jax.errors.JaxRuntimeError) and jax.process_count() > 1


def _command(name: str) -> Callable[[Sequence[str]], int]:
    """The command's function; its module is imported only when it is asked for."""
    module = importlib.import_module(f"metarl_experiments.commands.{COMMANDS[name]}")
    return getattr(module, f"{name}_command")


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]}?" if near else "`metarl --help` shows them."
    return f"expected a command among {', '.join(COMMANDS)}, got {name!r}; {hint}"
