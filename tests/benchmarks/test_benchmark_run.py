"""`toolmaster evaluate --benchmark`: from a file to figures and report, and what can go wrong."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from made_rows import toolhop_row

from toolmaster import cli
from toolmaster.benchmarks.settings import SAMPLING, settings_for
from toolmaster.benchmarks.toolhop import LIMITS
from toolmaster.runs import read_trajectories

ADA = {"name": "home_town", "arguments": {"person": "Ada Lane"}}
BEN = {"name": "home_town", "arguments": {"person": "Ben Moor"}}
ASHBY = {"name": "founding_year", "arguments": {"town": "Ashby"}}
BRILL = {"name": "founding_year", "arguments": {"town": "Brill"}}
REPLAYS = {
    "toolhop/1": {"calls": [ADA, ASHBY], "answer": "1640"},
    "toolhop/2": {"calls": [BEN, BRILL], "answer": "1700"},
}


@pytest.fixture
def toolmaster(monkeypatch, capsys):
    """A function: run a command here; returns exit code, output and error output."""
    monkeypatch.setenv("GLIBC_TUNABLES", "")  # or it would start this process again

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["toolmaster", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        shown = capsys.readouterr()
        return stop.value.code or 0, shown.out, shown.err

    return run


@pytest.fixture
def rows(write):
    broken = toolhop_row(3, functions=[])
    second = toolhop_row(2, "Ben Moor", "Brill", "1702")
    return write("rows.json", [toolhop_row(1), second, broken])


@pytest.fixture
def evaluate(toolmaster, rows, tmp_path):
    """A function: evaluate on the made-up ToolHop file; returns what `toolmaster` does."""

    def run(*arguments):
        where = f"run={tmp_path / 'run'}"
        return toolmaster("evaluate", "--benchmark", "toolhop", "--data", rows, where, *arguments)

    return run


def figure(tmp_path, name):
    facts = json.loads((tmp_path / "run" / "figures.json").read_text())
    return facts["figures"]["all"][name]["share"]["mean"]


def test_a_replay_from_file_to_report(evaluate, write, tmp_path):
    code, out, error = evaluate("--replay", write("calls.json", REPLAYS))
    assert (code, error) == (0, "")
    assert "Rows left out" in out
    run = tmp_path / "run"
    assert [t.task_id for t in read_trajectories(run / "trajectories.jsonl")] == [*REPLAYS]
    assert (figure(tmp_path, "success"), figure(tmp_path, "strict")) == (0.5, 0.5)
    assert figure(tmp_path, "tool_recall") == 1.0
    results = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    assert [line["values"]["strict"] for line in results] == [1.0, 0.0]
    [left_out] = [json.loads(line) for line in (run / "left_out.jsonl").read_text().splitlines()]
    assert (left_out["file"], left_out["row"]) == ("rows.json", 2)
    facts = json.loads((run / "figures.json").read_text())
    assert (facts["rollouts"], facts["left_out"], facts["broken"]) == (2, 1, 0)
    assert facts["facts"]["isolation"]
    page = (run / "report.html").read_text()
    for shown in ("answer contains", "Success by number of calls", "reasoning error", "row 2"):
        assert shown in page


def test_a_stopped_run_continues(evaluate, write, tmp_path):
    calls = write("calls.json", REPLAYS)
    evaluate("--replay", calls)
    file = tmp_path / "run" / "trajectories.jsonl"
    first = file.read_text().splitlines()[0]
    file.write_text(first + '\n{"task_id": "toolhop/2", "prot')  # as a kill leaves it
    assert evaluate("--replay", calls)[0] == 0
    kept = file.read_text().splitlines()
    assert (len(kept), kept[0]) == (2, first)
    assert figure(tmp_path, "success") == 0.5


def test_a_case_that_cannot_be_measured_is_named_and_counts_as_failed(
    evaluate, write, tmp_path, monkeypatch
):
    def exact(answer, gold):
        if answer == "1640":
            raise IndexError("string index out of range")
        return answer == gold

    monkeypatch.setattr("toolmaster.benchmarks.toolhop.exact", exact)
    code, out, error = evaluate("--replay", write("calls.json", REPLAYS))
    assert (code, error) == (0, "")
    told = "toolhop/1 cannot be measured and counts as failed: IndexError: string index out of"
    assert told in " ".join(out.split())
    lines = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
    [first, second] = [json.loads(line)["values"] for line in lines]
    assert first["not_measured"] == "IndexError: string index out of range"
    assert (first["success"], first["answer_contains"], first["steps_solved"]) == (0.0, 0.0, 0.0)
    assert "not_measured" not in second
    assert figure(tmp_path, "answer_exact") == 0.0
    held = read_trajectories(tmp_path / "run" / "trajectories.jsonl")
    assert held[0].success  # the file has what happened


def test_other_settings_are_refused(evaluate, write):
    evaluate("--replay", write("calls.json", REPLAYS))
    code, _, error = evaluate("--replay", write("calls.json", REPLAYS), "limits.max_turns=3")
    assert code == 2
    assert "was begun with other settings (limits.max_turns: 16 -> 3)" in error


def test_a_changed_setting_leaves_its_neighbours_alone():
    settings = settings_for("toolhop", ["replay=gold", "sampling.slots=2", "limits.max_turns=3"])
    assert settings.sampling == SAMPLING.model_copy(update={"slots": 2})
    assert settings.limits == LIMITS.model_copy(update={"max_turns": 3})


def test_familiarity_on_request(evaluate, write, tmp_path):
    calls = write("calls.json", REPLAYS)
    evaluate("--replay", calls)
    training = tmp_path / "run" / "trajectories.jsonl"
    options = ("--replay", calls, f"training={training}", f"run={tmp_path / 'again'}")
    code, out, _ = evaluate(*options)
    assert code == 0
    assert "Familiarity of the tools" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--replay", "none.json"], 1, "cannot read the replay none.json"),
        ([], 2, "give either --model MODEL or --replay FILE"),
        (["--model", "m", "--replay", "f"], 2, "give either --model MODEL or --replay FILE"),
        (["--model", "no/such/model"], 1, "'no/such/model' is no checkpoint folder"),
        (["--model", "hf:no/such"], 1, "'no/such' is no checkpoint folder"),
        (["--replay", "gold"], 1, "the replay 'gold' has calls for none of the tasks"),
        (["--replay", "gold", "task=3"], 2, "unknown key 'task' (did you mean 'tasks'?)"),
        (["--replay", "gold", "options.judge=m"], 2, "unknown key 'judge'"),
        (["--replay", "gold", "training=none.jsonl"], 1, "none.jsonl: no such file"),
        (["--replay", "gold", "--data", "none.json"], 1, "cannot read none.json"),
    ],
)
def test_one_message(evaluate, arguments, code, message):
    got, _, error = evaluate(*arguments)
    assert error.startswith("toolmaster: ")
    assert error.count("\n") == 1
    assert message in error
    assert got == code


def test_no_usable_row(toolmaster, write, tmp_path):
    path = write("rows.json", [{"id": 5}])
    options = ("--data", path, "--replay", "gold", f"run={tmp_path / 'run'}")
    code, _, error = toolmaster("evaluate", "--benchmark", "toolhop", *options)
    assert code == 1
    assert "1 rows could not be loaded; the first: rows.json, row 0, question: Field" in error


def test_an_address_stays_an_address(toolmaster, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    url = "http://127.0.0.1:9/v1"
    given = (f"base_url={url}", f"run={tmp_path / 'run'}", "--data", rows, "--model", "openai:m")
    code, _, error = toolmaster("evaluate", "--benchmark", "toolhop", *given)
    assert code == 1
    assert f"at {url}" in error


def test_no_such_benchmark_and_nothing_to_do(toolmaster):
    code, _, error = toolmaster("evaluate", "--benchmark", "moon")
    assert code == 2
    assert "no benchmark 'moon'; there are: toolhop" in error
    code, _, error = toolmaster("evaluate")
    assert code == 2
    assert "RECIPE" in error


class Endpoint(BaseHTTPRequestHandler):
    """A chat endpoint: a model that asks for the home town, then the year, then answers."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        turns = [m for m in body["messages"] if m["role"] == "assistant"]
        person, town, year = ("Ada Lane", "Ashby", 1640)
        if "Ben Moor" in body["messages"][1]["content"]:
            person, town, year = ("Ben Moor", "Brill", 1702)
        calls = [
            {"name": "home_town", "arguments": {"person": person}},
            {"name": "founding_year", "arguments": {"town": town}},
        ]
        texts = [f"<tool_call>{json.dumps(call)}</tool_call>" for call in calls]
        texts = ["<experience>none</experience>", *texts, f"<answer>{year}</answer>"]
        message = {"role": "assistant", "content": texts[len(turns)]}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
        data = json.dumps(answer | {"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def test_a_model_behind_an_endpoint(evaluate, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"base_url=http://127.0.0.1:{server.server_port}/v1"
        code, _, error = evaluate("--model", "openai:m", url)
    finally:
        server.shutdown()
        server.server_close()
    assert (code, error) == (0, "")
    assert figure(tmp_path, "strict") == 1.0


def test_a_dead_endpoint_is_one_message_at_once(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr("toolmaster.policies.endpoint.LONGEST_WAIT_S", 0.0)
    code, _, error = evaluate("--model", "openai:m", "base_url=http://127.0.0.1:9/v1")
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("toolmaster: model 'm' at http://127.0.0.1:9/v1: it cannot be reached")
    assert all(t.error for t in read_trajectories(tmp_path / "run" / "trajectories.jsonl"))


def test_a_checkpoint(evaluate, tiny_folder, tmp_path, monkeypatch):
    from toolmaster.policies import compiled  # noqa: PLC0415

    monkeypatch.setattr(compiled, "compile_blocks", lambda model: None)
    small = ("sampling.turn_tokens=8", "sampling.slots=2", "sampling.context_tokens=1500")
    code, _, error = evaluate("--model", f"hf:{tiny_folder}", *small, "limits.max_turns=2")
    assert (code, error) == (0, "")
    assert figure(tmp_path, "success") == 0.0
    held = read_trajectories(tmp_path / "run" / "trajectories.jsonl")
    assert all(t.error is None for t in held)
