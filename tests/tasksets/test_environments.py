"""Somebody else's environment becomes a task set with a short file, `examples/environment.py`."""

import asyncio
from pathlib import Path

import pytest

from toolmaster.evaluation.evaluate import collect
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.replay import Replay, call_turn, replay_policy, turns
from toolmaster.types import ErrorKind, ToolCall

EXAMPLE = Path(__file__).parents[2] / "examples" / "environment.py"
BALANCE = {"name": "get_balance", "arguments": {}}


def send(recipient="Ada", amount=80.0):
    return {"name": "send_money", "arguments": {"recipient": recipient, "amount": amount}}


KNOWN = {
    "bank/balance": Replay(calls=[BALANCE], answer="120 euros"),
    "bank/rent": Replay(calls=[send()], answer="done"),
}


@pytest.fixture(scope="module")
def bank():
    """The example's task set, opened with one line."""
    return taskset(f"{EXAMPLE}:tasks")


def run(tasks, replays, file=None, protocol=Protocol.DIRECT):
    """Collect two rollouts of each of these replays."""

    def request(task, rollout):
        return RolloutRequest(task, rollout, policy=replay_policy(replays[task.id], protocol))

    nobody = ScriptedPolicy((), "replay")
    work = collect(
        tasks, nobody, protocol, Limits(), file, rollouts=2, concurrency=3, request=request
    )
    return asyncio.run(work)


@pytest.mark.parametrize("protocol", [Protocol.DIRECT, Protocol.TRIAL])
def test_known_good_calls_are_right_and_others_wrong(bank, protocol):
    assert bank["bank/rent"].isolation() is Isolation.FRESH
    assert all(trajectory.success for trajectory in run(bank, KNOWN, protocol=protocol))
    others = {
        "bank/balance": Replay(calls=[BALANCE], answer="much"),
        "bank/rent": Replay(calls=[send("Ben")], answer="done"),
    }
    assert not any(trajectory.success for trajectory in run(bank, others, protocol=protocol))


def test_a_trial_works_on_a_copy(bank):
    call, answer = turns(KNOWN["bank/rent"], Protocol.DIRECT)
    look = call_turn(ToolCall(**BALANCE))
    script = [call, look, "<experience>it sends</experience>", call, answer]
    work = collect(bank[1:], ScriptedPolicy(script), Protocol.TRIAL, Limits(), None, concurrency=1)
    [tried] = asyncio.run(work)
    assert [step.observation for step in tried.calls()] == ["sent", "40.0", "sent"]
    assert tried.success


def test_what_its_functions_refuse(bank):
    calls = [send(amount="much"), {"name": "get_balance", "arguments": {"of": "Ada"}}, BALANCE]
    [_, _, trajectory, _] = run(bank, {**KNOWN, "bank/rent": Replay(calls=calls, answer="done")})
    assert [step.error for step in trajectory.calls()] == [ErrorKind.INVALID_ARGUMENTS, None, None]
    assert trajectory.calls()[2].observation == "120.0"
