"""API-Bank: its three kinds of file, made up here, and what counts as a right call."""

import json

import pytest

from toolmaster.errors import ConfigError, InputError
from toolmaster.protocols import Protocol
from toolmaster.tasksets import Isolation, taskset
from toolmaster.tasksets.apibank import (
    ApiDocument,
    equal_call,
    find_document,
    read_classes,
    read_request,
    rouge_l,
    same_call,
)
from toolmaster.tasksets.benchmark import RowError
from toolmaster.tasksets.replay import Replay, replays_of
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


def document(name, *parameters):
    about = {p: {"type": "str", "description": p} for p in parameters}
    return {"name": name, "description": f"{name}.", "input_parameters": about}


def instruction(expected="API-Request: [BookTable(name='Ada', seats='4')]", **changes):
    described = json.dumps(document("BookTable", "name", "seats"))
    return {
        "file": "Book-level-1-1.jsonl",
        "id": 0,
        "instruction": f"\nGenerate an API request.\n\nAPI descriptions:\n{described}",
        "input": "User: A table for 4, I am Ada.\nAI: Yes.\nGenerate API Request:\n",
        "expected_output": expected,
    } | changes


def planned(name, arguments, output, exception=None):
    whole = {"api_name": name, "input": arguments, "output": output, "exception": exception}
    return {"api_name": name, "input": arguments, "output": whole}


PLAN = {
    "requirement": " Find Ada's meeting and remind her.",
    "response": "Ada meets Ben at ten. I have reminded her.",
    "apis": [
        planned(
            "ToolSearcher", {"keywords": "QueryMeeting"}, document("QueryMeeting", "user_name")
        ),
        planned("QueryMeeting", {"user_name": "Ada"}, {"meetings": [{"at": "10:00"}]}),
        planned(
            "ToolSearcher", {"keywords": "email reminder"}, [document("EmailReminder", "content")]
        ),
        planned("EmailReminder", {"content": "You meet Ben at ten today"}, "success"),
    ],
}


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
    assert one.score.parts == {"call_correct": 1.0, "call_correct_strict": 1.0, "rouge_l": 1.0}
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
    with pytest.raises(ConfigError, match="it needs 'place', as in apibank:FILE"):
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


def test_an_instruction_file(write, replay):
    path = write("level-1-api.json", [instruction()])
    [(task, trajectory)] = replay(path)
    assert task.id == "apibank/level-1-api/Book-level-1-1.jsonl/0"
    assert task.query.endswith("User: A table for 4, I am Ada.\nAI: Yes.")
    assert trajectory.success
    assert trajectory.score.parts == {"call_correct": 1.0, "call_correct_strict": 1.0}
    assert trajectory.steps[0].observation == "done (its result is not recorded)"
    [(_, trajectory)] = replay(path, lambda calls: [])
    assert not trajectory.success
    assert trajectory.score.value == 0.0


def test_a_batch_of_level_3_describes_apis_in_its_conversation(write, replay):
    searcher = {"apiCode": "ToolSearcher", "description": "s", "parameters": {"keywords": {}}}
    output = document("QueryMeeting", "user_name")
    found = {"api_name": "ToolSearcher", "output": output, "exception": None}
    said = [
        json.dumps(searcher),
        "User: My meetings? I am Ada.",
        f"API-Request: [ToolSearcher(keywords='QueryMeeting')]->{found}",
        "Generate API Request: ",
    ]
    row = {
        "instruction": "\nAPI descriptions:\n",
        "input": "\n".join(said),
        "output": "API-Request: [QueryMeeting(user_name='Ada')]",
        "sample_id": 4,
        "api_id": 1,
    }
    [(task, trajectory)] = replay(write("level-3-batch-inf.json", [row]))
    assert task.id == "apibank/level-3-batch-inf/4/1"
    assert [tool["function"]["name"] for tool in trajectory.tools] == [
        "ToolSearcher",
        "QueryMeeting",
    ]
    assert trajectory.success


