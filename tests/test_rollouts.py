"""The rollout engine: order, concurrency, and failures that are recorded."""

import asyncio
import errno
import gc

import pytest

from toolmaster.errors import (
    ConfigError,
    InputError,
    PermanentPolicyError,
    PolicyError,
)
from toolmaster.limits import Limits
from toolmaster.policies.base import Completion, ContextFullError
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import (
    START_TOGETHER,
    RolloutRequest,
    groups,
    run_rollout,
    run_rollouts,
    side_by_side,
)
from toolmaster.runs import append_trajectory
from toolmaster.tasksets import FollowUp, Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import Score, StopReason

DIRECT = Protocol.DIRECT
CALL = '<think>t</think><tool_call>{"name": "get", "arguments": {}}</tool_call>'
ANSWER = "<think>t</think><answer>4</answer>"


def make_tools():
    return ToolSet((Tool("get", "", {"type": "object"}, lambda s, a: "4"),))


def check(trajectory, _tools):
    answer = trajectory.answer
    return Score.of(answer == "4", answer=answer == "4", state=True)


def task(name="t", **fields):
    return Task(**({"id": name, "query": f"do {name}", "tools": make_tools} | fields))


def run(requests, policy, **options):
    return asyncio.run(run_rollouts(requests, policy, DIRECT, Limits(max_turns=3), **options))


class Talking:
    """A policy with tokens: turn i is one token, i; an observation is two."""

    name = "talking@3"
    prompt_ids = (7, 8)
    prompt_tokens = 2

    def __init__(self, turns, before_turn=lambda: asyncio.sleep(0)):
        self.turns = list(turns)
        self.before_turn = before_turn
        self.seen = []
        self.given = 0

    def conversation(self, prompt, tools):
        policy = type(self)(self.turns, self.before_turn)
        policy.prompt_ids, policy.seen = [7, 8], self.seen
        return policy

    async def complete(self):
        await self.before_turn()
        if self.given == len(self.turns):
            raise ContextFullError
        self.given += 1
        return Completion(self.turns[self.given - 1], [self.given], 1)

    def observe(self, observation, role="tool"):
        self.seen.append(observation)
        return [90, 91]


def test_one_rollout():
    policy = Talking([CALL, ANSWER])
    request = RolloutRequest(task(check=check, labels={"split": "seen"}), 5)
    got = asyncio.run(run_rollout(request, policy, DIRECT, Limits()))
    assert (got.task_id, got.protocol, got.policy, got.rollout) == ("t", "direct", "talking@3", 5)
    assert [message.role for message in got.messages()] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert got.tools == make_tools().schemas()
    assert (got.answer, got.stop_reason, got.success) == ("4", StopReason.ANSWERED, True)
    assert got.labels == {"split": "seen"}
    assert (got.prompt_ids, got.prompt_tokens, got.completion_tokens) == ([7, 8], 2, 2)
    assert got.completion()[:2] == ([1, 90, 91, 2], [1, 0, 0, 1])
    assert policy.seen == ["4"]
    assert got.format_ok
    assert got.error is None


def test_no_observation_is_given_once_it_is_over():
    policy = Talking([CALL] * 3)
    [got] = run([RolloutRequest(task())], policy)
    assert got.stop_reason is StopReason.MAX_TURNS
    assert policy.seen == ["4", "4"]
    assert got.steps[-1].observation == "4"
    assert got.completion()[:2] == ([1, 90, 91, 2, 90, 91, 3], [1, 0, 0, 1, 0, 0, 1])


def test_a_full_context_ends_the_trajectory():
    [got] = run([RolloutRequest(task(check=check))], Talking([CALL]))
    assert (got.stop_reason, got.error) == (StopReason.MAX_TOKENS, None)
    assert not got.success
    assert got.score is not None


def test_results_keep_the_order_of_the_requests():
    finished = []

    def script(prompt):
        return [CALL, ANSWER] if prompt[-1].content == "do t0" else [ANSWER]

    requests = [RolloutRequest(task(f"t{i}"), i) for i in range(5)]
    got = run(
        iter(requests), ScriptedPolicy(script), on_finish=lambda t: finished.append(t.rollout)
    )
    assert [t.task_id for t in got] == ["t0", "t1", "t2", "t3", "t4"]
    assert sorted(finished) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("concurrency", [1, 3, 9])
def test_concurrency(concurrency):
    now, most, taken = 0, 0, []

    async def before_turn():
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(3):
            await asyncio.sleep(0)
        now -= 1

    def requests():
        for i in range(9):
            taken.append(i)
            yield RolloutRequest(task(), i)

    got = run(requests(), Talking([ANSWER], before_turn), concurrency=concurrency)
    assert [t.rollout for t in got] == list(range(9))
    assert most == concurrency


def test_requests_are_consumed_lazily():
    taken, finished = [], []

    def requests():
        for i in range(4):
            taken.append(i)
            assert len(taken) - len(finished) == 1
            yield RolloutRequest(task(), i)

    run(requests(), ScriptedPolicy([ANSWER]), concurrency=1, on_finish=finished.append)
    assert len(finished) == 4


def test_no_requests():
    assert run([], ScriptedPolicy([ANSWER])) == []


def test_a_policy_error_is_recorded():
    [got] = run([RolloutRequest(task(check=check))], ScriptedPolicy([CALL], name="short"))
    assert (got.policy, got.stop_reason) == ("short", StopReason.POLICY_ERROR)
    assert got.error == "the script has no more turns, and the task is not over"
    assert len(got.steps) == 1
    assert got.score is None
    assert not got.success


