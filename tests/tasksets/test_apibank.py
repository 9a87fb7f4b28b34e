"""API-Bank: a dialogue, made up here, and what counts as a right call."""

import json

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.apibank import equal_call, find_document, read_classes, same_call
from toolmaster.tasksets.replay import Replay, replays_of
from toolmaster.tools import Tool
from toolmaster.types import ToolCall

CLASSES = """
from apis.api import API
raise SystemExit("this file is read, never run")

class BookTable(API):
    description = "Books a table."
    input_parameters = {
        "name": {"type": "str", "description": "For whom."},
        "seats": {"type": "int", "description": "How many."},
        "content": {"type": "str", "description": "Wishes."},
    }
    output_parameters = {"status": {"type": "str", "description": "success or failed"}}
    database_name = "Tables"

    def __init__(self):
        self.x = 1

class FindTable(API):
    description = "Finds tables."
    input_parameters = {"tags": {"type": "list(str)", "description": "Kinds."}}
    output_parameters = {}
"""
BOOK = {"name": "Ada", "seats": "4", "content": "a table by the window please"}
DIALOGUE = [
    {"role": "User", "text": "A table with a view, and book it for Ada."},
    {"role": "AI", "text": "Let me see."},
    {
        "role": "API",
        "api_name": "FindTable",
        "param_dict": {"tags": ["view"]},
        "result": {"api_name": "FindTable", "input": {}, "output": [{"id": 3}], "exception": None},
    },
    {"role": "AI", "text": "Table 3 has a view."},
    {
        "role": "API",
        "api_name": "BookTable",
        "param_dict": BOOK,
        "result": {"api_name": "BookTable", "input": BOOK, "output": None, "exception": "full"},
    },
    {"role": "AI", "text": "Sorry, it is full."},
]


def document(name):
    return Tool(name, f"{name}.", {}, print)


@pytest.fixture
def bank(tmp_path):
    """API-Bank's folders with one dialogue; returns the folder of dialogues."""
    root = tmp_path / "api-bank"
    dialogues = root / "lv1-lv2-samples" / "level-1-given-desc"
    dialogues.mkdir(parents=True)
    (root / "apis").mkdir()
    (root / "apis" / "tables.py").write_text(CLASSES)
    lines = "\n".join(json.dumps(turn) for turn in DIALOGUE)
    (dialogues / "Book-level-1-1.jsonl").write_text(lines)
    return dialogues


@pytest.fixture
def replay(play):
    """A function: play the gold calls of a file, changed or not; gives tasks and trajectories."""

    def run(path, change=None):
        tasks = taskset(f"apibank:{path}")
        replays = replays_of(tasks, None)
        for task_id, one in replays.items():
            calls = list(one.by_message()[0])
            replays[task_id] = Replay(calls=change(calls) if change else calls, answer=one.answer)
        return list(zip(tasks, play(tasks, replays, Protocol.DIRECT), strict=True))

    return run


def test_a_dialogue_is_a_task_for_each_call(bank, replay):
    (first, one), (second, two) = replay(bank)
    assert first.id == "apibank/level-1-given-desc/Book-level-1-1/2"
    assert one.score.parts == {"call_correct": 1.0, "call_correct_strict": 1.0}
    assert one.score.value == 1.0
    assert one.score.expected == '{"name": "FindTable", "arguments": {"tags": ["view"]}}'
    assert one.success
    assert two.success
    assert one.steps[0].observation == '[{"id": 3}]'
    assert two.steps[0].observation == "error: full"  # what the API answered there
    assert second.query.endswith(
        "User: A table with a view, and book it for Ada.\nAI: Let me see.\n"
        "[FindTable(tags=['view'])] -> [{\"id\": 3}]\nAI: Table 3 has a view."
    )
    schema = one.tools[0]["function"]
    assert schema["name"] == "FindTable"
    assert schema["parameters"]["properties"]["tags"] == {"type": "array", "description": "Kinds."}


def test_the_task_set(bank):
    tasks = taskset(f"apibank:{bank}")
    assert tasks.label.startswith("apibank:level-1-given-desc (")
    assert tasks.facts["observations"] == "recorded"
    assert "our own rule" in tasks.facts["call_correct"]
    assert tasks[0].isolation() is Isolation.FRESH
    assert tasks[1].needed == ("BookTable",)
    assert tasks[0].labels == {"family": "level-1-given-desc"}
    version = tasks.version
    (bank / "Book-level-1-2.jsonl").write_bytes((bank / "Book-level-1-1.jsonl").read_bytes())
    assert taskset(f"apibank:{bank}").version != version
    with pytest.raises(ConfigError, match="it needs 'folder', as in apibank:FILE"):
        taskset("apibank")


TOPIC = {"meeting_topic": "plan the new garden"}


