"""BFCL multi-turn: known-good calls accepted, anything less refused, like its own checker."""

import json
import random
from collections import Counter

import pytest
from made_rows import bfcl_rows

from toolmaster.errors import ConfigError, InputError
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.bfcl_multi_turn import CATEGORIES
from toolmaster.tasksets.replay import Replay, replays_of
from toolmaster.types import ErrorKind, ToolCall

pytest.importorskip(
    "bfcl_eval.constants.executable_backend_config",
    reason="needs `pip install --no-deps bfcl-eval mpmath`",
)

NAME = "BFCL_v4_multi_turn_miss_func.json"
PARTS = ("states_equal", "responses_given", "strict")
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
        write(f"possible_answer/{NAME}", {"id": row["id"], "ground_truth": gold})
        return write(NAME, row)

    return save


def call(name, /, **arguments):
    return ToolCall(name=name, arguments=arguments)


MKDIR, TOUCH, LS = call("mkdir", dir_name="old"), call("touch", file_name="a.txt"), call("ls")


@pytest.fixture
def verdict(play, case_file):
    """A function: trajectory and score of the made-up case with these calls."""

    def run(*calls):
        replays = {"bfcl/multi_turn_miss_func_0": Replay(calls=calls)}
        [trajectory] = play(taskset(f"bfcl:{case_file()}"), replays, Protocol.DIRECT)
        score = trajectory.score
        assert score.value == score.success
        return trajectory, (score.success, *(score.parts[part] for part in PARTS))

    return run


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        # success, states equal, responses given, strict
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


def test_a_session_that_ends_early_is_not_scored(play, case_file):
    short = {"bfcl/multi_turn_miss_func_0": Replay(calls=[[MKDIR], []])}
    [trajectory] = play(taskset(f"bfcl:{case_file()}"), short)
    assert trajectory.error == "the script has no more turns, and the task is not over"
    assert trajectory.score is None


def test_a_trial_changes_nothing(case_file):
    [task] = taskset(f"bfcl:{case_file()}")
    assert task.isolation() is Isolation.FRESH
    tools = task.make_tools()
    fork = tools.fork()
    assert "error" not in fork["mkdir"].execute(fork.state, {"dir_name": "old"})
    assert tools["ls"].execute(tools.state, {}) == json.dumps({"current_directory_content": []})


def test_numbers_that_never_end_are_refused(case_file):
    path = case_file(
        involved_classes=["MathAPI"],
        missed_function={},
        gold=[["add(a=1,b=2)"]] * 3,
        question=ROW["question"][:2] + ROW["question"][3:],
    )
    [task] = taskset(f"bfcl:{path}")
    tools = task.make_tools()
    with pytest.raises(Exception, match="exponent must be at most 10000"):
        tools["power"].execute(tools.state, {"base": 10, "exponent": 10**9})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"involved_classes": ["Moon"]}, "involved_classes: no class 'Moon' in the package"),
        ({"initial_config": {"GorillaFileSystem": {"root": {}}}}, "initial_config"),
        ({"missed_function": {"2": ["fly"]}}, "missed_function: no tool 'fly' in the classes"),
        ({"gold": []}, "ground_truth: expected a list of calls for each message"),
        ({"gold": [*GOLD[:3], ["ls(x=1)"]]}, r"ground_truth: cannot read 'ls\(x=1\)'"),
        ({"gold": [*GOLD[:3], ["import os"]]}, "ground_truth: cannot read 'import os'"),
        ({"missed_function": {}}, r"question\.2: no message and no tools"),
    ],
)
def test_rows_that_cannot_be_loaded_are_named(case_file, changes, reason):
    with pytest.raises(InputError, match=rf"none of its 1 rows can be used; .* row 0, {reason}"):
        taskset(f"bfcl:{case_file(**changes)}")


def test_files_that_cannot_be_used(case_file, tmp_path):
    file = case_file()
    (tmp_path / "possible_answer" / NAME).write_text('{"id": 3}')
    with pytest.raises(InputError, match=r"line 1: id: Input should be a valid string"):
        taskset(f"bfcl:{file}")
    (tmp_path / "possible_answer" / NAME).unlink()
    with pytest.raises(InputError, match=r"cannot read .*possible_answer"):
        taskset(f"bfcl:{file}")
    with pytest.raises(InputError, match=r"its name must be BFCL_v4_CATEGORY.json, with one of mu"):
        taskset(f"bfcl:{file.rename(tmp_path / 'case.json')}")
    with pytest.raises(ConfigError, match="bfcl has no category 'turns'; it has: multi_turn, sing"):
        taskset("bfcl:turns")


def test_all_known_good_calls_are_accepted(play):
    tasks = taskset("bfcl")
    assert tasks.label.startswith("bfcl:multi_turn (")
    assert Counter(task.labels["family"] for task in tasks) == {
        "multi_turn_base": 200,
        "multi_turn_miss_func": 200,
        "multi_turn_miss_param": 200,
        "multi_turn_long_context": 200,
    }
    found = play(tasks, replays_of(tasks, None))
    assert sum(t.success for t in found) == 800
    assert sum(t.score.parts["strict"] for t in found) == 800


def test_all_known_good_calls_but_the_last_are_refused(play):
    tasks = taskset("bfcl")
    replays = replays_of(tasks, None)
    for replay in replays.values():
        next(calls for calls in reversed(replay.calls) if calls).pop()
    found = play(tasks, replays)
    assert sum(t.success for t in found) == 0
    # The other 296 calls only read (or change the current folder, which is no public attribute):
    # the state is the same, and what the call returned is what is missing.
    assert sum(not t.score.parts["states_equal"] for t in found) == 504


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

    rows = {row["id"]: (gold, row) for name in CATEGORIES for row, gold in bfcl_rows(name)}
    rng = random.Random(7)
    tasks = taskset("bfcl")
    replays = {task.id: Replay(calls=corrupted(task.calls, rng)) for task in tasks}
    verdicts = Counter()
    for trajectory in play(tasks, replays, Protocol.DIRECT):
        name = trajectory.task_id.removeprefix("bfcl/")
        decoded = [
            [
                [f"{c.name}({', '.join(f'{k}={v!r}' for k, v in c.arguments.items())})"]
                for c in calls
            ]
            for calls in replays[trajectory.task_id].calls
        ]
        theirs = multi_turn_checker(decoded, *rows[name], "", "corrupted")["valid"]
        verdicts[trajectory.success, theirs] += 1
    assert verdicts[True, False] == verdicts[False, True] == 0
    assert verdicts[True, True] > 150
    assert verdicts[False, False] > 300