def test_a_plan(write, replay):
    [(task, trajectory)] = replay(write("level-3.json", [PLAN]))
    assert task.query == "Find Ada's meeting and remind her."
    assert trajectory.score.parts == {
        "call_correct": 1.0,
        "call_correct_strict": 1.0,
        "rouge_l": 1.0,
    }
    assert json.loads(trajectory.steps[0].observation)["name"] == "QueryMeeting"
    assert trajectory.steps[3].observation == "success"


def test_known_good_keywords_that_share_no_word_are_right(write, replay):
    found = planned("ToolSearcher", {"keywords": "agenda"}, document("QueryMeeting", "user_name"))
    plan = {**PLAN, "apis": [found, *PLAN["apis"][1:]]}
    [(_, trajectory)] = replay(write("level-3.json", [plan]))
    assert trajectory.success
    assert json.loads(trajectory.steps[0].observation)["name"] == "QueryMeeting"
    [(_, trajectory)] = replay(write("level-3.json", [plan]), lambda calls: calls[1:])
    assert trajectory.score.value == 0.75


@pytest.mark.parametrize(
    ("change", "correct", "strict"),
    [
        (lambda calls: calls[:-1], 0.75, 0.75),
        (lambda calls: [calls[1], calls[0], *calls[2:]], 0.75, 0.75),
        (lambda calls: [calls[0], calls[0], *calls[1:]], 1.0, 1.0),
        (
            lambda calls: [
                ToolCall(name="ToolSearcher", arguments={"keywords": "meeting of a user"}),
                *calls[1:],
            ],
            1.0,
            0.75,
        ),
        (lambda calls: [], 0.0, 0.0),
    ],
)
def test_changed_plans(write, replay, change, correct, strict):
    [(_, trajectory)] = replay(write("level-3.json", [PLAN]), change)
    score = trajectory.score
    assert (score.parts["call_correct"], score.parts["call_correct_strict"]) == (correct, strict)
    assert score.value == correct
    assert score.success is (correct == 1.0)


def test_requests_as_text():
    call = read_request("API-Request: [F(a='x, y=(1)', b=[1, {'k': 2}], c=3)] and more")
    assert call == ToolCall(name="F", arguments={"a": "x, y=(1)", "b": [1, {"k": 2}], "c": 3})
    for broken in (
        "F(a=1)",
        "[F(1)]",
        "[F(a=it's)]",
        "[F(a=open('x'))]",
        "",
        "[F(a=" + "-" * 100_000 + "1)]",
    ):
        with pytest.raises(RowError, match="not a request"):
            read_request(broken)


def test_a_search_finds_by_shared_words():
    documents = [
        ApiDocument.model_validate(document(n, "x")) for n in ("QueryMeeting", "SendEmail")
    ]
    assert find_document("meeting query", documents).name == "QueryMeeting"
    assert find_document("email", documents).name == "SendEmail"
    assert find_document("weather", documents) is None


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("a b c", "a b c", 1.0),
        ("a x c", "a b c", 2 / 3),  # common "a c": 2*2/(3+3)
        ("c b a", "a b c", 1 / 3),
        ("a", "a b c", 0.5),
        ("", "a", 0.0),
        ("a", "", 0.0),
    ],
)
def test_rouge_l(text, reference, score):
    assert rouge_l(text, reference) == pytest.approx(score)


def test_rows_that_cannot_be_used_are_named(write):
    rows = [
        instruction(),
        instruction("no request"),
        instruction(instruction="nothing described"),
        instruction("API-Request: [Moon(x=1)]", id=3),
        {"input": "x"},
    ]
    tasks = taskset(f"apibank:{write('level-1-api.json', rows)}")
    assert len(tasks) == 1
    assert [(item.row, item.field) for item in tasks.left_out] == [
        (1, "expected_output"),
        (2, "instruction"),
        (3, "expected_output"),
        (4, "instruction"),
    ]
    lost = PLAN | {"apis": PLAN["apis"][1:2]}
    [item] = taskset(f"apibank:{write('level-3.json', [PLAN, lost])}").left_out
    assert (item.row, item.field, item.reason) == (1, "apis", "no search finds 'QueryMeeting'")


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