@pytest.mark.parametrize(
    ("arguments", "gold", "lenient", "strict"),
    [
        (BOOK, BOOK, 1, 1),
        (BOOK | {"seats": 4}, BOOK, 1, 0),
        (BOOK | {"name": " Ada "}, BOOK, 0, 0),
        (BOOK | {"content": "a table by the window"}, BOOK, 1, 0),
        (BOOK | {"content": "no wishes"}, BOOK, 0, 0),
        (BOOK | {"seats": "5"}, BOOK, 0, 0),
        (BOOK | {"name": "ada"}, BOOK, 0, 0),
        (BOOK | {"extra": "1"}, BOOK, 0, 0),
        ({"name": "Ada"}, BOOK, 0, 0),
        ({"meeting_topic": "The new garden plan."}, TOPIC, 1, 0),
        ({"meeting_topic": "plan the garden"}, TOPIC, 1, 0),  # 3 of 4 words
        ({"meeting_topic": "the garden"}, TOPIC, 0, 0),  # 2 of 4
        ({"title": "Plan"}, {"title": "plan"}, 0, 0),
        ({"v": "['a', 'b']"}, {"v": ["a", "b"]}, 1, 0),
        ({"v": ["b", "a"]}, {"v": ["a", "b"]}, 0, 0),
        ({"v": "1.0"}, {"v": 1}, 1, 0),
        ({"v": 1.0}, {"v": 1}, 1, 1),
        ({"v": "007"}, {"v": "7"}, 0, 0),
    ],
)
def test_what_counts_as_a_right_call(arguments, gold, lenient, strict):
    call, right = (ToolCall(name="F", arguments=a) for a in (arguments, gold))
    assert same_call(call, right, []) is bool(lenient)
    assert equal_call(call, right) is bool(strict)
    other = call.model_copy(update={"name": "G"})
    assert not same_call(other, right, [])
    assert not equal_call(other, right)


@pytest.mark.parametrize(
    "text",
    ["{{}}", "{[1]: 2}", "{(1, 2): 3}", "{1: 2, 'a': 3}", "[b'x']", "[...]", "0x" + "f" * 5000],
)
def test_text_that_is_no_json_stays_text(text):
    given, gold = (ToolCall(name="F", arguments={"v": value}) for value in (text, "Ada"))
    assert not same_call(given, gold, [])
    assert same_call(given, given, [])


def test_only_the_first_call_of_a_turn_counts(bank, replay):
    def wrong_first(calls):
        return [ToolCall(name=calls[0].name, arguments={}), *calls]

    for _, trajectory in replay(bank, wrong_first):
        assert not trajectory.success
        parts = trajectory.score.parts
        assert (parts["call_correct"], parts["call_correct_strict"]) == (0.0, 0.0)
        assert trajectory.steps[0].observation == "error: no result of this call is recorded"


def test_a_search_finds_by_shared_words():
    documents = [document(name) for name in ("QueryMeeting", "SendEmail")]
    gold, call = (
        ToolCall(name="ToolSearcher", arguments={"keywords": words})
        for words in ("query meeting", "meetings: query a meeting")
    )
    assert same_call(call, gold, documents)
    assert not same_call(call.model_copy(update={"arguments": {}}), gold, documents)
    assert find_document("meeting query", documents).name == "QueryMeeting"
    assert find_document("email", documents).name == "SendEmail"
    assert find_document("weather", documents) is None


def test_dialogues_that_cannot_be_used_are_named(bank):
    (bank / "a.jsonl").write_text('{"role": "User", "text": "Hi"}\n{"role"\n')
    (bank / "b.jsonl").write_text('{"role": "API", "api_name": "Moon", "param_dict": {}}\n')
    tasks = taskset(f"apibank:{bank}")
    assert len(tasks) == 2
    found = [(item.file, item.row, item.reason) for item in tasks.left_out]
    assert found[0][:2] == ("a.jsonl", 0)
    assert "a.jsonl, line 2: not valid JSON" in found[0][2]
    assert found[1] == ("b.jsonl", 0, "'Moon' is described nowhere")


def test_folders_that_cannot_be_used(bank):
    with pytest.raises(InputError, match=r"holds no \.jsonl files"):
        taskset(f"apibank:{bank.parent}")
    classes = bank.parents[1] / "apis"
    (classes / "tables.py").write_text("x = 1")
    with pytest.raises(InputError, match=r"no class in .* describes an API"):
        read_classes(classes)
    (classes / "tables.py").write_text("class (")
    with pytest.raises(InputError, match="not Python"):
        taskset(f"apibank:{bank}")
    (classes / "tables.py").unlink()
    classes.rmdir()
    with pytest.raises(InputError, match="no folder `apis` above"):
        taskset(f"apibank:{bank}")
