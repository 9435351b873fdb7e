"""``bench``: the command line.

Exit status: 0 done; 1 a cell failed (its record says why); 2 bad input, with one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ...common.environment import ONE_BLAS_THREAD
from ...common.errors import UserError
from ...common.lines import say
from . import (
    check,
    claims,
    codec,
    collect,
    compare,
    data,
    doctor,
    evaluators,
    inpaint,
    jobs,
    listing,
    models,
    new_paradigm,
    pack,
    plan,
    power,
    report,
    run,
    sample,
    score,
    submit,
    train,
    tune,
    tune_arms,
    validate_metrics,
    verify,
)

HELP = """Compare generative paradigms for text-to-music: one backbone, one training loop, one judge.

\b
First steps:
  bench doctor              check what this machine can do
  bench run quickstart      train five paradigms, judge them, write a page of results
  bench report --html       write the report of all results, as Markdown and HTML
  bench COMMAND --help      options and examples of a command
"""

# Section of the help -> name -> a command, or the typer app of a group of commands.
COMMANDS: dict[str, dict[str, Any]] = {
    "Start": {
        "doctor": doctor.doctor,
        "list": listing.list_,
        "plan": plan.plan,
        "run": run.run,
    },
    "Results": {
        "report": report.report,
        "compare": compare.compare,
        "power": power.power,
        "claims": claims.claims,
        "collect": collect.collect,
        "pack": pack.pack,
        "verify": verify.verify,
        "validate-metrics": validate_metrics.validate_metrics,
        "score": score.score,
    },
    "Models": {
        "train": train.train,
        "tune": tune.tune,
        "tune-arms": tune_arms.tune_arms,
        "sample": sample.sample,
        "inpaint": inpaint.inpaint,
        "models": models.models,
        "codec": codec.app,
        "data": data.app,
    },
    "Cluster": {
        "submit": submit.submit,
        "status": jobs.status,
        "resume": submit.resume,
        "cancel": jobs.cancel,
    },
    "Extend": {
        "new-paradigm": new_paradigm.new_paradigm,
        "check": check.check,
        "evaluators": evaluators.app,
    },
}


OLD_NAMES = {"evaluator": "evaluators"}  # names of commands that still work


class SectionedCommands(TyperGroup):
    """A group of commands that lists them by section, and shows its help when no command is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without arguments, show the help."""
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command called ``cmd_name``, which may be its old name."""
        return super().get_command(ctx, OLD_NAMES.get(cmd_name, cmd_name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands under the titles of their sections."""
        width = max(map(len, self.commands))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            short = command.get_short_help_str(formatter.width - width - 6)
            sections.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append(
                (name.ljust(width), short)
            )
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class FiniteCommand(TyperCommand):
    """A command that refuses NaN and infinity as the value of an option; the ranges of options let NaN pass."""

    def invoke(self, ctx: Any) -> Any:
        """Check the options and run the command."""
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{parameter.opts[0]} {value:g}: give a finite number")
        return super().invoke(ctx)


app = typer.Typer(
    help=HELP,
    cls=SectionedCommands,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _section, _commands in COMMANDS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            for _registered in _command.registered_commands:
                _registered.cls = FiniteCommand
            app.add_typer(_command, name=_name, cls=SectionedCommands, rich_help_panel=_section)
        else:
            app.command(_name, cls=FiniteCommand, rich_help_panel=_section)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"paradigm-bench {version('paradigm-bench')}")
        raise typer.Exit


@app.callback(help=HELP)
def bench(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """The options of ``bench`` itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: run the command line and exit with its status."""
    os.environ.update({**ONE_BLAS_THREAD, **os.environ})
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(status(list(sys.argv[1:] if arguments is None else arguments)))


def status(arguments: list[str]) -> int:
    """Run one command line and return the exit status; an error is printed as one line on stderr."""
    try:
        code = int(app(args=arguments, prog_name="bench", standalone_mode=False) or 0)
    except UserError as error:
        return _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except PermissionError as error:
        return _fail(f"cannot read or write {error.filename}: permission denied; check its permissions", 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # typer carries its own copy of click or uses the installed one; usage errors of both know their message.
        if not hasattr(error, "format_message"):
            raise
        return _fail(_usage(error), 2)
    if code == 130:  # some versions of typer turn Ctrl-C into this status themselves
        again = " without --again" if "--again" in arguments else ""
        return _fail(f"interrupted; finished work is kept, the same command{again} goes on from there", 130)
    return code


def _usage(error: Any) -> str:
    """The message of a usage error, with the nearest known name, or else with the command that prints the help."""
    message = error.message.rstrip(".")
    if near := getattr(error, "possibilities", None):
        return f"{message}. Did you mean {' or '.join(sorted(near))}?"
    message = error.format_message().rstrip(".")
    return message if "Did you mean" in message or not error.ctx else f"{message} (see `{error.ctx.command_path} -h`)"


def _fail(message: str, code: int) -> int:
    say(f"bench: error: {' '.join(message.split())}" if code == 2 else f"bench: {message}")
    return code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
