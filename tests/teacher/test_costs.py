"""Costs on hand-worked numbers, and what is kept of every paid answer."""

import pytest

from toolmaster.errors import InputError
from toolmaster.teacher.costs import VERDICT, Estimate, cost_of, rollout_tokens
from toolmaster.teacher.paid import Answer, Paid, Tokens, key_of


def test_costs():
    used = Tokens(2_000_000, 500_000)
    assert cost_of((used, (0.25, 1.1))) == pytest.approx(0.5 + 0.55)
    assert cost_of((used, (0.25, 1.1)), (used, (1.0, 2.0))) == pytest.approx(1.05 + 3.0)
    assert cost_of((used, (0.25, 1.1)), (used, None)) is None
    assert cost_of((used, (0.25, 1.1)), (Tokens(), None)) == pytest.approx(1.05)


def test_tokens_of_a_rollout():
    # 8 turns read 1000 each, and what grew before them: 200 * (0 + 1 + ... + 7) = 5600.
    assert rollout_tokens([3000, 5000]) == (8 * 1000 + 5600, 8 * 120)


def test_an_estimate():
    each = Tokens(10_000, 1_000)
    assert Estimate(100, each, (2.0, 10.0)).cost == pytest.approx(2.0 + 1.0)
    judged = Estimate(100, each, (2.0, 10.0), verdicts=100, judge_prices=(1.0, 1.0))
    assert VERDICT == (500 + 8 * 200, 80)
    assert judged.judge == (210_000, 8_000)
    assert judged.cost == pytest.approx(3.0 + 0.218)
    assert Estimate(100, each, (2.0, 10.0), verdicts=1).cost is None
    assert str(judged).startswith("100 rollouts and 100 verdicts: about 1,210,000 tokens read and")
    text = str(Estimate(3, each, None, measured=2))
    assert text == (
        "3 rollouts: about 30,000 tokens read and 3,000 written (as the 2 finished ones);"
        " cost: no prices given"
    )


def test_answers_are_kept_and_found(tmp_path):
    file = tmp_path / "paid.jsonl"
    paid = Paid(file)
    paid.add(Answer(role="teacher", text="a", prompt_tokens=10, tokens=2, key=key_of("x", [1])))
    paid.add(Answer(role="judge", text="b", prompt_tokens=5, tokens=1))
    with file.open("a") as half:
        half.write('{"role": "teach')  # as a kill leaves it
    again = Paid(file)
    assert again.find(key_of("x", [1])).text == "a"
    assert again.find(key_of("x", [2])) is None
    assert again.find("") is None
    assert again.spent("teacher") == (10, 2)
    assert again.spent("teacher", "judge", "proposer") == (15, 3)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "paid.jsonl").write_text('{"role": "teacher"}\n')
    with pytest.raises(InputError, match=r"paid.jsonl, line 1: text: Field required"):
        Paid(tmp_path / "paid.jsonl")
