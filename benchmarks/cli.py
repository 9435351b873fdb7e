"""``bench``: the command line of the referee.

Exit status: 0 done; 1 a cell failed (its record says why); 2 bad input, with one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import typer

from benchmarks.commands import (
    check,
    claims,
    codec,
    collect,
    compare,
    data,
    doctor,
    evaluator,
    evaluators,
    inpaint,
    jobs,
    listing,
    models,
    new_paradigm,
    plan,
    report,
    run,
    sample,
    score,
    submit,
    train,
    tune,
    verify,
)
from common.errors import UserError
from common.lines import say

HELP = """A controlled comparison of generative paradigms for text-to-music: one backbone, one loop, one referee.

\b
First steps:
  bench doctor                              what this machine can do
  bench run quickstart                      train five paradigms alike, judge them, write REPORT.md
  bench run --paradigm fm --axis fidelity   one paradigm only
  bench submit small_cpu                    the same as a SLURM array; then bench status, resume, cancel
  bench report                              write the report again, from the records alone
  bench score --reference A --generated B   judge any two folders of audio
  bench check mypkg.mine:MyParadigm         hold a new paradigm against the conformance suite
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("claims")(claims.claims)
app.command("collect")(collect.collect)
app.command("verify")(verify.verify)
app.command("train")(train.train)
app.command("tune")(tune.tune)
app.command("sample")(sample.sample)
app.command("inpaint")(inpaint.inpaint)
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("check")(check.check)
app.command("new-paradigm")(new_paradigm.new_paradigm)
app.command("submit")(submit.submit)
app.command("status")(jobs.status)
app.command("resume")(submit.resume)
app.command("cancel")(jobs.cancel)
app.command("models")(models.models)
app.command("plan")(plan.plan)
app.command("list")(listing.list_)
app.command("doctor")(doctor.doctor)
app.add_typer(codec.app, name="codec")
app.add_typer(data.app, name="data")
app.add_typer(evaluator.app, name="evaluator")
app.add_typer(evaluators.app, name="evaluators")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: run the command line and exit with its status."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(status(list(sys.argv[1:] if arguments is None else arguments)))


def status(arguments: list[str]) -> int:
    """Run one command line; returns the exit status, with problems told in one line on stderr."""
    try:
        code = int(app(args=arguments, prog_name="bench", standalone_mode=False) or 0)
    except UserError as error:
        return _complain(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # typer carries its own copy of click or uses the installed one; usage errors of both know their message.
        if not hasattr(error, "format_message"):
            raise
        return _complain(error.format_message(), 2)
    if code == 130:  # some versions of typer turn Ctrl-C into this status themselves
        return _complain("interrupted; finished work is kept, the same command goes on from there", 130)
    return code


def _complain(message: str, code: int) -> int:
    say(f"bench: error: {' '.join(message.split())}" if code == 2 else f"bench: {message}")
    return code


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
