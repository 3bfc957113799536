"""The command line: `metarl COMMAND`."""

import difflib
import importlib
import importlib.metadata
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
  list [--json]             the installed presets
  check NAME                check that a task family keeps the laws; without a name after
                            FILE.py, list what the file holds
  doctor                    check versions, devices and physics
  help [COMMAND]            this text, or a command's own --help

  --version                 print the version

NAME is a preset, or FILE.py:FUNCTION for a task family of your own. A command's options are
shown by `metarl COMMAND --help`; those of `train` and `sweep` need the NAME too."""

COMMANDS = {
    "train": "train",
    "sweep": "train",
    "supervise": "supervise",
    "evaluate": "evaluate",
    "compare": "compare",
    "video": "video",
    "report": "report",
    "list": "listing",
    "check": "inspection",
    "doctor": "inspection",
}
"""The module of each command."""
TRAINING = ("train", "sweep")
"""The commands that several processes may run as one."""
LONG = (*TRAINING, "supervise")
"""The commands that go on when their output can no longer be written."""
DISTRIBUTION = "metarl-jax"
BAD_INPUT = 2
"""`ExitCode.BAD_INPUT`, known before jax is imported."""
NEAR = 0.65
"""The least similarity, from 0 to 1, of a name that is suggested."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its `ExitCode`.

    Args:
        arguments: those after `metarl`; by default the process's own, which is then prepared for
            the command.
    """
    say_what_can_be_said()
    asked = list(sys.argv[1:] if arguments is None else arguments)
    if asked[:1] == ["help"]:
        asked = [*asked[1:2], "--help"]
    try:
        if (code := _answered_at_once(asked)) is not None:
            return code
        if arguments is None:
            _prepare_process(asked[0])
        return _run(asked) if _jax_starts() else BAD_INPUT
    except BrokenPipeError:  # the reader has gone, as `head` does when it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _answered_at_once(arguments: Sequence[str]) -> int | None:
    """Answers what needs no jax and returns the exit code; None if a command must run."""
    first = arguments[0] if arguments else None
    if first in COMMANDS:
        return None
    if first in (None, "-h", "--help"):
        print(USAGE)
        return 0 if arguments else BAD_INPUT
    if first == "--version":
        print(f"metarl {importlib.metadata.version(DISTRIBUTION)}")
        return 0
    print(f"metarl: {_unknown(str(first))}", file=sys.stderr)
    return BAD_INPUT


def _prepare_process(command: str) -> None:
    use_huge_pages()
    end_with_supervisor()
    draw_into_files()
    if command in LONG:
        ignore_broken_output()


def _jax_starts() -> bool:
    """Whether jax, which every command needs, can read the environment; says it if not."""
    try:
        import jax  # noqa: F401
    except ValueError as error:
        print(f"metarl: expected settings that jax can read, got: {error}.", file=sys.stderr)
        return False
    return True


def _run(arguments: Sequence[str]) -> int:
    """Runs one command; what it raises for people is said to them."""
    from metarl_experiments.process.distributed import join
    from metarl_experiments.process.early_flags import read_early_flags
    from metarl_jax.files import reason
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
    except OSError as error:
        if error.filename is None or arguments[0] in LONG:
            raise  # a supervisor starts such a run again
        print(f"metarl: {reason(error)}: {str(error.filename)!r}", file=sys.stderr)
        return ExitCode.BAD_INPUT
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
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=NEAR)
    hint = f"did you mean {near[0]}?" if near else "`metarl help` describes them."
    return f"expected a command among {', '.join(COMMANDS)}, got {name!r}; {hint}"
