"""`toolmaster demonstrate` and `toolmaster propose` from the command line."""

import json

import pytest
from fake_endpoint import FakeModel, in_turn

from toolmaster.runs import read_lines

ANSWERS = "<think>So.</think><answer>4.5</answer>"
LOOKS = json.dumps({"calls": []})
PROPOSED = json.dumps({"tasks": [{"query": "Price of a lamp?"}]})


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PROPOSER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_the_oracle_of_a_task_set(toolmaster, tmp_path):
    code, out, error = toolmaster("demonstrate", "world:short", "--count", 3, f"run={tmp_path}")
    assert (code, "3/3" in error) == (0, True)
    assert "3 demonstrations of world:short/train" in out
    kept = tmp_path / "demonstrate" / "trajectories.jsonl"
    assert f"kept: toolmaster view {kept}" in error
    assert f"next: toolmaster sft MODEL {kept}" in error
    assert len(read_lines(kept)) == 3
    (tmp_path / "demonstrate" / "done.json").unlink()  # as if it had been stopped
    code, _, error = toolmaster("demonstrate", "world:short", "--count", 3, f"run={tmp_path}")
    assert (code, "3 of 3 rollouts are kept from before" in error) == (0, True)


def test_own_tools(toolmaster, tmp_path):
    (tmp_path / "shop.py").write_text(
        'EFFECTS = {"price": "read"}\ndef price() -> float:\n    """The price."""\n    return 4.5\n'
    )
    model = FakeModel(in_turn(LOOKS, PROPOSED, ANSWERS))
    with model.serve() as url:
        endpoint = ["openai:m", "--base-url", url]
        folder, shop = tmp_path / "proposals", tmp_path / "shop.py"
        given = ["--model", *endpoint, "--count", 1, "--out", folder]
        code, out, error = toolmaster("propose", shop, *given)
        assert (code, error) == (0, "")
        assert "1 tasks: " in out
        _, _, error = toolmaster("propose", shop, *given)
        assert f"responses are kept from before in {folder / 'responses.jsonl'}" in error
        tasks = f"{folder / 'proposals.jsonl'} tools={shop}"
        given = ["--teacher", *endpoint, f"run={tmp_path}", "demonstrate.rollouts=2"]
        code, out, error = toolmaster("demonstrate", tasks, *given, "protocol=direct")
    assert code == 0, error
    assert "1 demonstrations" in out
    [kept] = read_lines(tmp_path / "demonstrate" / "trajectories.jsonl")
    assert (kept["answer"], kept["tools"][0]["function"]["name"]) == ("4.5", "price")
    [agreed] = read_lines(tmp_path / "demonstrate" / "tasks.jsonl")
    assert (agreed["query"], agreed["answer"]) == ("Price of a lamp?", "4.5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["world:short"], "say how many demonstrations to keep, such as count=1000"),
        (["world tasks=1", "--teacher", "openai:m"], "no key for model 'm': set OPENAI_"),
        (["world tasks=1", "--prices", "a", "1"], "for --prices"),
        (["world tasks=1", "demonstrate.cuont=1"], "did you mean 'count'"),
        (["a", "b"], "or TASKSET; received 'a', 'b'"),
    ],
)
def test_one_message_for_what_cannot_be(toolmaster, tmp_path, arguments, message):
    code, _, error = toolmaster("demonstrate", *arguments, f"run={tmp_path / 'run'}")
    assert code in (1, 2)
    assert message in error
    assert error.splitlines()[-1].startswith("toolmaster: ")
    assert "Traceback" not in error
