"""Run folders: nothing is lost to a kill, nothing is mixed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError
from toolmaster.protocols import Protocol
from toolmaster.runs import (
    Run,
    append_line,
    append_trajectory,
    read_lines,
    read_models,
    read_trajectories,
    read_written,
    write_atomically,
)
from toolmaster.types import (
    ActionKind,
    ErrorKind,
    Message,
    Phase,
    Score,
    Step,
    StopReason,
    ToolCall,
    Trajectory,
)


class Part(Settings):
    rate: float = 0.5
    steps: int = 1


class Recipe(Settings):
    seed: int = 0
    part: Part = Part()
    weights: dict[str, float] = Field(default_factory=dict)


def trajectory(**fields):
    call = ToolCall(name="get", arguments={"x": [1, 2.5, None, "é\u2028"]})
    steps = [
        Step(
            text="<think>\n</think>",
            phase=Phase.TRIAL,
            action=ActionKind.CALL,
            call=call,
            observation="",
            error=ErrorKind.TIMEOUT,
            token_ids=[1],
            observation_ids=[2],
        ),
        Step(text="b", phase=Phase.EXECUTION, action=ActionKind.ANSWER),
    ]
    settings = {
        "task_id": "v6/train/1",
        "protocol": Protocol.TRIAL,
        "policy": "p@1",
        "prompt": [Message(role="user", content="q")],
        "tools": [{"type": "function"}],
        "steps": steps,
        "stop_reason": StopReason.ANSWERED,
        "answer": "4",
        "score": Score.of(True, answer=True, state=True),
        "labels": {"split": "seen"},
        "seconds": 1.5,
    }
    return Trajectory(**(settings | fields))


def bare():
    return Trajectory(task_id="t", protocol="direct", policy="p", prompt=[], tools=[])


@pytest.fixture
def lines(tmp_path):
    return tmp_path / "lines.jsonl"


def test_lines_round_trip(lines):
    records = [{"a": 1}, {"b": {"c": ["é\u2028", None]}}]
    for record in records:
        append_line(lines, record)
    assert read_lines(lines) == records
    assert lines.read_bytes().count(b"\n") == 2


def test_a_missing_file_is_empty(lines):
    assert read_lines(lines) == []


def test_a_torn_last_line_is_dropped_and_mended_wherever_it_was_cut(lines):
    whole, torn, later = {"a": 1}, {"s": "é", "b": {"c": [1, {"d": 2}]}, "e": True}, {"f": 3}
    append_line(lines, whole)
    start = lines.read_bytes()
    data = json.dumps(torn, ensure_ascii=False).encode()
    for cut in range(1, len(data)):
        lines.write_bytes(start + data[:cut])
        assert read_lines(lines) == [whole], cut
        append_line(lines, later)
        assert read_lines(lines) == [whole, later], cut


def test_a_last_line_that_only_lacks_its_end_is_kept(lines):
    lines.write_bytes(b'{"a": 1}\n{"b": 2}')
    assert read_lines(lines) == [{"a": 1}, {"b": 2}]
    append_line(lines, {"c": 3})
    assert read_lines(lines) == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_torn_only_line(lines):
    lines.write_bytes(b'{"a"')
    append_line(lines, {"c": 3})
    assert lines.read_bytes() == b'{"c": 3}\n'


@pytest.mark.parametrize("damage", [b'{"a": }', b'{"a', b"\xff\xfe{}", b"hello"])
@pytest.mark.parametrize("end", [b'{"b": 2}\n', b""])
def test_a_damaged_whole_line_is_named(lines, damage, end):
    lines.write_bytes(b'{"a": 1}\n\n' + damage + b"\n" + end)
    with pytest.raises(InputError, match=r"lines\.jsonl, line 3: not valid JSON .*remove that"):
        read_lines(lines)


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"cannot append to .*: Is a directory; what was written"):
        append_line(tmp_path, {})


def test_trajectory_round_trip(tmp_path):
    path = tmp_path / "trajectories.jsonl"
    for one in (trajectory(), bare()):
        append_trajectory(path, one)
    assert read_trajectories(path) == [trajectory(), bare()]
    first, second = read_lines(path)
    assert first["steps"][0]["error"] == "timeout"
    assert second == {
        "format": 1,
        "task_id": "t",
        "protocol": "direct",
        "policy": "p",
        "prompt": [],
        "tools": [],
    }


def test_trajectories_of_a_missing_file(lines):
    with pytest.raises(InputError, match="no such file"):
        read_trajectories(lines)


def test_a_record_that_is_no_trajectory(lines):
    append_trajectory(lines, bare())
    append_line(lines, {**bare().model_dump(mode="json"), "surprise": 1})
    with pytest.raises(InputError, match="line 2: surprise: Extra inputs are not permitted"):
        read_trajectories(lines)


def test_what_somebody_wrote_must_be_whole(lines):
    lines.write_bytes(b'\xef\xbb\xbf{"steps": 2}\r\n\n{"steps": 3}')
    assert list(read_written(lines, Part)) == [(1, Part(steps=2)), (3, Part(steps=3))]
    lines.write_bytes(b'{"steps": 2}\n{"steps": ')
    assert read_models(lines, Part) == [Part(steps=2)]  # a kill may tear what we write
    with pytest.raises(InputError, match=r"lines.jsonl, line 2: not valid JSON \("):
        list(read_written(lines, Part))
    lines.write_bytes(b'{"step": 2}')
    with pytest.raises(InputError, match=r"line 1: step: .*; a line may have rate, steps"):
        list(read_written(lines, Part))
    lines.unlink()
    assert read_models(lines, Part) == []
    with pytest.raises(InputError, match=r"cannot read .*lines\.jsonl: No such file"):
        list(read_written(lines, Part))


def test_write_atomically(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]

    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("toolmaster.runs.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "half")
    assert path.read_text() == "new"


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    write_atomically(path, "old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("toolmaster.runs.os.replace", full)
    with pytest.raises(InputError, match=r"cannot write .*config\.json: No space left on device;"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="No such file or directory"):
        write_atomically(tmp_path / "none" / "config.json", "new")


def test_a_run_keeps_its_settings(tmp_path):
    folder = tmp_path / "runs" / "a"
    Run(folder, Recipe(seed=3))
    assert json.loads((folder / "config.json").read_text()) == {
        "seed": 3,
        "part": {"rate": 0.5, "steps": 1},
        "weights": {},
    }
    Run(folder, Recipe(seed=3))


def test_a_run_that_made_nothing_may_begin_with_other_settings(tmp_path):
    """A mistyped name of a file or a model is mended in the same folder."""
    Run(tmp_path, Recipe()).stage("sft")
    Run(tmp_path, Recipe(seed=1))
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 1


def test_a_run_refuses_other_settings(tmp_path):
    Run(tmp_path, Recipe()).finish("sft")
    with pytest.raises(ConfigError) as caught:
        Run(tmp_path, Recipe(seed=1, part=Part(steps=2), weights={"format": 1.0}))
    assert str(caught.value) == (
        f"{tmp_path} was begun with other settings (part.steps: 1 -> 2; seed: 0 -> 1;"
        " weights.format: None -> 1.0); give another run=FOLDER, or remove this one"
    )
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 0


def test_a_run_that_was_moved_is_the_same_run(tmp_path):
    class Placed(Recipe):
        run: Path = Path("here")

    Run(tmp_path, Placed()).finish("sft")
    Run(tmp_path, Placed(run=Path("there")))
    assert json.loads((tmp_path / "config.json").read_text())["run"] == "there"


def test_facts_count_like_settings(tmp_path):
    Run(tmp_path, Recipe(), facts={"world_version": "v1"}).finish("sft")
    Run(tmp_path, Recipe(), facts={"world_version": "v1"})
    with pytest.raises(ConfigError, match=r"\(world_version: 'v1' -> 'v2'\)"):
        Run(tmp_path, Recipe(), facts={"world_version": "v2"})


def test_half_a_character_is_kept_as_a_question_mark(tmp_path):
    path = tmp_path / "lines.jsonl"
    append_line(path, {"text": "a\ud83d"})
    assert read_lines(path) == [{"text": "a?"}]
    write_atomically(path, "b\ud83d")
    assert path.read_text() == "b?"


def test_many_differences_are_counted(tmp_path):
    Run(tmp_path, Recipe()).finish("sft")
    weights = dict.fromkeys("abcdefg", 1.0)
    with pytest.raises(ConfigError, match=r"weights\.e: None -> 1\.0 and 2 more\)"):
        Run(tmp_path, Recipe(weights=weights))


def test_a_damaged_config(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        Run(tmp_path, Recipe())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write the run folder .*Not a directory"):
        Run(tmp_path / "file" / "run", Recipe())


def test_stages(tmp_path):
    run = Run(tmp_path, Recipe())
    assert not run.is_done("sft")
    assert run.stage("sft").is_dir()
    assert not run.is_done("sft")
    run.finish("sft", seconds=2.5, count=3)
    assert run.is_done("sft")
    assert json.loads((tmp_path / "sft" / "done.json").read_text()) == {"seconds": 2.5, "count": 3}
    run.finish("eval")
    assert run.is_done("eval")


def test_a_finished_stage_keeps_its_model_alone(tmp_path):
    run = Run(tmp_path, Recipe())
    for part in ("sft/model", "sft/checkpoints/checkpoint-40", "grpo/checkpoints/checkpoint-1"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "weights").write_text("...")
    run.finish("sft")
    assert [path.name for path in run.stage("sft").iterdir() if path.is_dir()] == ["model"]
    assert (tmp_path / "grpo" / "checkpoints" / "checkpoint-1" / "weights").is_file()


def test_metrics_of_a_repeated_step_are_the_later_ones(tmp_path):
    run = Run(tmp_path, Recipe())
    assert run.metrics() == []
    run.log("sft", 1, {"loss": 3.0})
    run.log("sft", 2, {"loss": 2.0})
    run.log("sft", 2, {"runtime": 9})  # another kind of line of the same step
    run.log("grpo", 2, {"loss": 5.0})
    run.log("sft", 2, {"loss": 1.5})
    assert run.metrics() == [
        {"stage": "sft", "step": 1, "loss": 3.0},
        {"stage": "sft", "step": 2, "loss": 1.5},
        {"stage": "sft", "step": 2, "runtime": 9},
        {"stage": "grpo", "step": 2, "loss": 5.0},
    ]


WRITER = """
import sys
from pathlib import Path
from toolmaster.runs import append_line, write_atomically
file, whole, name, count = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    append_line(file, {"by": name, "number": number, "text": "y" * (number * 37 % 20_000)})
    if number % 20 == 0:
        write_atomically(whole, name * 50_000)
