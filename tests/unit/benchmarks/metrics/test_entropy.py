"""Entropies of the first code: of known distributions, and while sampling those of plain passes over what was drawn."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench.benchmarks.metrics.entropy import curve_csv, per_clip
from paradigm_bench.paradigms.ar import AR, ARSampler, entropies
from paradigm_bench.paradigms.delay import delay
from tests.helpers import make, sample, some_conditions

P = torch.tensor([0.05, 0.4, 0.1, 0.25, 0.2])


def entropy(p: Tensor) -> Tensor:
    return torch.distributions.Categorical(p).entropy()


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 0}, [0, 1, 2, 3, 4]),
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 1}, [1]),
        ({"top_k": 0, "top_p": 0.7}, [1, 3, 4]),
        ({"top_k": 0, "temperature": 0.5}, [0, 1, 2, 3, 4]),
    ],
)
def test_entropies_of_known_distributions(settings: dict, kept: list[int]) -> None:
    whole = P ** (1 / settings.get("temperature", 1.0))
    expected = torch.stack([entropy(whole[kept] / whole[kept].sum()), entropy(whole / whole.sum())])
    assert_close(entropies(P.log()[None] + 3.0, ARSampler(**settings))[0], expected)
    assert entropies(P.log()[None], ARSampler(temperature=0)).abs().max() == 0


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_what_is_watched_is_what_is_drawn_from(guidance: float) -> None:
    model, conditions, frames, settings = make("ar"), some_conditions([4, 2]), 6, {"top_k": 3, "temperature": 1.3}
    assert isinstance(model, AR)
    unwatched = sample(model, conditions, frames, [1, 2], guidance=guidance, **settings)
    model.entropies = []
    codes = sample(model, conditions, frames, [1, 2], guidance=guidance, **settings)
    assert torch.equal(codes, unwatched)
    (watched_BT2,) = model.entropies

    delayed = delay(codes, 11)[..., :frames]  # column t decides frame t's first code
    free, asked = (model.logits(delayed, model.read_text(c))[:, :, 0] for c in (conditions.null(), conditions))
    whole = torch.softmax((free + guidance * (asked - free)) / 1.3, dim=-1)
    top = whole.topk(3, dim=-1).values
    expected = torch.stack([entropy(top / top.sum(-1, keepdim=True)), entropy(whole)], dim=-1)
    assert_close(watched_BT2, expected, rtol=0, atol=1e-4)
    assert watched_BT2.std() > 0.01


def test_steps_are_averaged_early_and_late() -> None:
    entropy_BT2 = np.zeros((3, 80, 2))
    entropy_BT2[:, :50, 0], entropy_BT2[:, 50:, 0], entropy_BT2[..., 1] = 1.0, 2.0, 4.0
    entropy_BT2[0, 0, 1] = 7.0
    scores = per_clip(entropy_BT2)
    assert scores["entropy_early"].tolist() == [1.0] * 3
    assert scores["entropy_late"].tolist() == [2.0] * 3
    assert scores["entropy_early_whole"][0] == pytest.approx(4 + 3 / 50)
    assert np.isnan(per_clip(entropy_BT2[:, :50])["entropy_late"]).all()
    rows = list(csv.DictReader(io.StringIO(curve_csv(entropy_BT2))))
    assert [row["step"] for row in rows] == [str(i) for i in range(1, 81)]
    assert float(rows[0]["whole"]) == pytest.approx(5.0)
    half = 4.30265  # of 7, 4 and 4: the standard error is 1, times t at 97.5% with 2 degrees of freedom
    assert float(rows[0]["whole_low"]) == pytest.approx(5.0 - half, rel=1e-4)
    assert float(rows[0]["whole_high"]) == pytest.approx(5.0 + half, rel=1e-4)
    assert rows[60]["sampled"] == rows[60]["sampled_low"] == "2"
