"""What the terminal viewer prints."""

import io

from rich.console import Console

from toolmaster.report import show_trajectory
from toolmaster.report.viewer import visible
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

WORDS = {1: "<p>", 2: "try", 3: "<obs>", 4: "answer", 5: "<end>"}


class Tokenizer:
    """Decodes one id to one word, as the viewer asks for."""

    def decode(self, token_ids):
        (token_id,) = token_ids
        return WORDS[token_id]


def trajectory(text="<think>hm</think>[bold]x[/bold]", success=False, ids=True):
    steps = [
        Step(
            text=text,
            phase=Phase.TRIAL,
            action=ActionKind.CALL,
            call=ToolCall(name="bake", arguments={"q": 2}),
            observation="error: too many",
            error=ErrorKind.TOOL_ERROR,
            token_ids=[2, 2] if ids else [],
            observation_ids=[3] if ids else [],
        ),
        Step(
            text="<answer>done</answer>",
            phase=Phase.EXECUTION,
            action=ActionKind.ANSWER,
            token_ids=[4] if ids else [],
            observation_ids=[5] if ids else [],
        ),
    ]
    tool = {"name": "bake", "description": "Bakes.", "parameters": {"properties": {"q": {}}}}
    return Trajectory(
        task_id="v5/unseen/bakery/loud/7",
        protocol="trial",
        policy="p@3",
        prompt=[Message(role="user", content="Bake two.")],
        tools=[{"type": "function", "function": tool}],
        steps=steps,
        stop_reason=StopReason.ANSWERED,
        answer="done",
        score=Score.of(success, answer=True, state=success),
        labels={"family": "loud"},
        completion_tokens=3,
        prompt_ids=[1] if ids else [],
    )


def recorded(record, tokenizer=None, styles=False):
    console = Console(
        record=True,
        width=100,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    show_trajectory(record, console, tokenizer=tokenizer)
    return console.export_text(styles=styles)


def test_a_trajectory_is_told_in_order():
    text = recorded(trajectory())
    parts = [
        "v5/unseen/bakery/loud/7",
        "p@3, protocol trial",
        "family=loud",
        "Bake two.",
        "bake(q)  Bakes.",
        "trial phase",
        '1 trial call  bake {"q": 2}   tool_error',
        "<think>hm</think>[bold]x[/bold]",
        "error: too many",
        "execution phase",
        "2 execution answer",
        "failure: wrong state  answered, 3 tokens",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)


def test_success_and_unscored_runs_are_named():
    assert "success  answered" in recorded(trajectory(success=True))
    unscored = trajectory().model_copy(update={"score": None, "error": "endpoint down"})
    text = recorded(unscored)
    assert "not scored" in text
    assert "rollout error: endpoint down" in text


def test_tokens_carry_their_mask_and_phase_as_colour():
    text = recorded(trajectory(), Tokenizer(), styles=True)
    stream = text[text.index("mask 0") :]
    trial, execution, other = "\x1b[1;36m", "\x1b[1;35m", "\x1b[90m"
    assert f"{other}<p>\x1b[0m{trial}try\x1b[0m{trial}try\x1b[0m{other}<obs>" in stream
    assert f"{execution}answer\x1b[0m" in stream
    # What follows the last sampled token is no part of what is trained.
    assert "<end>" not in stream


def test_the_legend_counts_both_kinds():
    text = recorded(trajectory(), Tokenizer())
    assert "completion mask 1: trial tokens, execution tokens (3);" in text
    assert "mask 0: prompt and observations (2)" in text


def test_no_token_stream_without_ids_or_tokenizer():
    assert "completion mask" not in recorded(trajectory(ids=False), Tokenizer())
    assert "completion mask" not in recorded(trajectory())


def test_terminal_codes_in_a_trajectory_are_shown_not_obeyed():
    text = recorded(trajectory(text="\x1b[2Jgone"), styles=True)
    assert "\x1b[2J" not in text
    assert "␛[2Jgone" in text
    assert visible("a\tb\n\x07\x9b") == "a\tb\n␇�"
