"""``bench check``: hold a paradigm against the conformance suite."""

from __future__ import annotations

from typing import Annotated

import typer


def check(
    paradigm: Annotated[str, typer.Argument(help="package.module:Class, or a name from `bench list paradigms`.")],
    only: Annotated[list[str], typer.Option(help="Run only this check; repeatable. Default: all.")] = [],  # noqa: B006
) -> int:
    """Check a paradigm against the conformance suite.

    Runs every check on a small copy of the paradigm; says what fails, why, and how to fix it. Takes under half a minute
    on one core and needs no weights and no data. The exit status is 1 if a check fails.

    \b
    Examples:
      bench check fm
      bench check mypkg.mine:MyParadigm
      bench check mypkg.mine:MyParadigm --only seeds --only cost
    """
    from ... import paradigms
    from ..conformance import CHECKS, Case, examine

    case = Case(paradigms.find(paradigm))
    width, counts = max(map(len, CHECKS)), {"pass": 0, "fail": 0, "skipped": 0}
    for finding in examine(case, only):
        counts[finding.status] += 1
        proof = (CHECKS[finding.check].__doc__ or "").strip().splitlines()[0]
        told = proof if finding.status == "pass" else finding.message
        print(f"{finding.status.upper() if finding.status == 'fail' else finding.status:<8}"
              f"{finding.check:<{width + 2}}{told}", flush=True)  # fmt: skip
        if finding.mend:
            print(f"{'':<{width + 10}}mend: {finding.mend}", flush=True)
    print(f"\n{paradigm}: {counts['pass']} passed, {counts['fail']} failed, {counts['skipped']} skipped")
    return int(counts["fail"] > 0)
