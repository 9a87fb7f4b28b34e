"""BFCL multi-turn: gold accepted, anything less refused, and verdicts like its own checker's."""

import json
import random
from collections import Counter

import pytest

from toolmaster.benchmarks.replay import Replay, gold_replays
from toolmaster.errors import InputError
from toolmaster.protocols import Protocol
from toolmaster.types import ErrorKind, ToolCall

pytest.importorskip(
    "bfcl_eval.constants.executable_backend_config",
    reason="needs `pip install --no-deps bfcl-eval mpmath`",
)

FILES = {"root": {"home": {"type": "directory", "contents": {}}}}
ROW = {
    "id": "multi_turn_miss_func_0",
    "question": [
        [{"role": "user", "content": "Make a folder called old."}],
        [{"role": "user", "content": "Make a file a.txt, please."}],
        [],
        [{"role": "user", "content": "What is there now?"}],
    ],
    "initial_config": {"GorillaFileSystem": FILES},
    "involved_classes": ["GorillaFileSystem"],
    "missed_function": {"2": ["touch"]},
}
GOLD = [["mkdir('old')"], [], ["touch(file_name='a.txt')"], ["ls()"]]


@pytest.fixture
def case_file(write, tmp_path):
    """A function: a file of one case with its gold calls beside it."""

    def save(gold=GOLD, **changes):
        row = ROW | changes
        (tmp_path / "possible_answer").mkdir(exist_ok=True)
        write("possible_answer/case.json", {"id": row["id"], "ground_truth": gold})
        return write("case.json", row)

    return save


def call(name, /, **arguments):
    return ToolCall(name=name, arguments=arguments)


MKDIR, TOUCH, LS = call("mkdir", dir_name="old"), call("touch", file_name="a.txt"), call("ls")


@pytest.fixture
def verdict(play, case_file):
    """A function: trajectory and values of the made-up case with these calls."""

    def run(*calls):
        replays = {"bfcl/multi_turn_miss_func_0": Replay(calls=calls)}
        [(_, trajectory, values)] = play("bfcl", case_file(), replays, Protocol.DIRECT)
        return trajectory, tuple(values.values())

    return run


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        # accuracy, states equal, responses given, strict
        ([[MKDIR], [], [TOUCH], [LS]], (1, 1, 1, 1)),
        ([[MKDIR], [LS], [TOUCH], [LS]], (1, 1, 1, 0)),  # nothing to call at the second message
        ([[MKDIR], [], [TOUCH], []], (0, 1, 0, 0)),
        ([[], [], [TOUCH], [LS]], (0, 0, 0, 0)),
        ([[MKDIR], [MKDIR], [TOUCH], [LS]], (1, 1, 1, 0)),  # an error changes nothing
        ([[MKDIR], [], [TOUCH, call("mkdir", dir_name="b")], [LS]], (0, 0, 0, 0)),
    ],
)
def test_verdicts(verdict, calls, expected):
    assert verdict(*calls)[1] == expected


def test_a_tool_works_from_its_message_on(verdict):
    trajectory, values = verdict([MKDIR], [TOUCH], [TOUCH], [LS])
    assert [step.error for step in trajectory.calls()] == [None, ErrorKind.UNKNOWN_TOOL, None, None]
    assert values == (1, 1, 1, 0)
    offered = [tool["function"]["name"] for tool in trajectory.tools]
    assert "mkdir" in offered
    assert "touch" not in offered
    users = [m.content for m in trajectory.messages() if m.role == "user"]
    assert users[:2] == ["Make a folder called old.", "Make a file a.txt, please."]
    assert users[2].startswith("There are more tools now:\n<tools>\n{")
    assert '"name": "touch"' in users[2]
    assert users[3] == "What is there now?"


def test_a_session_that_ends_early_fails(play, case_file):
    short = {"bfcl/multi_turn_miss_func_0": Replay(calls=[[MKDIR], []])}
    [(_, trajectory, values)] = play("bfcl", case_file(), short)
    assert trajectory.error == "the script has no more turns, and the task is not over"
    assert set(values.values()) == {0.0}


def test_a_trial_changes_nothing(load, case_file):
    [case] = load("bfcl", case_file()).cases
    tools = case.task.make_tools()
    fork = tools.fork()
    assert "error" not in fork["mkdir"].execute(fork.state, {"dir_name": "old"})
    assert tools["ls"].execute(tools.state, {}) == json.dumps({"current_directory_content": []})


def test_numbers_that_never_end_are_refused(load, case_file):
    path = case_file(
        involved_classes=["MathAPI"],
        missed_function={},
        gold=[["add(a=1,b=2)"]] * 3,
        question=ROW["question"][:2] + ROW["question"][3:],
    )
    [case] = load("bfcl", path).cases
    tools = case.task.make_tools()
    with pytest.raises(Exception, match="exponent must be at most 10000"):
        tools["power"].execute(tools.state, {"base": 10, "exponent": 10**9})


