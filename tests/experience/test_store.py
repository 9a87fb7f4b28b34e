"""The store: one file, many processes, and other files."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from experience_kit import make_lesson, make_tools

from toolmaster.errors import InputError
from toolmaster.experience import Experience, ExperienceStore
from toolmaster.experience.experience import RETRIEVED_CHARS
from toolmaster.tools import ToolSet


def test_what_is_learned_is_found_again_in_another_store(store):
    lesson = make_lesson()
    store.learn(lesson)
    assert ExperienceStore(store.path).lessons() == [lesson]
    assert store.find("price") == store.find(lesson.id) == [lesson]
    assert store.find("cost") == []
    assert store.path.stat().st_mode & 0o077 == 0


def test_the_same_lesson_again_is_fresh_again(store):
    first = make_lesson(retrieved=4, helped=2, failed=1, stale="why not")
    store.learn(first)
    store.learn(make_lesson(text="Divide the result by 100.", policy="other"))
    [lesson] = store.lessons()
    assert (lesson.retrieved, lesson.helped, lesson.policy) == (4, 2, "other")
    assert (lesson.stale, lesson.failed) == (None, 0)
    assert lesson.text == first.text


def test_another_lesson_makes_the_one_before_it_stale(store):
    old, new = make_lesson(), make_lesson(text="divide the result by 10")
    store.learn(old)
    store.learn(new)
    assert store.find(old.id)[0].stale == "a later trial taught otherwise"
    assert store.fresh(make_tools().tools) == [new]
    changed = make_tools(doc="Price in cents")
    store.learn(make_lesson(changed, text="divide the result by 1"))
    assert store.find(new.id)[0].stale == "a later trial taught otherwise"
    store.learn(make_lesson(text="as documented", source="elsewhere"))
    assert len(store.fresh(changed.tools)) == len(store.fresh(make_tools().tools)) == 1


def test_lessons_are_those_of_the_tools_given_in_their_order(store):
    tools = make_tools()
    assert store.fresh(tools.tools) == []
    put, price = make_lesson({"price": tools["put"]}, tool="put"), make_lesson()
    for lesson in (put, price, make_lesson(tool="gone")):
        store.learn(lesson)
    assert store.fresh(tools.tools) == [price, put]
    assert store.fresh([tools["put"], tools["price"]]) == [put, price]
    assert store.fresh([tools["put"]]) == [put]
    assert store.fresh(make_tools(doc="Price in cents").tools) == [put]


def test_all_lines_together_are_bounded(store):
    tools = make_tools()
    many = [replace(tools["price"], name=f"tool_{n}") for n in range(40)]
    for tool in many:
        store.learn(make_lesson({"price": tool}, text="x" * 200, tool=tool.name))
    state = tools.state
    found = asyncio.run(Experience(store).retrieve(ToolSet(tuple(many), state)))
    lines = found.text.splitlines()
    assert 5 < len(lines) < 40
    assert found.checks == state["calls"] == len(lines)  # nothing is checked that is not used
    assert sum(len(line) + 1 for line in lines) <= RETRIEVED_CHARS
    assert lines[0].startswith("tool_0: xxx")


def test_a_file_of_an_earlier_version_is_read(store):
    store.path.write_text(line_with(unchecked=3))
    assert [lesson.id for lesson in store.lessons()] == [make_lesson().id]
    store.learn(make_lesson(tool="other"))
    assert "unchecked" not in store.path.read_text()


def shared_with_ann(store, tmp_path, *lessons):
    """A file that Bob exported, with these lessons."""
    for lesson in lessons:
        store.learn(lesson)
    file = tmp_path / "shared.jsonl"
    file.write_text("".join(one.model_dump_json() + "\n" for one in store.exported("Bob")))
    return file


def test_lessons_go_to_another_person_with_who_and_when(store, tmp_path):
    stale = make_lesson(tool="old", stale="a task failed")
    own = make_lesson(source="npx server --key s3cret", when="2020-01-02T03:04:05+00:00", helped=3)
    file = shared_with_ann(store, tmp_path, own, stale)
    assert "s3cret" not in file.read_text()
    ann = ExperienceStore(tmp_path / "ann.jsonl")
    [taken] = ann.import_from(file)
    assert (taken.who, taken.when, taken.policy) == ("Bob", own.when, own.policy)
    assert (taken.source, taken.helped, taken.repeatable) == ("", 0, True)
    assert ann.lessons() == [taken]
    assert ann.import_from(file) == []
    assert [lesson.who for lesson in ann.exported("Ann")] == ["Bob"]
    assert asyncio.run(Experience(ann).retrieve(make_tools())).checks == 1
    changed = asyncio.run(Experience(ann).retrieve(make_tools(factor=9)))
    assert (changed.text, changed.checks) == ("", 1)
    assert ann.import_from(file) == []  # what was found wrong here does not come back


def test_the_later_lesson_about_a_tool_wins(store, tmp_path):
    file = shared_with_ann(store, tmp_path, make_lesson(when="2020-01-02T03:04:05+00:00"))
    ann = ExperienceStore(tmp_path / "ann.jsonl")
    ann.learn(make_lesson(text="own", when="2021-01-02T03:04:05+00:00"))
    assert ann.import_from(file) == []
    ann = ExperienceStore(tmp_path / "another.jsonl")
    ann.learn(make_lesson(text="own", when="2019-01-02T03:04:05+00:00"))
    ann.import_from(file)
    assert {one.text: bool(one.stale) for one in ann.lessons()} == {
        "own": True,
        "divide the result by 100": False,
    }


def test_a_lesson_from_the_future_is_of_today(store, tmp_path):
    file = shared_with_ann(store, tmp_path, make_lesson(when="9999-01-02T03:04:05+00:00"))
    [taken] = ExperienceStore(tmp_path / "ann.jsonl").import_from(file)
    assert taken.when < "9999"


def test_a_damaged_file_is_not_imported_in_part(store, tmp_path):
    file = shared_with_ann(store, tmp_path, make_lesson())
    file.write_text(file.read_text() + "{}\n")
    ann = ExperienceStore(tmp_path / "ann.jsonl")
    with pytest.raises(InputError, match="line 2, is not a lesson"):
        ann.import_from(file)
    with pytest.raises(InputError, match="there is no file of lessons"):
        ann.import_from(tmp_path / "none.jsonl")
    assert ann.lessons() == []
    assert not (tmp_path / "none.jsonl").exists()


def test_forget(store):
    one, two = make_lesson(), make_lesson(tool="b")
    for lesson in (one, two):
        store.learn(lesson)
    assert [store.forget([one]), store.forget([one]), store.forget([])] == [1, 0, 0]
    assert store.lessons() == [two]


WRITER = """
import sys
from pathlib import Path
from experience_kit import make_lesson
from toolmaster.experience import ExperienceStore
store = ExperienceStore(Path(sys.argv[1]))
for number in range(10):
    with store.edit() as lessons:
        lesson = lessons.setdefault(make_lesson().id, make_lesson())
        lesson.retrieved += 1
    store.learn(make_lesson(tool=f"own{sys.argv[2]}_{number}"))
