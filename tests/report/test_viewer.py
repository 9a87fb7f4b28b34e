"""What the terminal viewer prints."""

import io

import pytest
from made_report import two_steps
from rich.console import Console

from toolmaster.errors import ConfigError, InputError
from toolmaster.report.viewer import browse, said, show_trajectory
from toolmaster.runs import write_records
from toolmaster.system.terminal import visible
from toolmaster.types import (
    ActionKind,
    Phase,
    Score,
    Step,
)

WORDS = {1: "<p>", 2: "try", 3: "<obs>", 4: "answer", 5: "<end>"}


def trajectory(text="<think>hm</think>[bold]x[/bold]", success=False, ids=True):
    tool = {"name": "bake", "description": "Bakes.", "parameters": {"properties": {"q": {}}}}
    return two_steps(
        "Bake two.",
        text,
        tool,
        "too many",
        "done",
        ids,
        task_id="v6/test/7",
        policy="p@3",
        score=Score.of(success, "two loaves", answer=True, state=success),
        labels={"family": "loud"},
        completion_tokens=3,
        prompt_ids=[1] if ids else [],
    )


def recorded(record, decode=None, styles=False):
    console = Console(
        record=True,
        width=100,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    show_trajectory(record, console, decode=decode)
    return console.export_text(styles=styles)


def test_a_trajectory_is_told_in_order():
    text = recorded(trajectory())
    parts = [
        "v6/test/7",
        "p@3, protocol trial, rollout 0",
        "family=loud",
        "Bake two.",
        "bake(q)  Bakes.",
        "trial phase",
        "hm",
        '1 call  bake {"q": 2}   tool_error',
        "error: too many",
        "execution phase",
        "2 answer",
        "done",
        "failed: wrong state  answered, 3 tokens",
        "expected  two loaves",
        "answered  done",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_success_and_unscored_runs_are_named():
    assert "solved  answered" in recorded(trajectory(success=True))
    unscored = trajectory().model_copy(update={"score": None})
    assert "answered  answered, 3 tokens" in recorded(unscored)
    broken = unscored.model_copy(update={"error": "endpoint down"})
    assert "broke     endpoint down" in recorded(broken)


def test_tokens_carry_their_mask_and_phase_as_colour():
    text = recorded(trajectory(), WORDS.get, styles=True)
    stream = text[text.index("mask 0") :]
    trial, execution, other = "\x1b[1;36m", "\x1b[1;35m", "\x1b[90m"
    assert f"{other}<p>\x1b[0m{trial}try\x1b[0m{trial}try\x1b[0m{other}<obs>" in stream
    assert f"{execution}answer\x1b[0m" in stream
    # What follows the last sampled token is no part of what is trained.
    assert "<end>" not in stream


def test_the_legend_counts_both_kinds():
    text = recorded(trajectory(), WORDS.get)
    assert "completion mask 1: trial tokens, execution tokens (3);" in text
    assert "mask 0: prompt and observations (2)" in text


def test_no_token_stream_without_ids_or_tokenizer():
    assert "completion mask" not in recorded(trajectory(ids=False), WORDS.get)
    assert "completion mask" not in recorded(trajectory())


def test_terminal_codes_in_a_trajectory_are_shown_not_obeyed():
    text = recorded(trajectory(text="<think>\x1b[2Jgone</think>"), styles=True)
    assert "\x1b[2J" not in text
    assert "␛[2Jgone" in text
    assert visible("a\tb\n\x07\x9b") == "a\tb\n␇�"


@pytest.mark.parametrize(
    ("action", "text", "expected"),
    [
        (ActionKind.CALL, "<think>hm</think><tool_call>{}</tool_call>", ("hm", "")),
        (ActionKind.ANSWER, "<think>hm</think>\n<answer>4\n</answer>", ("hm", "4")),
        (ActionKind.ANSWER, "<answer>4</answer>", ("", "4")),
        (ActionKind.ANSWER, "four", ("", "four")),
        (ActionKind.EXPERIENCE, "so<experience>a: b</experience>", ("", "a: b")),
        (ActionKind.INVALID, "<think>hm</think>oops", ("", "<think>hm</think>oops")),
    ],
)
def test_a_turn_is_split_into_thought_and_saying(action, text, expected):
    assert said(Step(text=text, phase=Phase.TRIAL, action=action)) == expected


@pytest.fixture
def run(tmp_path):
    """A run folder with the records of two models."""
    for name in ("sft", "grpo"):
        (tmp_path / "evaluate").mkdir(exist_ok=True)
        group = [trajectory(success=i > 0) for i in range(3)]
        group = [t.model_copy(update={"policy": name, "taskset": "w"}) for t in group]
        write_records(tmp_path / "evaluate" / f"{name}.jsonl", group)
    return tmp_path


def browsed(place, index=None, width=80, **options):
    console = Console(file=io.StringIO(), width=width)
    browse(place, index, console, **options)
    return console.file.getvalue()


def test_a_list_has_a_line_for_each_record(run):
    lines = browsed(run / "evaluate" / "sft.jsonl").splitlines()
    rows = [line.split() for line in lines if "v6/test" in line]
    assert rows[0] == ["0", "v6/test/7", "done", "1", "failed"]
    assert [row[-1] for row in rows] == ["failed", "solved", "solved"]
    assert "3 of 3 records, 2 solved; show one: toolmaster view" in lines[-1]


def test_a_run_is_listed_and_filtered_by_outcome_and_text(run):
    def numbers(**options):
        return [
            line.split()[0] for line in browsed(run, **options).splitlines() if "v6/test" in line
        ]

    assert numbers() == ["0", "1", "2", "3", "4", "5"]
    assert numbers(failed=True) == ["0", "3"]
    assert numbers(only="sft") == ["3", "4", "5"]
    assert numbers(only="family=loud", failed=True) == ["0", "3"]
    assert numbers(only="nothing") == []


def test_what_was_sent_is_shown_as_it_was(tmp_path):
    call = {"id": "c1", "function": {"name": "bake", "arguments": "{}"}}
    sent = [{"role": "user", "content": "Bake \x1b two."}, {"role": "assistant", "content": None,
            "tool_calls": [call]}]  # fmt: skip
    write_records(tmp_path / "a.jsonl", [trajectory().model_copy(update={"sent": sent})])
    shown = browsed(tmp_path / "a.jsonl", 0, sent=True)
    assert "\x1b" not in shown
    assert '"tool_calls"' in shown
    assert '"arguments": "{}"' in shown
    write_records(tmp_path / "b.jsonl", [trajectory()])
    assert "nothing was sent" in browsed(tmp_path / "b.jsonl", 0, sent=True)
    with pytest.raises(ConfigError, match="NUMBER --sent"):
        browsed(tmp_path / "a.jsonl", sent=True)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_list_fits_its_terminal(tmp_path, width):
    long = trajectory().model_copy(update={"answer": "an answer\n" * 30, "task_id": "t" * 90})
    write_records(tmp_path / "a.jsonl", [long.model_copy(update={"taskset": "w"})])
    lines = browsed(tmp_path / "a.jsonl", width=width).splitlines()[:-1]
    assert max(map(len, lines)) <= width
    assert "failed" in lines[3]


def test_one_record_of_a_run_is_shown(run):
    assert "sft, protocol trial" in browsed(run, 3)
    assert browsed(run, -1) == browsed(run, 5)
    with pytest.raises(InputError, match="holds 6 trajectories; there is no 6"):
        browsed(run, 6)


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no trajectories; give a run's folder or"):
        browsed(tmp_path)
