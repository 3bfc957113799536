"""The command line: `metarl train | sweep | evaluate | compare | report | list | doctor`."""

import difflib
import sys
from collections.abc import Callable, Sequence

from metarl_experiments.runtime import configure_jax, use_huge_pages

USAGE = """\
usage: metarl COMMAND ...

  train NAME [options]      meta-train, evaluate on meta-test tasks, draw; --help shows the options
  train --resume RUN        go on with a run that was stopped
  sweep NAME --over S=V,V   train an agent for each value of a numeric setting, in one program
  evaluate RUN [options]    evaluate a run's last checkpoint on meta-test tasks
  compare RUN|AGENT ...     runs and classical agents on the same tasks, side by side
  report RUN                evaluate a run with and without its memory, and draw its report.html
  list                      the presets that are installed
  doctor                    versions, devices, physics: is everything in place?

NAME is a preset, or FILE.py:FUNCTION for a task family of your own."""

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    0 finished; 2 bad input; 3 diverged, last good state saved; 74 the last state could not be
    saved; 75 terminated and 130 interrupted, where training both saved and resumable.
    """
    if arguments is None:
        use_huge_pages()
        arguments = sys.argv[1:]
    arguments = list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments else EXIT_BAD_INPUT
    from metarl_jax.types import ConfigurationError

    try:
        configure_jax(arguments)  # before the command is imported: something there might start jax
        command = _command(arguments[0])
        return command(arguments[1:])
    except ConfigurationError as error:
        print(f"metarl: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("metarl: interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _command(name: str) -> Callable[[Sequence[str]], int]:
    """The command's function; each is imported only when it is asked for."""
    from metarl_jax.types import ConfigurationError

    if name == "train":
        from metarl_experiments.train import train_command

        return train_command
    if name == "sweep":
        from metarl_experiments.train import sweep_command

        return sweep_command
    if name == "evaluate":
        from metarl_experiments.evaluate import evaluate_command

        return evaluate_command
    if name == "compare":
        from metarl_experiments.compare import compare_command

        return compare_command
    if name == "report":
        from metarl_experiments.report_command import report_command

        return report_command
    if name == "list":
        from metarl_experiments.inspection import list_command

        return list_command
    if name == "doctor":
        from metarl_experiments.inspection import doctor_command

        return doctor_command
    commands = ("train", "sweep", "evaluate", "compare", "report", "list", "doctor")
    near = difflib.get_close_matches(name, commands, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]}?" if near else "`metarl --help` shows them."
    raise ConfigurationError(
        f"expected a command among {', '.join(commands)}, got {name!r}; {hint}"
    )
