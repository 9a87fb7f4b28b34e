"""`toolmaster experience`, run as a user does."""

import json
import os
import subprocess
import sys

import pytest

from toolmaster.experience import Card, Evidence, ExperienceStore

SEEN = Evidence(name="fetch\x1b[31m", arguments={"a": "[bold]x"}, observation="450")


@pytest.fixture
def file(tmp_path):
    store = ExperienceStore(tmp_path / "experience.db")
    card = Card(
        tool="fetch_cost",
        source="shop.json",
        schema_hash="0123456789abcdef",
        lesson="divide the [bold]result by 100",
        evidence=(SEEN,),
        when="2030-01-02T03:04:05+00:00",
        policy="someone",
    )
    store.put(card)
    store.put(card.model_copy(update={"tool": "other", "stale": "contradicted"}))
    return store.path


def toolmaster(*arguments, file=None, **environment):
    command = [sys.executable, "-m", "toolmaster", "experience", *map(str, arguments)]
    command += ["--store", str(file)] if file is not None else []
    usual = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, check=False, env=usual)


def test_list(file):
    done = toolmaster("list", file=file)
    assert done.returncode == 0
    for word in ("fetch_cost", "shop.json", "divide the [bold]result by 100", "contradicted"):
        assert word in done.stdout


def test_a_narrow_terminal_breaks_no_id(file):
    cards = ExperienceStore(file).cards()
    shown = toolmaster("list", file=file, COLUMNS="60").stdout
    assert all(card.id in shown for card in cards)
    assert shown.count("shop.json") == 1


def test_show(file):
    done = toolmaster("show", "fetch_cost", file=file)
    assert "fetch_cost: divide the [bold]result by 100" in done.stdout
    assert "learned  1 times, last 2030-01-02T03:04:05+00:00 by someone" in done.stdout
    assert '{"a": "[bold]x"} -> 450' in done.stdout
    assert "\x1b" not in done.stdout
    assert "stale: contradicted" in toolmaster("show", "other", file=file).stdout


def test_forget(file):
    assert toolmaster("forget", "other", file=file).stdout == "forgot 1 card\n"
    missing = toolmaster("forget", "other", file=file)
    assert missing.returncode == 1
    assert "no card and no tool is called 'other'" in missing.stderr
    assert toolmaster("forget", file=file).returncode == 2
    assert toolmaster("forget", "x", "--all", file=file).returncode == 2
    assert toolmaster("forget", "--all", file=file).stdout == "forgot 1 card\n"
    assert ExperienceStore(file).cards() == []


def test_cards_listed_as_json_can_be_imported(file, tmp_path):
    exported = tmp_path / "cards.jsonl"
    exported.write_text(toolmaster("list", "--json", file=file).stdout)
    assert {json.loads(line)["tool"] for line in exported.read_text().splitlines()} == {
        "fetch_cost",
        "other",
    }
    exported.write_text(exported.read_text() + "nonsense\n")
    new = tmp_path / "new.db"
    done = toolmaster("import", exported, TOOLMASTER_EXPERIENCE=str(new))
    assert done.stdout == "2 taken, 1 left out\n"
    assert done.stderr.startswith("  line 3: Invalid JSON")
    assert len(ExperienceStore(new).cards()) == 2


@pytest.mark.parametrize("command", [("list",), ("show", "x"), ("forget", "--all")])
def test_no_experience_yet(tmp_path, command):
    done = toolmaster(*command, file=tmp_path / "none.db")
    assert done.returncode == 1
    assert "there is no experience in" in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_files_that_cannot_be_read(tmp_path, file):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("binary", "missing", "."):
        done = toolmaster("import", tmp_path / name, file=file)
        assert done.returncode == 1
        assert done.stderr.startswith("toolmaster: cannot read ")
        assert done.stderr.count(str(tmp_path)) == 1
    (tmp_path / "odd.db").write_text("odd" * 500)
    done = toolmaster("list", file=tmp_path / "odd.db")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "file is not a database" in done.stderr
