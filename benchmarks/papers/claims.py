"""Every published claim with its test and its verdict here.

``claims/<paper>.yaml`` beside this module says of each claim what the paper compared (``paper``), what stands in for it
here (``stand_in``), and by which contrasts it is tested. A claim whose parts could come out differently is split into
claims of their own (T23a, T23b). Verdicts are about the scale and the judges of the records, which stand beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...common.config import from_dict
from ...common.errors import UserError, did_you_mean
from ...common.lines import count
from ..analysis import published
from ..analysis.published import Claim, read_yaml
from ..analysis.records import Record
from .claim_tests import NOT_TESTED, VERDICTS, ContrastResult, Verdict, judge, overall
from .contrasts import Contrast
from .record_index import RecordIndex, value_at
from .requirements import in_words

TESTS = Path(__file__).parent / "claims"
NOTHING = "nothing: "  # what ``stand_in`` begins with where no record here stands in for what the paper compared


@dataclass(frozen=True)
class ClaimTest:
    """How a claim is tested.

    Attributes:
        paper: what the paper compared: metric, comparison, and data, scale and hardware where they are not those of its
            ``PaperTests.setting``.
        stand_in: what stands in for it here: study, metric and arms; or ``nothing: `` and the reason why.
        contrasts: all of which the claim needs; none where nothing stands in.
        lacks: what of the claim's own comparison no record of these studies has, so that they cannot decide it.
    """

    paper: str
    stand_in: str
    contrasts: tuple[Contrast, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class PaperTests:
    """The tests of a paper's claims by their ids; ``setting``: the data, scale and hardware of all its comparisons."""

    setting: str
    tests: dict[str, ClaimTest]


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its verdict."""

    claim: Claim
    test: ClaimTest
    verdict: Verdict
    contrasts: tuple[ContrastResult, ...] = ()

    @property
    def missing(self) -> list[str]:
        """All that is missing before there can be a verdict."""
        if not self.test.contrasts:
            return [self.test.stand_in.removeprefix(NOTHING)]
        return [*self.test.lacks, *in_words(lack for contrast in self.contrasts for lack in contrast.lacks)]

    @property
    def records(self) -> list[tuple[Path, Record]]:
        """The records it rests on, each with its study's folder."""
        arms = [arm for contrast in self.contrasts for arm in contrast.arms]
        found = {(arm.study, record.stem): (arm.folder, record) for arm in arms for record in arm.records}
        return list(found.values())

    @property
    def scale(self) -> str:
        """The records' scale and evaluators, in words."""
        return "; ".join(dict.fromkeys(scale_of(record) for _, record in self.records))


def evaluate_claims(index: RecordIndex, papers: Sequence[str] = ()) -> list[ClaimResult]:
    """Test every claim of these papers (none: of all), in the papers' order.

    All contrasts of a paper are tested together, because they share one error budget.

    Raises:
        UserError: an unknown paper, or a claim without a test.
    """
    claims, tests = published.claims(), load_claim_tests()
    known = list(dict.fromkeys(claim.paper for claim in claims))
    for paper in papers:
        if paper not in known:
            raise UserError(f"no claims of {paper!r}{did_you_mean(paper, known)}; known: {', '.join(known)}")
    missing = [claim.id for claim in claims if claim.id not in tests]
    if missing:
        raise UserError(f"{TESTS.name}: no test for {', '.join(missing)}; add one, or the reason why there is none")
    found = []
    for paper in [paper for paper in known if not papers or paper in papers]:
        own = [claim for claim in claims if claim.paper == paper]
        judged = iter(judge([contrast for claim in own for contrast in tests[claim.id].contrasts], index))
        for claim in own:
            test = tests[claim.id]
            contrasts = tuple(next(judged) for _ in test.contrasts)
            verdict = NOT_TESTED if test.lacks or not contrasts else overall(contrasts)
            found.append(ClaimResult(claim, test, verdict, contrasts))
    return found


def load_claim_tests() -> dict[str, ClaimTest]:
    """Claim id -> its test, of all papers; see ``read_claim_tests``."""
    return {name: test for path in sorted(TESTS.glob("*.yaml")) for name, test in read_claim_tests(path).tests.items()}


def read_claim_tests(path: Path) -> PaperTests:
    """The tests of one paper's claims.

    In the file a side of a contrast may be an arm's label alone. ``b`` and ``metric`` may be lists, which give a
    contrast for each of them. ``order`` names arms from worst to best: each must be better than the one before.

    Raises:
        UserError: an unknown key or value, or a test that has neither contrasts nor a reason, or both.
    """
    data = dict(read_yaml(path))
    setting = data.pop("setting", "")
    return PaperTests(setting, {name: _claim_test(test, f"{path.name}: {name}") for name, test in data.items()})


def scale_of(record: Record) -> str:
    """``4 layers of width 128, 1,400 updates of 16 × 4 s, judged by musicnn``; of a timing, the machine."""
    config = record.config
    model, train = config.model, config.train
    judges = ", ".join(one.name for one in (*config.evaluation.judges, config.evaluation.evaluator) if one.name)
    hardware = value_at(record, "setting.hardware")
    parts = [f"{count(model.backbone.n_layers, 'layer')} of width {model.backbone.d_model}"] if model else []
    parts += [f"{count(train.updates, 'update')} of {train.batch} × {train.seconds:g} s"] if train else []
    parts += [f"judged by {judges}"] if judges else []
    parts += [f"on {hardware} ({value_at(record, 'setting.device')})"] if hardware else []
    return ", ".join(parts)


def verdict_counts(results: Sequence[ClaimResult]) -> str:
    """``2 seen at this scale, 1 not seen at this scale, 0 mixed, 3 undecided, 112 not tested here``."""
    return ", ".join(f"{n} {verdict}" for verdict, n in tally(results).items())


def tally(results: Sequence[ClaimResult]) -> dict[str, int]:
    """Verdict -> how many claims have it."""
    held = Counter(result.verdict for result in results)
    return {verdict: held[verdict] for verdict in VERDICTS}


def _claim_test(data: Mapping[str, Any], where: str) -> ClaimTest:
    contrasts = [one for contrast in data.get("contrasts", []) for one in _expanded(contrast, where)]
    rest = {key: value for key, value in data.items() if key != "contrasts"}
    test = replace(from_dict(ClaimTest, rest, where), contrasts=tuple(contrasts))
    if bool(test.contrasts) == test.stand_in.startswith(NOTHING):
        raise UserError(f"{where}: give either contrasts, or a stand_in that begins with '{NOTHING}' and says why")
    return test


def _expanded(data: Mapping[str, Any], where: str) -> list[Contrast]:
    """One contrast per metric, and per pair of arms."""
    plain = {key: value for key, value in data.items() if key not in ("order", "metric", "a", "b", "minus")}
    b = data.get("b")
    pairs = [(data.get("a"), other) for other in (b if isinstance(b, list) else [b])]
    if "order" in data:
        pairs = [(better, worse) for worse, better in zip(data["order"], data["order"][1:])]
    metrics = data["metric"] if isinstance(data.get("metric"), list) else [data.get("metric")]
    minus = {side: _side(arm) for side, arm in data["minus"].items()} if "minus" in data else None
    sides = [{"a": _side(one), "b": _side(two), **({"minus": minus} if minus else {})} for one, two in pairs]
    return [from_dict(Contrast, {**plain, "metric": m, **pair}, where) for m in metrics for pair in sides]


def _side(arm: Any) -> Any:
    return {"arm": arm} if isinstance(arm, str) else arm