def test_a_policy_that_cannot_begin():
    def script(prompt):
        raise PolicyError("no such endpoint")

    [got] = run([RolloutRequest(task())], ScriptedPolicy(script))
    assert (got.stop_reason, got.error) == (StopReason.POLICY_ERROR, "no such endpoint")
    assert got.prompt


def test_a_broken_session_is_recorded_and_the_others_go_on():
    def broken():
        raise OSError("no server")

    def bad_check(trajectory, tools):
        raise ZeroDivisionError("oops")

    tasks = [task("a"), task("b", tools=broken), task("c", check=bad_check), task("d")]
    finished = []
    requests = [RolloutRequest(t) for t in tasks]
    got = run(requests, ScriptedPolicy([ANSWER]), concurrency=2, on_finish=finished.append)
    assert [t.stop_reason for t in got] == [
        StopReason.ANSWERED,
        StopReason.SESSION_ERROR,
        StopReason.SESSION_ERROR,
        StopReason.ANSWERED,
    ]
    assert [t.error for t in got] == [None, "OSError: no server", "ZeroDivisionError: oops", None]
    assert len(finished) == 4


@pytest.mark.parametrize("concurrency", [0, -1])
def test_no_concurrency_is_refused(concurrency):
    with pytest.raises(ConfigError, match=f"concurrency must be at least 1, got {concurrency}"):
        run([RolloutRequest(task())], ScriptedPolicy([ANSWER]), concurrency=concurrency)


def test_a_full_disk_is_one_clear_message(tmp_path, monkeypatch):
    class Full:
        def open(self, *args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device")

        def __str__(self):
            return "trajectories.jsonl"

    requests = [RolloutRequest(task(f"t{i}")) for i in range(5)]
    with pytest.raises(InputError, match=r"cannot append to trajectories.jsonl: No space left"):
        run(
            requests,
            ScriptedPolicy([ANSWER]),
            concurrency=3,
            on_finish=lambda trajectory: append_trajectory(Full(), trajectory),
        )


def test_what_the_requests_raise_surfaces():
    def requests():
        yield RolloutRequest(task())
        raise InputError("no such task")

    with pytest.raises(InputError, match="no such task"):
        run(requests(), ScriptedPolicy([ANSWER]), concurrency=2)


def test_groups():
    one, two = task("a"), task("b")
    got = [(r.task.id, r.rollout) for r in groups([one, two], 2)]
    assert got == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_a_follow_up_is_a_user_message_and_costs_tokens():
    policy = Talking([ANSWER, CALL, ANSWER])
    [got] = run([RolloutRequest(task(check=check, follow_ups=(FollowUp("and now?"),)))], policy)
    assert got.success
    assert policy.seen == ["and now?", "4"]
    assert [m.role for m in got.messages()[2:]] == [
        "assistant",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert got.completion()[:2] == ([1, 90, 91, 2, 90, 91, 3], [1, 0, 0, 1, 0, 0, 1])


def test_a_request_may_bring_its_own_policy():
    requests = [RolloutRequest(task("a"), policy=ScriptedPolicy([ANSWER], "own"))]
    got = run([*requests, RolloutRequest(task("b"))], ScriptedPolicy([CALL, ANSWER]))
    assert [(t.policy, len(t.steps)) for t in got] == [("own", 1), ("scripted", 2)]


class Expired:
    """Answers twice, then never again."""

    name = "expired"
    prompt_ids = ()
    prompt_tokens = 0
    left = 2

    def conversation(self, prompt, tools):
        return self

    async def complete(self):
        self.left -= 1
        if self.left < 0:
            raise PermanentPolicyError("the key has expired")
        return Completion(ANSWER)


def test_a_permanent_error_stops_the_run_and_keeps_what_was_finished():
    finished = []
    policy = Expired()
    with pytest.raises(PermanentPolicyError, match="expired"):
        run(groups([task()], 1000), policy, concurrency=1, on_finish=finished.append)
    assert [t.answer for t in finished] == ["4", "4", None]
    assert (finished[2].error, finished[2].stop_reason) == (
        "the key has expired",
        StopReason.POLICY_ERROR,
    )
    assert policy.left == -1


def test_one_rollout_records_a_permanent_error():
    policy = Expired()
    policy.left = 0
    got = asyncio.run(run_rollout(RolloutRequest(task()), policy, DIRECT, Limits()))
    assert got.error == "the key has expired"


def test_the_garbage_collector_is_let_be():
    """Rollouts that overlap would leave its threshold changed for ever."""
    usual, during = gc.get_threshold(), []

    async def two():
        requests = [RolloutRequest(task(str(n))) for n in range(3)]
        policy = ScriptedPolicy([CALL, ANSWER])
        await asyncio.gather(
            *(
                run_rollouts(
                    requests[:n],
                    policy,
                    DIRECT,
                    Limits(),
                    on_finish=lambda _: during.append(gc.get_threshold()),
                )
                for n in (1, 3)
            )
        )

    asyncio.run(two())
    assert set(during) == {usual}
    assert gc.get_threshold() == usual


def test_rollouts_begin_a_few_at_a_time_so_that_they_do_not_stay_in_step():
    begun = 0
    seen = []

    async def work(_item):
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        seen.append(begun)

    asyncio.run(side_by_side(work, range(100), 100))

    assert begun == 100
    assert seen[0] <= 2 * START_TOGETHER