def test_rows_that_cannot_be_loaded_are_named(load, case_file, tmp_path):
    def reason(**changes):
        [item] = load("bfcl", case_file(**changes)).left_out
        return item.field, item.reason

    assert reason(involved_classes=["Moon"]) == (
        "involved_classes",
        "no class 'Moon' in the package",
    )
    assert reason(initial_config={"GorillaFileSystem": {"root": {}}})[0] == "initial_config"
    assert reason(missed_function={"2": ["fly"]}) == (
        "missed_function",
        "no tool 'fly' in the classes",
    )
    assert reason(gold=[]) == ("ground_truth", "expected a list of gold calls for each message")
    assert reason(gold=[*GOLD[:3], ["ls(x=1)"]])[1].startswith("cannot read 'ls(x=1)'")
    assert reason(gold=[*GOLD[:3], ["import os"]])[1].startswith("cannot read 'import os'")
    assert reason(missed_function={}) == ("question.2", "no message and no tools")
    (tmp_path / "possible_answer" / "case.json").unlink()
    with pytest.raises(InputError, match="cannot read the gold calls"):
        load("bfcl", tmp_path / "case.json")


def test_all_gold_is_accepted(play):
    found = play("bfcl", None, gold_replays)
    assert Counter(case.task.labels["family"] for case, _, _ in found) == {
        "base": 200,
        "miss_func": 200,
        "miss_param": 200,
        "long_context": 200,
    }
    assert sum(values["accuracy"] for _, _, values in found) == 800
    assert sum(values["strict"] for _, _, values in found) == 800


def test_all_gold_without_its_last_call_is_refused(play):
    def without_last(cases):
        replays = gold_replays(cases)
        for replay in replays.values():
            next(calls for calls in reversed(replay.calls) if calls).pop()
        return replays

    found = play("bfcl", None, without_last)
    assert sum(values["accuracy"] for _, _, values in found) == 0
    # The other 296 calls only read (or change the current folder, which is no public attribute):
    # the state is the same, and what the call returned is what is missing.
    assert sum(values["states_equal"] == 0 for _, _, values in found) == 504


def corrupted(gold, rng):
    """Gold with one call lost, doubled, moved or changed."""
    calls = [[c.model_copy(deep=True) for c in of_message] for of_message in gold]
    message, index = rng.choice([(m, i) for m, cs in enumerate(calls) for i in range(len(cs))])
    chosen = calls[message][index]
    match rng.choice(["lose", "double", "shuffle", "later", "change"]):
        case "lose":
            calls[message].pop(index)
        case "double":
            calls[message].insert(index, chosen)
        case "shuffle":
            rng.shuffle(calls[message])
        case "later":
            calls[message].pop(index)
            calls[min(message + 1, len(calls) - 1)].append(chosen)
        case "change":
            for key, value in chosen.arguments.items():
                if isinstance(value, str):
                    chosen.arguments[key] = value + "x"
    return calls


def test_verdicts_are_those_of_the_original_checker(play):
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import (  # noqa: PLC0415
        multi_turn_checker,
    )

    from toolmaster.benchmarks.bfcl import CATEGORIES  # noqa: PLC0415
    from toolmaster.benchmarks.bfcl_world import package_data  # noqa: PLC0415

    rows, golds = {}, {}
    for name in CATEGORIES:
        file = f"BFCL_v4_multi_turn_{name}.json"
        for line in (package_data() / file).read_text().splitlines():
            rows[json.loads(line)["id"]] = json.loads(line)
        for line in (package_data() / "possible_answer" / file).read_text().splitlines():
            golds[json.loads(line)["id"]] = json.loads(line)["ground_truth"]
    rng = random.Random(7)
    replays = {}

    def corrupt(cases):
        for case in cases:
            replays[case.task.id] = Replay(calls=corrupted(case.gold, rng))
        return replays

    verdicts = Counter()
    for _, trajectory, _ in play("bfcl", None, corrupt, Protocol.DIRECT):
        name = trajectory.task_id.removeprefix("bfcl/")
        decoded = [
            [
                [f"{c.name}({', '.join(f'{k}={v!r}' for k, v in c.arguments.items())})"]
                for c in calls
            ]
            for calls in replays[trajectory.task_id].calls
        ]
        theirs = multi_turn_checker(decoded, golds[name], rows[name], "", "corrupted")["valid"]
        verdicts[trajectory.success, theirs] += 1
    assert verdicts[True, False] == verdicts[False, True] == 0
    assert verdicts[True, True] > 150
    assert verdicts[False, False] > 300
