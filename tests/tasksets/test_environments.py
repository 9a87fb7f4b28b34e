"""Somebody else's environment becomes a task set with a short file of Python.

`their_parcels.py` has the shape of AgentDojo's suites: a state that is a pydantic model, functions
over parts of it with a runtime that calls them, and tasks with known-good calls and a `utility`
that compares the state before and after. It knows nothing of toolmaster. `mine.py` is the glue.
"""

import asyncio
import sys
import textwrap

import pytest

from toolmaster.evaluation.evaluate import collect
from toolmaster.limits import Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.replay import Replay, replay_policy, replays_of
from toolmaster.types import ErrorKind

THEIRS = '''
    from pydantic import BaseModel, Field


    class Parcel(BaseModel):
        address: str
        grams: int


    class Office(BaseModel):
        parcels: dict[str, Parcel]
        sent: list[str] = []


    class ParcelId(BaseModel):
        parcel: str = Field(description="Id of the parcel.")


    class NewAddress(ParcelId):
        address: str


    class Function:
        def __init__(self, run, parameters):
            self.name, self.description = run.__name__, run.__doc__
            self.run, self.parameters = run, parameters


    def weigh(office, parcel):
        """Weight of a parcel in grams."""
        return office.parcels[parcel].grams


    def readdress(office, parcel, address):
        """Change the address of a parcel."""
        office.parcels[parcel].address = address
        return office.parcels[parcel]


    def send(office, parcel):
        """Send a parcel."""
        office.sent.append(parcel)


    class Runtime:
        def __init__(self, functions):
            self.functions = {function.name: function for function in functions}

        def run_function(self, env, name, arguments):
            try:
                return self.functions[name].run(env, **arguments), None
            except Exception as error:
                return "", f"{type(error).__name__}: {error}"


    class UserTask:
        answer = ""

        def init_environment(self, office):
            return office


    class Weight(UserTask):
        ID, PROMPT, answer = "weight", "How heavy is p1?", "250 grams"

        def ground_truth(self, office):
            return [("weigh", {"parcel": "p1"})]

        def utility(self, output, before, after):
            return str(before.parcels["p1"].grams) in output and before == after


    class Move(UserTask):
        ID, PROMPT = "move", "Send p2 to 3 Mill Lane."

        def init_environment(self, office):
            office.parcels["p2"].address = "unknown"
            return office

        def ground_truth(self, office):
            return [("readdress", {"parcel": "p2", "address": "3 Mill Lane"}),
                    ("send", {"parcel": "p2"})]

        def utility(self, output, before, after):
            return after.parcels["p2"].address == "3 Mill Lane" and after.sent == ["p2"]


    class Suite:
        name = "parcels"
        tools = [
            Function(weigh, ParcelId), Function(readdress, NewAddress), Function(send, ParcelId)
        ]
        user_tasks = [Weight(), Move()]

        def load_environment(self):
            parcels = {"p1": {"address": "1 High Street", "grams": 250},
                       "p2": {"address": "2 Well Yard", "grams": 900}}
            return Office(parcels=parcels)


    def get_suite(version):
        return Suite()
'''
GLUE = '''
    """Their suite as a task set: `mine.py:tasks version=1`."""

    from their_parcels import Runtime, get_suite

    import toolmaster as tm


    def tool(function, runtime):
        def execute(office, arguments):
            result, error = runtime.run_function(office, function.name, arguments)
            if error:
                raise tm.ToolRefusal(error)
            return result

        schema = function.parameters.model_json_schema()
        return tm.Tool(function.name, function.description, schema, execute)


    def task(suite, user, tools):
        def environment():
            return user.init_environment(suite.load_environment())

        def check(trajectory, made):
            return user.utility(trajectory.answer or "", environment(), made.state)

        def make_tools():
            return tm.ToolSet(tools, environment(), lambda office: office.model_copy(deep=True))

        calls = [tm.ToolCall(name=n, arguments=a) for n, a in user.ground_truth(environment())]
        answer = user.answer or None
        return tm.Task(f"{suite.name}/{user.ID}", user.PROMPT, make_tools, answer, check, [calls])


    def tasks(version: str = "1"):
        suite = get_suite(version)
        tools = tuple(tool(function, Runtime(suite.tools)) for function in suite.tools)
        made = [task(suite, user, tools) for user in suite.user_tasks]
        return tm.Taskset(suite.name, made, version=version)
'''


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Their task set, opened with one line."""
    (tmp_path / "their_parcels.py").write_text(textwrap.dedent(THEIRS))
    (tmp_path / "mine.py").write_text(textwrap.dedent(GLUE).lstrip())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield taskset("mine.py:tasks version=7")
    sys.modules.pop("their_parcels", None)


def run(tasks, replays, file=None, protocol=Protocol.DIRECT):
    """Collect the rollouts of these replays."""

    def request(task, rollout):
        return RolloutRequest(task, rollout, policy=replay_policy(replays[task.id], protocol))

    nobody = ScriptedPolicy((), "replay")
    work = collect(
        tasks, nobody, protocol, Limits(), file, rollouts=2, concurrency=3, request=request
    )
    return asyncio.run(work)


def test_the_glue_is_short():
    assert len(textwrap.dedent(GLUE).strip().splitlines()) <= 40


def test_known_good_calls_are_right_and_others_wrong(theirs):
    assert theirs.label == "parcels (7)"
    assert theirs["parcels/move"].isolation() is Isolation.FRESH
    replays = replays_of(theirs, None)
    for protocol in (Protocol.DIRECT, Protocol.TRIAL):
        assert all(trajectory.success for trajectory in run(theirs, replays, None, protocol))
    for replay in replays.values():
        replay.calls.pop()
    replays["parcels/weight"].answer = "heavy"
    assert not any(trajectory.success for trajectory in run(theirs, replays))


def test_rollouts_and_trials_begin_in_a_state_of_their_own(theirs):
    both = theirs.ids
    send = {"name": "send", "arguments": {"parcel": "p1"}}
    wrong = {task_id: Replay(calls=[send], answer="250") for task_id in both}
    weight, again, *_ = run(theirs, wrong)
    assert not weight.success  # the state has changed, which its utility sees
    assert not again.success
    assert all(trajectory.success for trajectory in run(theirs, replays_of(theirs, None)))
    trial = ScriptedPolicy(
        [
            '<tool_call>{"name": "send", "arguments": {"parcel": "p1"}}</tool_call>',
            "<experience>send sends</experience>",
            "<answer>250 grams</answer>",
        ]
    )
    work = collect(theirs[:1], trial, Protocol.TRIAL, Limits(), None, concurrency=1)
    [tried] = asyncio.run(work)
    assert tried.steps[0].observation == "null"  # it ran, on a copy
    assert tried.success


def test_what_their_functions_refuse_and_return(theirs):
    calls = [
        {"name": "weigh", "arguments": {"parcel": "p9"}},
        {"name": "weigh", "arguments": {}},
        {"name": "readdress", "arguments": {"parcel": "p2", "address": "3 Mill Lane"}},
    ]
    replays = {task_id: Replay(calls=calls, answer="done") for task_id in theirs.ids}
    trajectory = run(theirs, replays)[0]
    refused, invalid, moved = trajectory.calls()
    assert (refused.observation, refused.error) == ("error: KeyError: 'p9'", ErrorKind.TOOL_ERROR)
    assert invalid.error is ErrorKind.INVALID_ARGUMENTS
    assert moved.observation == '{"address": "3 Mill Lane", "grams": 900}'


def test_an_evaluation_goes_on_where_it_stopped(theirs, tmp_path):
    file = tmp_path / "trajectories.jsonl"
    replays = replays_of(theirs, None)
    first = run(theirs[:1], replays, file)
    assert [t.task_id for t in first] == ["parcels/weight"] * 2
    both = run(theirs, {"parcels/move": replays["parcels/move"]}, file)
    assert [(t.task_id, t.rollout, t.success) for t in both] == [
        ("parcels/weight", 0, True),
        ("parcels/weight", 1, True),
        ("parcels/move", 0, True),
        ("parcels/move", 1, True),
    ]
