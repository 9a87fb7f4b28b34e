"""Verdicts: the same question is paid for once, whoever asks it and when."""

import asyncio
import json
import threading

import pytest
from fake_endpoint import FakeModel, in_turn
from pydantic import BaseModel

from toolmaster.errors import PolicyError
from toolmaster.judges.json_endpoint import JsonEndpoint, MalformedReplyError
from toolmaster.judges.verdicts import Verdicts, Vote
from toolmaster.runs import read_lines
from toolmaster.types import Trajectory

GOOD = '{"good": true}'


class Opinion(BaseModel):
    good: bool


class Verdict(Vote, Opinion):
    pass


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "JUDGE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def trajectory(rollout):
    return Trajectory(
        task_id="t", protocol="direct", policy="p", prompt=[], tools=[], rollout=rollout
    )


def judged(model, file, use, retries=0):
    """What `use(get)` gives; `get(rollout, question)` is one question to the judge."""

    async def work(url):
        async with JsonEndpoint("judge", "m", url, retries=retries) as endpoint:
            verdicts = Verdicts(endpoint, file, "Judge.", Opinion, Verdict)

            def get(rollout, question, vote=0):
                return verdicts.get(trajectory(rollout), {"q": question}, vote)

            return await use(get)

    with model.serve() as url:
        return asyncio.run(work(url))


def together(*asked):
    return lambda get: asyncio.gather(*(get(*one) for one in asked), return_exceptions=True)


def test_the_same_question_at_once_is_asked_once(tmp_path):
    model, file = FakeModel(in_turn(GOOD)), tmp_path / "verdicts.jsonl"
    found = judged(model, file, together(*((n, "same") for n in range(6)), (6, "other")))
    assert [verdict.good for verdict in found] == [True] * 7
    assert (len(model.asked), len(read_lines(file))) == (2, 2)
    assert judged(model, file, together((9, "same")))[0] == found[0]
    assert len(model.asked) == 2


def test_votes_are_questions_of_their_own(tmp_path):
    model = FakeModel(in_turn(GOOD))
    judged(model, tmp_path / "v.jsonl", together((0, "same", 0), (0, "same", 1), (1, "same", 1)))
    assert len(model.asked) == 2


def test_a_question_that_got_no_form_is_not_paid_for_again(tmp_path):
    model = FakeModel(in_turn("no idea"))
    found = judged(model, tmp_path / "v.jsonl", together((0, "same"), (1, "same")))
    assert [type(error) for error in found] == [MalformedReplyError] * 2
    assert str(found[0]) == str(found[1])
    once = len(model.asked)
    judged(model, tmp_path / "v.jsonl", together((0, "same")))
    assert len(model.asked) == 2 * once


def test_a_judge_that_cannot_be_asked_is_asked_once(tmp_path):
    model = FakeModel(lambda _messages: (401, {"error": {"message": "wrong key"}}))
    found = judged(model, tmp_path / "v.jsonl", together((0, "same"), (1, "same")))
    assert all(isinstance(error, PolicyError) for error in found)
    assert len(model.asked) == 1


def test_who_waits_goes_on_where_who_asked_is_cancelled(tmp_path):
    asked, go_on = threading.Event(), threading.Event()

    def reply(messages):
        assert json.loads(messages[1]["content"]) == {"q": "same"}
        asked.set()
        go_on.wait(60)
        return GOOD

    async def use(get):
        first, second = (asyncio.create_task(get(n, "same")) for n in range(2))
        await asyncio.to_thread(asked.wait, 60)
        first.cancel()
        go_on.set()
        return await second

    assert judged(FakeModel(reply), tmp_path / "v.jsonl", use).good
