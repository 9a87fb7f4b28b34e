"""The store: one file, many processes, and files that are something else."""

import asyncio
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from experience_kit import make_card, make_tools

from toolmaster.errors import InputError
from toolmaster.experience import Experience, ExperienceStore
from toolmaster.experience.store import HANDED_CHARS
from toolmaster.tools import ToolSet


def test_what_is_put_is_found_again_in_another_store(store):
    card = store.put(make_card())
    assert ExperienceStore(store.path).cards() == [card]
    assert store.find("price") == store.find(card.id) == [card]
    assert store.find("cost") == []
    assert store.path.stat().st_mode & 0o077 == 0


def test_the_same_lesson_again_counts(store):
    first = store.put(make_card())
    store.count_handed([first])
    store.count_helped(first)
    store.mark_stale(first, "why not")
    store.put(make_card(lesson="Divide the result by 100.", policy="other"))
    [card] = store.cards()
    assert (card.learned, card.handed, card.helped, card.policy) == (2, 1, 1, "other")
    assert (card.stale, card.unchecked, card.lesson) == (None, 0, first.lesson)


def test_another_lesson_makes_the_one_before_it_stale(store):
    store.put(make_card())
    new = store.put(make_card(lesson="divide the result by 10"))
    elsewhere = store.put(make_card(source="market"))
    old = next(card for card in store.cards() if card.lesson.endswith("100") and card.stale)
    assert old.stale == "a later trial taught otherwise"
    assert store.best(make_tools().tools) == [new]
    assert store.best(make_tools(source="market").tools) == [elsewhere]


def test_cards_are_of_the_tools_given_in_their_order(store):
    tools = make_tools()
    assert store.best(tools.tools) == []
    put = store.put(make_card({"price": tools["put"]}, tool="put"))
    price = store.put(make_card())
    store.put(make_card(tool="gone"))
    assert store.best(tools.tools) == [price, put]
    assert store.best([tools["put"], tools["price"]]) == [put, price]
    assert store.best([tools["put"]]) == [put]


def test_a_changed_schema_is_another_tool(store):
    store.put(make_card())
    changed = make_tools(doc="Price in cents")
    assert store.best(changed.tools) == []
    [card] = store.cards()
    assert card.stale == "the tool's schema changed"


def test_tools_of_unnamed_sources_do_not_make_each_other_stale(store):
    card = store.put(make_card(source=""))
    assert store.best(make_tools(source="", doc="another").tools) == []
    assert store.best(make_tools(source="").tools) == [card]


def test_all_lines_together_are_bounded(store):
    tools = make_tools()
    many = [replace(tools["price"], name=f"tool_{n}") for n in range(40)]
    for tool in many:
        store.put(make_card(replace_in(tools, tool), lesson="x" * 200, tool=tool.name))
    lines = asyncio.run(Experience(store).hand(ToolSet(tuple(many)))).text.splitlines()
    assert 5 < len(lines) < 40
    assert sum(len(line) + 1 for line in lines) <= HANDED_CHARS
    assert lines[0].startswith("tool_0: xxx")


def replace_in(tools, tool):
    """The tools with one of them under its new name; `make_card` takes its schema."""
    return {"price": replace(tools["price"], name=tool.name)}


def test_failures_make_a_card_doubted_and_then_stale(store):
    card = store.put(make_card())
    store.count_helped(card)
    store.count_failed(card, "wrong")
    [doubted] = store.cards()
    assert (doubted.failed, doubted.stale) == (1, None)
    store.count_helped(card)
    assert store.cards()[0].failed == 0
    store.count_failed(card, "wrong")
    store.count_failed(card, "wrong\nagain <b>")
    assert store.cards()[0].stale == "wrong again ‹b›"  # noqa: RUF001


@pytest.mark.parametrize("fields", [{"helped": 0}, {"helped": 5, "evidence": ()}])
def test_one_failure_is_enough_without_merit_or_without_a_check(store, fields):
    card = store.put(make_card())
    store.forget([card])
    store.add(make_card(**fields))
    store.count_failed(card, "wrong")
    assert store.cards()[0].stale == "wrong"


def test_forget(store):
    one, two = store.put(make_card()), store.put(make_card(source="b"))
    assert store.forget([one]) == 1
    assert store.forget([one]) == 0
    assert store.forget([]) == 0
    assert store.cards() == [two]


WRITER = """
import sys
from pathlib import Path
from experience_kit import make_card
from toolmaster.experience import ExperienceStore
store = ExperienceStore(Path(sys.argv[1]))
for number in range(10):
    store.count_handed([store.put(make_card())])
    store.put(make_card(tool=f"own{sys.argv[2]}"))
"""


def test_several_processes_at_once_lose_nothing(tmp_path):
    file = tmp_path / "new" / "shared.db"
    folder = str(__file__).rpartition("/")[0]
    command = [sys.executable, "-W", "error", "-c", WRITER, str(file)]
    writers = [
        subprocess.Popen([*command, str(n)], env={"PYTHONPATH": f"{folder}:."}) for n in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    [shared] = ExperienceStore(file).find("price")
    assert (shared.learned, shared.handed) == (40, 40)
    assert [c.learned for c in ExperienceStore(file).cards() if c.tool != "price"] == [10] * 4


def foreign(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE places (url)")
    db.close()


def newer(path):
    ExperienceStore(path)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=7")
    db.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("not a database " * 100), "file is not a database"),
        (foreign, "is a database of something else; name another file"),
        (newer, "has experience of version 7; this toolmaster reads version 1"),
        (lambda path: path.mkdir(), "cannot be used for experience: unable to open"),
    ],
)
def test_other_files_are_refused_and_left_alone(tmp_path, make, message):
    path = tmp_path / "file"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=message):
        ExperienceStore(path)
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot keep experience in .*: File exists"):
        ExperienceStore(tmp_path / "file" / "experience.db")


def test_a_damaged_file_is_one_clear_error(store):
    for number in range(60):
        store.put(make_card(tool=f"t{number}"))
    content = bytearray(store.path.read_bytes())
    content[5000:] = b"\xff" * (len(content) - 5000)
    store.path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be used for experience: .*; move it away"):
        store.cards()


def test_a_card_changed_by_hand_is_one_clear_error(store):
    store.put(make_card())
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE cards SET helped = 'often'")
    db.close()
    with pytest.raises(InputError, match=r"a card in it is damaged .helped: "):
        store.cards()
