"""A trajectory in the terminal: its turns by phase and, where there are tokens, what is trained.

The token view reads the ids of the record and nothing else, so it shows exactly the mask that
training uses. Text from models and tools is data: never rich markup, and control characters are
made visible, so a trajectory cannot move the cursor or recolour the terminal.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from toolmaster.types import Message, Phase, Step, Trajectory

PHASE_STYLE = {Phase.TRIAL: "cyan", Phase.EXECUTION: "magenta"}
OTHER_STYLE = "bright_black"
"""Tokens the policy did not write."""

_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_UNSEEN = (range(0x7F, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A))
"""Further controls: of the terminal, and of the direction in which text is shown."""
_CONTROLS |= {code: "\N{REPLACEMENT CHARACTER}" for codes in _UNSEEN for code in codes}


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    def decode(self, token_ids: list[int], /) -> Any:
        """The text of some tokens."""


def show_trajectory(
    trajectory: Trajectory, console: Console, *, tokenizer: Decoder | None = None
) -> None:
    """Print a trajectory.

    Args:
        trajectory: the record.
        console: where to print.
        tokenizer: when given, and the record holds token ids, the token stream follows: tokens with
            completion mask 1 in their phase's colour, all others dim.
    """
    _show_head(trajectory, console)
    phase: Phase | None = None
    for number, step in enumerate(trajectory.steps, start=1):
        if step.phase is not phase:
            phase = step.phase
            console.print(Rule(Text(f"{phase} phase"), style=PHASE_STYLE[phase]))
        _show_step(number, step, console)
    _show_end(trajectory, console)
    if tokenizer is not None and any(step.token_ids for step in trajectory.steps):
        _show_tokens(trajectory, console, tokenizer)


def visible(text: str) -> str:
    """Text with control characters (but newline and tab) replaced by signs."""
    return text.translate(_CONTROLS)


def _show_head(trajectory: Trajectory, console: Console) -> None:
    head = Text.assemble((visible(trajectory.task_id), "bold"), (f"  #{trajectory.rollout}", "dim"))
    labels = "  ".join(f"{key}={value}" for key, value in trajectory.labels.items())
    about = f"{trajectory.policy}, protocol {trajectory.protocol}\n{labels}".rstrip()
    console.print(Panel(Text(visible(about), style="dim"), title=head, title_align="left"))
    for message in trajectory.prompt:
        console.print(Text(message.role, style="bold blue"))
        _indented(message, console)
    names = [tool.get("function", tool) for tool in trajectory.tools]
    console.print(Text(f"tools ({len(names)})", style="bold blue"))
    for tool in names:
        parameters = ", ".join(tool.get("parameters", {}).get("properties", {}))
        signature = visible(f"{tool.get('name', '?')}({parameters})")
        line = Text.assemble(
            (signature, "bold"), (visible(f"  {tool.get('description', '')}"), "dim")
        )
        console.print(Padding(line, (0, 0, 0, 2)))


def _indented(message: Message, console: Console) -> None:
    console.print(Padding(Text(visible(message.content)), (0, 0, 0, 2)))


def _show_step(number: int, step: Step, console: Console) -> None:
    style = PHASE_STYLE[step.phase]
    line = Text.assemble((f"{number} ", "dim"), (f"{step.phase} ", style))
    line.append(step.action.value, f"bold {style}")
    if step.call is not None:
        arguments = json.dumps(step.call.arguments, ensure_ascii=False)
        line.append(visible(f"  {step.call.name} {arguments}"), style)
    if step.error is not None:
        line.append("  ").append(f" {step.error} ", "bold white on red")
    console.print(line)
    thought, tag, rest = step.text.partition("</think>")
    turn = Text.assemble((visible(thought + tag), "italic dim"), visible(rest))
    console.print(Padding(turn if tag else Text(visible(step.text)), (0, 0, 0, 4)))
    if step.observation is not None:
        colour = "red" if step.error is not None else "green"
        speaker = "observation" if step.observation_role == "tool" else "user"
        answer = Text.assemble((f"{speaker}  ", "dim"), (visible(step.observation), colour))
        console.print(Padding(answer, (0, 0, 0, 4)))


def _show_end(trajectory: Trajectory, console: Console) -> None:
    verdict = ("not scored", "bold yellow")
    score = trajectory.score
    if score is not None and score.success:
        verdict = ("success", "bold green")
    elif score is not None:
        wrong = " and ".join(name for name, right in score.parts.items() if right < 1)
        verdict = (f"failure: wrong {wrong or 'outcome'}", "bold red")
    stop = trajectory.stop_reason or "no stop reason"
    effort = f"{trajectory.completion_tokens} tokens, {trajectory.seconds:.1f} s"
    console.print(Rule(style="dim"))
    console.print(Text.assemble(verdict, (f"  {stop}, {effort}", "dim")))
    if score is not None and not score.success and score.expected:
        console.print(Text.assemble(("expected  ", "bold"), visible(score.expected)))
    if trajectory.answer is not None:
        console.print(Text.assemble(("answer  ", "bold"), visible(trajectory.answer)))
    if trajectory.error is not None:
        console.print(Text(visible(f"rollout error: {trajectory.error}"), style="bold red"))


def _show_tokens(trajectory: Trajectory, console: Console, tokenizer: Decoder) -> None:
    """The token stream, one id decoded at a time, with the mask of `completion_ids`."""
    stream = Text()
    written = other = 0

    def add(ids: list[int], style: str) -> None:
        for token_id in ids:
            stream.append(visible(str(tokenizer.decode([token_id]))), style)

    add(trajectory.prompt_ids, OTHER_STYLE)
    other += len(trajectory.prompt_ids)
    for index, step in enumerate(trajectory.steps):
        add(step.token_ids, f"bold {PHASE_STYLE[step.phase]}")
        written += len(step.token_ids)
        if index + 1 < len(trajectory.steps):
            add(step.observation_ids, OTHER_STYLE)
            other += len(step.observation_ids)
    console.print(Rule("tokens", style="dim"))
    legend = Text.assemble(
        "completion mask 1: ",
        ("trial tokens", f"bold {PHASE_STYLE[Phase.TRIAL]}"),
        ", ",
        ("execution tokens", f"bold {PHASE_STYLE[Phase.EXECUTION]}"),
        f" ({written});  mask 0: ",
        ("prompt and observations", OTHER_STYLE),
        f" ({other})",
    )
    console.print(legend)
    console.print(stream)