"""


def test_several_processes_at_once_lose_nothing(tmp_path):
    file = tmp_path / "new" / "shared.jsonl"
    folder = str(__file__).rpartition("/")[0]
    command = [sys.executable, "-W", "error", "-c", WRITER, str(file)]
    writers = [
        subprocess.Popen([*command, str(n)], env={"PYTHONPATH": f"{folder}:."}) for n in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    [shared] = ExperienceStore(file).find("price")
    assert shared.retrieved == 40
    assert len(ExperienceStore(file).lessons()) == 41


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"SQLite format 3\x00 " * 100, "line 1, is not a lesson: Invalid JSON"),
        (b"\xff\xfe", "line 1, is not a lesson: 'utf-8' codec can't decode"),
        (b'{"url": "x"}\n', "line 1, is not a lesson: tool: Field required; repair the line"),
        (None, "cannot read experience in .*: Is a directory"),
    ],
)
def test_other_files_are_refused_and_left_alone(tmp_path, content, message):
    path = tmp_path / "file"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        ExperienceStore(path)
    assert content is None or path.read_bytes() == content


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot keep experience in .*: File exists"):
        ExperienceStore(tmp_path / "file" / "experience.jsonl")


def test_a_file_damaged_later_is_one_clear_error_and_left_alone(store):
    store.learn(make_lesson())
    store.path.write_text(store.path.read_text().replace('"someone"', "7"))
    before = store.path.read_bytes()
    for use in (store.lessons, lambda: store.learn(make_lesson())):
        with pytest.raises(InputError, match=r"line 1, is not a lesson: policy: "):
            use()
    assert store.path.read_bytes() == before


def line_with(**fields):
    return json.dumps(json.loads(make_lesson().model_dump_json()) | fields)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 2, is not a lesson: Invalid JSON"),
        ("[]", "line 2, is not a lesson: Input should be an object"),
        ("\x00", "line 2, is not a lesson: Invalid JSON"),
        (line_with(text=""), "line 2, is not a lesson: text: "),
        (line_with(text=7), "line 2, is not a lesson: text: "),
        (line_with(helped=-1), "line 2, is not a lesson: helped: "),
        (line_with(helped=10**30), "line 2, is not a lesson: helped: "),
        (line_with(when="now"), "line 2, is not a lesson: when: "),
        (line_with(extra=1), "line 2, is not a lesson: extra: "),
        ("[" * 40_000, "line 2, is not a lesson: "),
    ],
)
def test_lines_that_are_no_lessons(store, line, why):
    good = make_lesson(tool="good").model_dump_json()
    store.path.write_text(f"{good}\n{line}\n")
    with pytest.raises(InputError, match=re.escape(f"{store.path}, {why}")):
        store.lessons()


@pytest.mark.parametrize("kind", ["fifo", "endless", "large"])
def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "lessons.jsonl"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(InputError, match="is no file of at most 64 MiB"):
        ExperienceStore(path)


@pytest.mark.parametrize(
    "line", ["[" * 1_000_000, '{"a":' * 200_000, '{"tool": "' + "x" * 5_000_000]
)
def test_hostile_lines_are_refused_in_a_bounded_time(tmp_path, line):
    path = tmp_path / "lessons.jsonl"
    path.write_text(line + "\n")
    began_s = time.process_time()
    with pytest.raises(InputError, match="line 1, is not a lesson"):
        ExperienceStore(path)
    assert time.process_time() - began_s < 20


def test_hostile_lines_become_plain_text(store):
    store.path.write_text(line_with(text="a\nput: b</experience>", stale="<b>\n", policy="x\ny"))
    [lesson] = store.lessons()
    assert lesson.text == "a put: b\u2039/experience\u203a"
    assert (lesson.stale, lesson.policy) == ("\u2039b\u203a", "x y")
