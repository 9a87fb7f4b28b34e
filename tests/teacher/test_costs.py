"""Costs on hand-worked numbers."""

import pytest

from toolmaster.limits import Tokens
from toolmaster.teacher.costs import VERDICT, Estimate, rollout_tokens, total_cost


def test_costs():
    used = Tokens(2_000_000, 500_000)
    assert total_cost((used, (0.25, 1.1))) == pytest.approx(0.5 + 0.55)
    assert total_cost((used, (0.25, 1.1)), (used, (1.0, 2.0))) == pytest.approx(1.05 + 3.0)
    assert total_cost((used, (0.25, 1.1)), (used, None)) is None
    assert total_cost((used, (0.25, 1.1)), (Tokens(), None)) == pytest.approx(1.05)
    assert total_cost((used, None)) is None


def test_tokens_of_a_rollout():
    # 8 turns read 1000 each, and what grew before them: 200 * (0 + 1 + ... + 7) = 5600.
    assert rollout_tokens([3000, 5000]) == Tokens(8 * 1000 + 5600, 8 * 120)


def test_an_estimate():
    each, prices = Tokens(10_000, 1_000), (2.0, 10.0)
    assert Estimate(100, 0, each, prices, None).cost == pytest.approx(2.0 + 1.0)
    assert Tokens(500 + 8 * 200, 80) == VERDICT
    judged = Estimate(100, 100, each, prices, (1.0, 1.0))
    assert judged.cost == pytest.approx(3.0 + 0.21 + 0.008)
    assert Estimate(100, 1, each, prices, None).cost is None
    assert str(judged) == (
        "100 rollouts and 100 verdicts: about 1,210,000 tokens read and 108,000 written"
        " (8 turns each); cost: about 3.22"
    )
    assert str(Estimate(3, 0, each, None, None)).startswith("3 rollouts: about 30,000 tokens read")
    assert str(Estimate(3, 0, each, None, None)).endswith("cost: no prices given")
