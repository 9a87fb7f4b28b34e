"""The judge: what it reads, verdicts asked for once, and a judge that fails."""

import asyncio
import json

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.errors import ConfigError, PolicyError
from toolmaster.tasksets.pass_rate import judge as ask_judge
from toolmaster.tasksets.pass_rate import open_judge
from toolmaster.types import ActionKind, Message, Phase, Step, ToolCall, Trajectory


def opinion(verdict="solved", grounded=True, reason="It says so."):
    return json.dumps({"reason": reason, "verdict": verdict, "grounded": grounded})


def trajectory(answer="Rain.", task_id="t/1", observation="rain " * 1000):
    call = ToolCall(name="weather", arguments={"town": "Ashby"})
    step = Step(
        text="", phase=Phase.EXECUTION, action=ActionKind.CALL, call=call, observation=observation
    )
    prompt = [Message(role="system", content="s"), Message(role="user", content="Weather?")]
    made = {"protocol": "direct", "policy": "p", "tools": [], "steps": [step]}
    return Trajectory(task_id=task_id, prompt=prompt, answer=answer, **made)


@pytest.fixture
def judge(monkeypatch):
    """A function: verdicts on trajectories by a judge at this address, failures in their place."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")

    def run(url, *trajectories, model="openai:m"):
        async def work():
            async with open_judge(model, url) as opened:
                asked = (ask_judge(opened, one) for one in trajectories)
                return await asyncio.gather(*asked, return_exceptions=True)

        return asyncio.run(work())

    return run


@pytest.mark.parametrize(("said", "score"), [("solved", 1), ("unsure", 0.5), ("unsolved", 0)])
def test_a_verdict_is_a_score_with_its_reason(judge, said, score):
    model = FakeModel(in_turn("ready", opinion(said, False)))
    with model.serve() as url:
        [verdict] = judge(url, trajectory())
    assert (verdict.score, verdict.grounded, verdict.reason) == (score, False, "It says so.")
    asked = json.loads(model.asked[1][1]["content"])
    assert (asked["query"], asked["answer"]) == ("Weather?", "Rain.")
    assert len(asked["calls"][0]["returned"]) == 1500


def test_what_was_judged_is_not_asked_for_again(judge):
    model = FakeModel(in_turn("ready", opinion()))
    with model.serve() as url:
        judge(url, trajectory(), trajectory(task_id="t/2"), trajectory(answer="Sun."))
    assert len(model.asked) == 1 + 2  # a look whether it answers, and two questions


def test_a_judge_that_dies_is_asked_no_more(judge):
    replies = [*[opinion() for _ in range(3)], "ready"]

    def dying(_messages):
        return replies.pop() if replies else (401, {"error": {"message": "out of credit"}})

    model = FakeModel(dying)
    with model.serve() as url:
        found = judge(url, *[trajectory(answer=f"Rain {n}.") for n in range(30)])
    failures = [item for item in found if isinstance(item, PolicyError)]
    assert len(failures) == 27
    assert "out of credit" in str(failures[0])
    assert "\n" not in str(failures[0])
    assert len(model.asked) <= 1 + 3 + 8


def test_what_is_no_verdict_is_said(judge):
    with FakeModel(in_turn("ready", "It is fine.")).serve() as url:
        [failure] = judge(url, trajectory())
    assert isinstance(failure, PolicyError)
    assert str(failure).startswith("the judge wrote no valid answer: Input should be an object")


def test_a_judge_that_is_not_there_is_said_before_anything_is_judged(judge):
    with pytest.raises(PolicyError, match=r"the judge 'm' at http://127\.0\.0\.1:9/v1: "):
        judge("http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match=r"a judge is a model of .* received 'm'"):
        judge("http://127.0.0.1:9/v1", model="m")
