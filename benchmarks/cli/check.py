"""``bench check``: test a paradigm against the conformance checks."""

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
    # torch, and what needs it, loads only where a paradigm is checked
    from ... import paradigms
    from ..conformance import CHECKS, ConformanceCase, run_checks

    case = ConformanceCase(paradigms.find(paradigm))
    width, counts = max(map(len, CHECKS)), {"pass": 0, "fail": 0, "skipped": 0}
    for result in run_checks(case, only):
        counts[result.status] += 1
        proof = (CHECKS[result.check].__doc__ or "").strip().splitlines()[0]
        status = "FAIL" if result.status == "fail" else result.status
        text = proof if result.status == "pass" else result.message
        print(f"{status:<8}{result.check:<{width + 2}}{text}", flush=True)
        if result.fix:
            print(f"{'':<{width + 10}}fix: {result.fix}", flush=True)
    print(f"\n{paradigm}: {counts['pass']} passed, {counts['fail']} failed, {counts['skipped']} skipped")
    return int(counts["fail"] > 0)
