"""The judge: verdicts kept and never asked twice, faults that cost nothing else."""

import asyncio
import json

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.benchmarks.judge import PROMPT, Judge
from toolmaster.errors import InputError
from toolmaster.json_endpoint import JsonEndpoint
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
def judge(tmp_path, monkeypatch):
    """A function: values of trajectories by a judge at this address, and its last words."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")

    def run(url, *trajectories, votes=1, model="m"):
        async def work():
            async with JsonEndpoint("judge", model, url, retries=0) as endpoint:
                asked = Judge(endpoint, tmp_path / "verdicts.jsonl", votes)
                values = await asyncio.gather(*map(asked.values, trajectories))
                return values, asked.report(), asked.facts

        return asyncio.run(work())

    return run


@pytest.mark.parametrize(
    ("verdict", "grounded", "rate", "strict"),
    [
        ("solved", True, 1.0, 1.0),
        ("solved", False, 1.0, 0.0),
        ("unsure", True, 0.5, 0.0),
        ("unsolved", True, 0.0, 0.0),
    ],
)
def test_verdicts_become_figures(judge, verdict, grounded, rate, strict):
    model = FakeModel(in_turn(opinion(verdict, grounded)))
    with model.serve() as url:
        [[values], words, facts] = judge(url, trajectory())
    assert (values["pass_rate"], values["pass_rate_strict"], values["judged"]) == (rate, strict, 1)
    assert (values["verdict"], values["reason"]) == (verdict, "It says so.")
    assert values["judge"] == f"m (answered by m-2024-05-13), prompt {PROMPT}"
    assert facts == {"judge": "m", "judge prompt": PROMPT, "judge answered by": "m-2024-05-13"}
    assert words is None
    [[_, question]] = model.asked
    asked = json.loads(question["content"])
    assert (asked["query"], asked["answer"]) == ("Weather?", "Rain.")
    assert len(asked["calls"][0]["returned"]) == 1500


def test_no_answer_is_not_solved_and_asks_nobody(judge):
    [[values], _, _] = judge("http://127.0.0.1:9/v1", trajectory(answer=None))
    assert (values["pass_rate"], values["judged"]) == (0.0, 1.0)


def test_votes_are_averaged(judge):
    model = FakeModel(in_turn(opinion(), opinion("unsolved"), opinion("unsure")))
    with model.serve() as url:
        [[values], _, _] = judge(url, trajectory(), votes=3)
    assert values["pass_rate"] == pytest.approx(0.5)
    assert values["pass_rate_strict"] == 0.0
    assert values["verdict"] == "solved, unsolved, unsure"


def test_a_verdict_is_never_asked_for_twice(judge, tmp_path):
    model = FakeModel(in_turn(opinion()))
    with model.serve() as url:
        judge(url, trajectory(), trajectory(task_id="t/2", answer="Sun."))
        assert len(model.asked) == 2
        judge(url, trajectory(), trajectory(task_id="t/2", answer="Sun."))
        assert len(model.asked) == 2
        judge(url, trajectory(answer="Snow."))  # another answer is another question
        judge(url, trajectory(), model="other")
        assert len(model.asked) == 4
    lines = (tmp_path / "verdicts.jsonl").read_text().splitlines()
    assert {json.loads(line)["answered_by"] for line in lines} == {"m-2024-05-13"}
    assert len(lines) == 4


def test_a_judge_that_dies_loses_nothing(judge, tmp_path):
    many = [trajectory(task_id=f"t/{n}", answer=f"Rain {n}.") for n in range(12)]
    replies = [opinion() for _ in range(3)]

    def dying(_messages):
        return replies.pop() if replies else (503, {"error": {"message": "out of memory"}})

    model = FakeModel(dying)
    with model.serve() as url:
        values, words, _ = judge(url, *many)
    judged = [value for value in values if value["judged"]]
    assert len(judged) == 3
    assert "pass_rate" not in next(value for value in values if not value["judged"])
    assert "9 trajectories are not judged" in words
    assert "out of memory" in words
    assert "\n" not in words
    assert len(model.asked) <= 3 + 8  # what is dead is not asked for every trajectory
    assert len((tmp_path / "verdicts.jsonl").read_text().splitlines()) == 3

    alive = FakeModel(in_turn(opinion("unsolved")))
    with alive.serve() as url:
        values, words, _ = judge(url, *many)
    assert words is None
    assert len(alive.asked) == 9
    assert [value["pass_rate"] for value in values].count(1.0) == 3


def test_malformed_verdicts_are_left_out_and_the_rest_goes_on(judge):
    def reply(messages):
        asked = json.loads(messages[1]["content"])
        return "It is fine." if asked["answer"] == "Fine." else opinion()

    with FakeModel(reply).serve() as url:
        values, words, _ = judge(url, trajectory(answer="Fine."), trajectory())
    assert [value["judged"] for value in values] == [0.0, 1.0]
    assert values[0]["reason"].startswith("not judged: malformed verdict: there is no JSON object")
    assert words.startswith("1 trajectories are not judged (malformed verdicts of 'm')")


def test_a_damaged_file_is_named(judge, tmp_path):
    (tmp_path / "verdicts.jsonl").write_text('{"task_id": "t"}\n')
    with pytest.raises(InputError, match=r"verdicts.jsonl, line 1: rollout: Field required"):
        judge("http://127.0.0.1:9/v1")
