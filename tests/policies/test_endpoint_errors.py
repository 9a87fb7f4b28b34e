"""What goes wrong at endpoints: one rollout's outcome, the others', and how often it was asked."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from endpoint_server import Hang, HangUp, Status, completion, refuse

from toolmaster.errors import PermanentPolicyError
from toolmaster.limits import Limits
from toolmaster.policies.base import Sampling
from toolmaster.policies.endpoint_errors import MAX_RETRY_AFTER_S, _retry_after_s
from toolmaster.policies.openai import OpenAIPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, groups, run_rollout, run_rollouts
from toolmaster.types import StopReason

KEY = "sk-very-secret-0123456789"
ANSWER = "<think>t</think><answer>4</answer>"
LIMITED = refuse(429, "slow down", retry_after="0.001")
BROKEN = refuse(500, "out of order")


@pytest.fixture
def task(world, task_ids):
    return world.draw(task_ids("train", 1, "silent")[0]).task


def run(base_url, requests, *, concurrency=1, on_finish=None, **limits):
    limits = {"retries": 0, "backoff_s": 0.001, "tool_calls": "text", **limits}

    async def go():
        policy = OpenAIPolicy("m", Sampling(), base_url=base_url, **limits)
        try:
            return await run_rollouts(
                requests, policy, Protocol.DIRECT, Limits(),
                concurrency=concurrency, on_finish=on_finish,
            )  # fmt: skip
        finally:
            await policy.close()

    return asyncio.run(go())


@pytest.mark.parametrize("fault", [
    LIMITED,
    refuse(429, "slow down", retry_after="0"),
    refuse(429, "slow down", retry_after="Thu, 01 Jan 2015 00:00:00 GMT"),
    refuse(429, "slow down"),
    refuse(503, "loading", retry_after="0"),
    BROKEN,
    refuse(502, "bad gateway"),
    Status(504, "<html>gateway timeout</html>"),
    HangUp(),
    {"error": {"message": "worker died"}},
    {"choices": []},
    {"choices": ["no object"]},
    {"choices": {"0": {}}},
    completion(5),
    completion(tool_calls=["no object"]),
    {**completion("4"), "usage": 7},
    ["no object"],
    Status(200, "<html>hello</html>"),
    Status(200, "{oops", {"content-type": "application/json"}),
])  # fmt: skip
def test_what_passes_is_tried_again(serve, task, fault):
    server = serve(fault, ANSWER)
    [got] = run(server.url, [RolloutRequest(task)], retries=1)
    assert (got.error, got.answer, len(server.requests)) == (None, "4", 2)


def test_no_answer_in_time_is_tried_again(serve, task):
    server = serve(Hang(), ANSWER)
    [got] = run(server.url, [RolloutRequest(task)], retries=1, timeout_s=0.2)
    assert (got.error, got.answer, len(server.requests)) == (None, "4", 2)


def test_what_stays_broken_is_recorded_and_the_others_go_on(serve, task):
    server = serve(BROKEN, ANSWER, HangUp(), ANSWER)
    got = run(server.url, groups([task], 4))
    assert [t.answer for t in got] == [None, "4", None, "4"]
    assert [t.stop_reason is StopReason.POLICY_ERROR for t in got] == [True, False, True, False]
    assert got[0].error == f"model 'm' at {server.url}: 500 out of order"
    assert got[2].error.startswith(f"model 'm' at {server.url}: ServerDisconnectedError: ")


def test_retries_are_counted(serve, task):
    server = serve(BROKEN, BROKEN, BROKEN, ANSWER)
    [got] = run(server.url, [RolloutRequest(task)], retries=2)
    assert got.stop_reason is StopReason.POLICY_ERROR
    assert len(server.requests) == 3


def test_being_limited_does_not_use_up_the_retries(serve, task):
    server = serve(*[LIMITED] * 5, ANSWER)
    [got] = run(server.url, [RolloutRequest(task)], retries=1)
    assert (got.answer, len(server.requests)) == ("4", 6)


@pytest.mark.parametrize("asked", [{"retry_after": "0"}, {}])
def test_an_endpoint_that_asks_for_no_pause_is_not_hammered(serve, task, asked):
    """Pauses of at least 75% of 0.1, 0.2, 0.4 and 0.8 s: the fifth request is the last."""
    server = serve(lambda body: refuse(429, "slow down", **asked))
    [got] = run(server.url, [RolloutRequest(task)], retries=1, backoff_s=0.1, timeout_s=1.0)
    assert "429 slow down" in got.error
    assert len(server.requests) <= 5


def test_an_endpoint_at_its_limit_is_not_hammered(serve, task):
    """Two at a time are let through; forty rollouts find that out together."""
    left = iter([True] * 8)  # the first eight requests are too many

    def reply(body):
        return refuse(429, "slow down", retry_after_ms="30") if next(left, False) else ANSWER

    server = serve(reply)
    got = run(server.url, groups([task], 40), concurrency=8, retries=1)
    assert [t.answer for t in got] == ["4"] * 40
    assert len(server.requests) == 48


@pytest.mark.parametrize("reply", [
    refuse(400, "This model's maximum context length is 4096 tokens.", "context_length_exceeded"),
    refuse(400, "The decoder prompt (length 5000) is longer than the maximum model length of 9"),
    refuse(400, "the request exceeds the available context size (4096 tokens)",
           "exceed_context_size_error"),
    refuse(400, "the input length exceeds the context length"),
    refuse(400, "prompt is too long: 210000 tokens > 200000 maximum"),
    Status(400, {"error": "Input length (9) exceeds the maximum allowed length (8 tokens)."}),
])  # fmt: skip
def test_a_context_that_is_too_long(serve, task, reply):
    server = serve("<think>no block</think>", reply)
    [got] = run(server.url, [RolloutRequest(task)], retries=3)
    assert (got.stop_reason, got.error) == (StopReason.MAX_TOKENS, None)
    assert (len(got.steps), len(server.requests)) == (1, 2)


@pytest.mark.parametrize(("reply", "said"), [
    (refuse(401, "wrong key"), "401 wrong key; check OPENAI_API_KEY"),
    (refuse(401, f"wrong key {KEY}"), "401 wrong key [key]; check OPENAI_API_KEY"),
    (refuse(403, "no access"), "403 no access; the key may not use this model"),
    (refuse(402, "pay first"), "402 pay first; the account has no credit left"),
    (refuse(429, "You exceeded your current quota", "insufficient_quota"),
     "429 You exceeded your current quota; the account has no credit left"),
    (refuse(404, "The model `m` does not exist", "model_not_found"),
     "404 The model `m` does not exist; check the model's name and --base-url (base_url)"),
    (Status(404, "<html>\nnot here</html>"),
     "404 <html> not here</html>; check the model's name and --base-url (base_url)"),
    (refuse(400, "no such model", "model_not_found"),
     "400 no such model; check the model's name and --base-url (base_url)"),
])  # fmt: skip
def test_what_cannot_be_mended_stops_early(serve, task, reply, said):
    server = serve(ANSWER, ANSWER, *[reply] * 8)
    finished = []
    with pytest.raises(PermanentPolicyError) as raised:
        run(server.url, groups([task], 1000), on_finish=finished.append, retries=3)
    assert str(raised.value) == f"model 'm' at {server.url}: {said}"
    assert [t.answer for t in finished if t.error is None] == ["4", "4"]
    assert len(server.requests) == 3
    assert all(KEY not in t.model_dump_json() for t in finished)


def test_a_server_that_is_not_there(serve, task, capsys):
    server = serve()
    server.server_close()
    with pytest.raises(PermanentPolicyError) as raised:
        run(server.url, groups([task], 1000), concurrency=4, retries=1)
    told = capsys.readouterr().err
    assert told.startswith(f"model 'm' at {server.url}: it cannot be reached: ")
    assert told.endswith("; it is tried again, up to 1 times\n")
    assert told.count("\n") == 1
    assert "it cannot be reached: " in str(raised.value)
    assert str(raised.value).endswith("check --base-url (base_url) and that the server runs")


def test_a_server_that_goes_away_is_no_reason_to_stop(serve, task):
    server = serve(ANSWER)

    def stop(trajectory):
        if trajectory.answer:
            server.shutdown()
            server.server_close()

    got = run(server.url, groups([task], 3), on_finish=stop)
    assert got[0].answer == "4"
    assert [t.stop_reason for t in got[1:]] == [StopReason.POLICY_ERROR] * 2


def test_one_rollout_alone_keeps_its_trajectory(serve, task):
    server = serve(refuse(401, "wrong key"))

    async def go():
        policy = OpenAIPolicy("m", Sampling(), base_url=server.url, tool_calls="text")
        try:
            return await run_rollout(RolloutRequest(task), policy, Protocol.DIRECT, Limits())
        finally:
            await policy.close()

    got = asyncio.run(go())
    assert got.stop_reason is StopReason.POLICY_ERROR
    assert got.error.endswith("401 wrong key; check OPENAI_API_KEY")


def test_an_address_may_hide_a_password(serve, task):
    server = serve(refuse(500, "out of order, hunter2 and hunter3"))
    secret = server.url.replace("http://", "http://me:hunter2@") + "?token=hunter3"
    [got] = run(secret, [RolloutRequest(task)])
    assert "500 out of order, [password] and [token]" in got.error
    assert "hunter" not in got.error


@pytest.mark.parametrize("reply", [
    refuse(400, "temperature must be at most 2"),
    refuse(400, "The response was filtered", "content_filter"),
    completion(finish="content_filter"),
])  # fmt: skip
def test_a_refused_request_breaks_one_rollout(serve, task, reply):
    server = serve(reply, ANSWER)
    got = run(server.url, groups([task], 2), retries=3)
    assert got[0].stop_reason is StopReason.POLICY_ERROR
    assert (got[1].answer, len(server.requests)) == ("4", 2)


def test_a_model_that_refuses_has_said_so(serve, task):
    server = serve(completion(refusal="I will not."), ANSWER)
    [got] = run(server.url, [RolloutRequest(task)])
    assert [step.text for step in got.steps] == ["I will not.", ANSWER]


def test_a_pause_is_told_in_seconds_or_as_a_date():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    told = [_retry_after_s({"retry-after": text}) for text in ("7", "9999", "-1", soon, "soon", "")]
    assert told[:3] == [7.0, MAX_RETRY_AFTER_S, 0.0]
    assert 20 < told[3] <= 30
    assert told[4:] == [None, None]
