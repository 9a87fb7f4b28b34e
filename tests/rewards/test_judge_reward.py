"""The judge as a reward: asked once for the same content, within bounds, None when it fails."""

import asyncio
import json

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.errors import ConfigError, PolicyError
from toolmaster.rewards.judge import INSTRUCTIONS, judge
from toolmaster.runs import read_lines
from toolmaster.types import ActionKind, Phase, Score, Step, ToolCall, Trajectory

PRICES = (1e6, 1e6)
"""One unit of money for each token."""


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "JUDGE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def trajectory(answer="46", rollout=0, expected=""):
    call = ToolCall(name="price", arguments={"item": "kettle"})
    step = Step(
        text="<think>t</think><tool_call>{}</tool_call>",
        phase=Phase.EXECUTION,
        action=ActionKind.CALL,
        call=call,
        observation="46 " * 1000,
    )
    score = Score.of(False, expected) if expected else None
    return Trajectory(
        task_id="t",
        protocol="direct",
        policy="p",
        prompt=[{"role": "user", "content": "What does a kettle cost?"}],
        tools=[],
        steps=[step],
        answer=answer,
        score=score,
        rollout=rollout,
    )


def verdict(solved):
    return json.dumps({"reason": "because", "solved": solved})


def by_answer(messages):
    """Judges by the answer that it reads."""
    return verdict(json.loads(messages[-1]["content"])["answer"] == "46")


def rewards(reward, *trajectories):
    async def work():
        return await asyncio.gather(*map(reward, trajectories))

    return asyncio.run(work())


def test_solved_is_one_and_unsolved_is_zero():
    model = FakeModel(by_answer)
    with model.serve() as url:
        reward = judge("openai:m", base_url=url)
        assert rewards(reward, trajectory("46"), trajectory("47")) == [1.0, 0.0]
    assert reward.fault is None
    system, user = model.asked[0]
    assert system["content"] == INSTRUCTIONS
    read = json.loads(user["content"])
    assert read["query"] == "What does a kettle cost?"
    [call] = read["calls"]
    assert (call["tool"], call["arguments"]) == ("price", {"item": "kettle"})
    assert call["returned"] == "46 " * 500
    assert "expected" not in read


def test_what_was_expected_is_told():
    model = FakeModel(by_answer)
    with model.serve() as url:
        rewards(judge("openai:m", base_url=url), trajectory(expected="the answer '46'"))
    assert json.loads(model.asked[0][-1]["content"])["expected"] == "the answer '46'"


def test_alike_rollouts_are_judged_once():
    model = FakeModel(by_answer)
    with model.serve() as url:
        reward = judge("openai:m", base_url=url)
        alike = [trajectory(rollout=index) for index in range(20)]
        assert rewards(reward, *alike, trajectory("47")) == [1.0] * 20 + [0.0]
        assert rewards(reward, *alike) == [1.0] * 20  # in another event loop, too
    assert len(model.asked) == 2


def test_a_rollout_without_an_answer_is_not_solved_and_not_asked_about():
    model = FakeModel(by_answer)
    with model.serve() as url:
        assert rewards(judge("openai:m", base_url=url), trajectory(answer=None)) == [0.0]
    assert model.asked == []


def test_verdicts_are_kept_in_a_file(tmp_path):
    file = tmp_path / "responses.jsonl"
    model = FakeModel(by_answer)
    with model.serve() as url:
        rewards(judge("openai:m", base_url=url, file=file), trajectory())
        assert rewards(judge("openai:m", base_url=url, file=file), trajectory()) == [1.0]
    assert len(model.asked) == 1
    [line] = read_lines(file)
    assert json.loads(line["text"]) == {"reason": "because", "solved": True}
    assert (line["about"], line["model"]) == ("t/0", model.version)


@pytest.mark.parametrize("reply", ["no JSON", (400, {"error": {"message": "no such thing"}})])
def test_a_failed_verdict_is_none(reply):
    with FakeModel(in_turn(reply)).serve() as url:
        reward = judge("openai:m", base_url=url)
        assert rewards(reward, trajectory()) == [None]
    assert "wrote no valid answer" in reward.fault or "no such thing" in reward.fault


def test_money_is_counted_and_bounded():
    model = FakeModel(lambda _messages: verdict(solved=True))
    with model.serve() as url:
        once = judge("openai:m", base_url=url, prices=PRICES)
        rewards(once, trajectory("0"))
        one = once.numbers()["judge_cost"]
        assert one == sum(once.numbers().values()) / 2 > 0  # tokens read and written
        reward = judge("openai:m", base_url=url, prices=PRICES, max_cost=one)
        model.asked.clear()
        many = [trajectory(str(index)) for index in range(40)]
        got = rewards(reward, *many)
        in_flight = 8
        assert 1 <= got.count(1.0) == len(model.asked) <= in_flight
        assert got.count(None) == 40 - got.count(1.0)
        assert rewards(reward, many[got.index(1.0)]) == [1.0]  # what is known costs nothing
    assert "asked nothing more: the budget of cost" in reward.fault


def test_who_can_judge():
    with pytest.raises(ConfigError, match="openai:NAME; received 'runs/sft/model'"):
        judge("runs/sft/model")
    with pytest.raises(ConfigError, match="max_cost is given without prices"):
        judge("openai:m", base_url="http://localhost:1/v1", max_cost=1.0)
    with pytest.raises(PolicyError, match="no key for the judge 'm'"):
        judge("openai:m")


def test_it_is_asked_before_anything_expensive():
    with FakeModel(in_turn((401, {"error": {"message": "wrong key"}}))).serve() as url:
        reward = judge("openai:m", base_url=url)
        with pytest.raises(PolicyError, match="wrong key"):
            asyncio.run(reward.check())