"""


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path):
    """Three of them, a thousand records each, some larger than a buffer; the first line is torn."""
    file, whole, count = tmp_path / "app.jsonl", tmp_path / "whole.txt", 1000
    file.write_text('{"by": "nobo')
    command = [sys.executable, "-c", WRITER, str(file), str(whole)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    writers = [subprocess.Popen([*command, name, str(count)], text=True, **pipes) for name in "abc"]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.communicate()[1] for writer in writers] == [""] * 3
    records = read_lines(file)
    for name in "abc":
        assert [r["number"] for r in records if r["by"] == name] == list(range(count))
    assert len(records) == 3 * count
    assert whole.read_text() in {name * 50_000 for name in "abc"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.jsonl", "whole.txt"]


FULL = """
import resource, signal, sys
from pathlib import Path
from toolmaster.errors import InputError
from toolmaster.runs import append_line
path = Path(sys.argv[1])
append_line(path, {"i": 0})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    append_line(path, {"x": "y" * 50_000})
except InputError as error:
    print(error)
append_line(path, {"i": 1})
"""


def test_a_line_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path):
    path = tmp_path / "lines.jsonl"
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "what was written before is intact" in done.stdout
    assert path.read_text() == '{"i": 0}\n{"i": 1}\n'


@pytest.mark.parametrize("levels", [250, 5000])
def test_a_line_nested_without_end_is_named(lines, levels):
    lines.write_text('{"i": 0}\n{"i": ' + "[" * levels + "]" * levels + "}\n{}\n")
    with pytest.raises(InputError, match=r"line 2: not valid JSON .*nested deeper than 200"):
        read_lines(lines)


def test_a_trajectory_says_its_format_and_another_one_is_refused(tmp_path):
    file = tmp_path / "trajectories.jsonl"
    append_trajectory(file, trajectory())
    [line] = read_lines(file)
    assert line["format"] == 1
    file.write_text(json.dumps(line | {"format": 2}) + "\n")
    with pytest.raises(InputError, match=r"line 1: format: Input should be 1"):
        read_trajectories(file)


def test_the_published_schema_is_that_of_a_trajectory():
    published = Path(__file__).parents[1] / "docs" / "trajectory.schema.json"
    assert json.loads(published.read_text()) == Trajectory.model_json_schema()
