"""Trajectories in the terminal: a list of records, or one record turn by turn.

Text from models and tools is data: never rich markup, and control characters are made visible, so a
trajectory cannot move the cursor or recolour the terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from toolmaster.errors import ConfigError, InputError
from toolmaster.progress import say
from toolmaster.runs import read_trajectories
from toolmaster.system.terminal import visible
from toolmaster.types import ActionKind, Phase, Step, StopReason, Trajectory

Decode = Callable[[int], str]
"""The text of one token."""
PHASE_STYLE = {Phase.TRIAL: "cyan", Phase.EXECUTION: "magenta"}
OTHER_STYLE = "bright_black"
"""Tokens the policy did not write."""
SHOWN_CHARS = 600
"""Characters of one text that `bounded` shows; the trajectory keeps all of them."""
SHOWN_LINES = 12


def whole(text: str, style: str = "") -> Text:
    """Return all of a text."""
    return Text(visible(text), style)


def bounded(text: str, style: str = "") -> Text:
    """Return the beginning of a text, and how much follows."""
    kept = "\n".join(text[:SHOWN_CHARS].split("\n")[:SHOWN_LINES])
    shown = whole(kept, style)
    if len(text) > len(kept):
        shown.append(f" [{len(text) - len(kept):,} more characters]", "dim")
    return shown


def box(title: str | Text, text: Text) -> Panel:
    """Return a text in a frame."""
    return Panel(text, title=title, title_align="left")


def read_records(place: Path) -> list[tuple[str, Trajectory]]:
    """Return file and trajectory of each record of a JSON-lines file or a run's folder.

    Args:
        place: a file; or a folder, of which every `trajectories.jsonl` and every file of its
            `evaluate` stage is read.

    Raises:
        InputError: there is no such file, a folder holds none, or a record is damaged.
    """
    files = {place}
    if place.is_dir():
        files = {*place.rglob("trajectories.jsonl"), *place.glob("evaluate/*.jsonl")}
    if not files:
        raise InputError(f"{place} holds no trajectories; give a run's folder or a .jsonl file")
    return [(str(file), t) for file in sorted(files) for t in read_trajectories(file)]


def browse(
    place: Path,
    index: int | None,
    console: Console,
    *,
    failed: bool = False,
    only: str = "",
    tokens: str | None = None,
    sent: bool = False,
) -> None:
    """Print a list of the records of a file or a run, or one of them: what `toolmaster view` does.

    Args:
        place: see `read_records`.
        index: which record, numbered over all files from 0; negative from the end; None for a list.
        console: where to print.
        failed: whether to list only rollouts that did not succeed.
        only: text in the file name, task, policy or labels of the records to list.
        tokens: a model whose tokenizer shows the tokens of the record.
        sent: whether to show the messages of the record as the endpoint got them.

    Raises:
        ConfigError: tokens or sent messages are asked for without a record.
        InputError: there is no such file, record or model.
    """
    asked = "--sent" if sent else f"--tokens {tokens}" if tokens is not None else ""
    if asked and index is None:
        raise ConfigError(
            f"{asked.partition(' ')[0]} is of one record: toolmaster view {place} NUMBER {asked}"
        )
    records = read_records(place)
    if index is None:
        chosen = {
            number: t
            for number, (file, t) in enumerate(records)
            if not (failed and t.success) and only in f"{file} {_about(t)}"
        }
        solved = sum(t.success for _, t in records)
        told = f"{len(chosen)} of {len(records)} records, {solved} solved"
        if chosen:
            told += f"; show one: toolmaster view {place} NUMBER"
            console.print(records_table(chosen))
        else:
            which = " that failed" * failed + f" with {only!r}" * bool(only)
            told = f"no record{which}: {told}"
        say(told, where=console)
        return
    if not -len(records) <= index < len(records):
        raise InputError(f"{place} holds {len(records)} trajectories; there is no {index}")
    trajectory = records[index][1]
    if sent:
        _show_sent(trajectory, console)
    elif tokens is None:
        show_trajectory(trajectory, console)
    else:
        from toolmaster.chat import ChatFormat  # noqa: PLC0415 - heavy
        from toolmaster.models.checkpoints import find_model, load_tokenizer  # noqa: PLC0415

        trajectory = ChatFormat(load_tokenizer(find_model(tokens))).with_tokens(trajectory)
        show_trajectory(trajectory, console, decode=decoder(tokens))


def decoder(model: str) -> Decode:
    """Return what gives the text of a model's tokens; it loads the tokenizer when first asked."""
    from toolmaster.models.checkpoints import find_model, load_tokenizer  # noqa: PLC0415 - heavy

    tokenizer = cache(lambda: load_tokenizer(find_model(model)))
    return cache(lambda token: str(tokenizer().decode([token])))


def _about(trajectory: Trajectory) -> str:
    labels = (f"{key}={value}" for key, value in trajectory.labels.items())
    return " ".join([trajectory.task_id, trajectory.taskset, trajectory.policy, *labels])


def records_table(records: Mapping[int, Trajectory]) -> Table:
    """A table of how several rollouts ended, a line for each; from number to trajectory."""
    several = len({t.policy for t in records.values()}) > 1
    table = Table(box=SIMPLE_HEAD, expand=True)
    table.add_column("", justify="right", no_wrap=True)
    for name, ratio in (("model", 2),) * several + (("task", 4), ("answer", 4)):
        table.add_column(name, overflow="ellipsis", no_wrap=True, ratio=ratio)
    table.add_column("calls", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for number, t in records.items():
        model = [Text(visible(t.policy))] * several
        task = Text(visible(t.task_id if t.taskset else t.query))
        answer = Text(" ".join(visible(t.answer or "").split()))
        table.add_row(str(number), *model, task, answer, str(len(t.calls())), outcome(t))
    return table


def outcome(trajectory: Trajectory) -> Text:
    """Return how a rollout ended, in a word or two."""
    if trajectory.error is not None:
        return Text("broke", "bold red")
    if trajectory.score is not None:
        return Text("solved", "green") if trajectory.success else Text("failed", "red")
    if trajectory.stop_reason is StopReason.ANSWERED:
        return Text("answered")
    if trajectory.stop_reason is StopReason.GAVE_UP:
        return Text("gave up", "yellow")
    return Text(f"no answer: {trajectory.stop_reason}", "red")


def said(step: Step) -> tuple[str, str]:
    """Split a turn into its thought and what else it says.

    Returns:
        The thought; and the lesson, the answer, "" for a call, or the whole turn where it broke the
        format.
    """
    if step.action is ActionKind.INVALID:
        return "", step.text
    thought, tag, rest = step.text.partition("</think>")
    thought = thought.rpartition("<think>")[2].strip() if tag else ""
    if step.action is ActionKind.CALL:
        return thought, ""
    rest = rest or step.text
    rest = rest.partition(f"<{step.action}>")[2] or rest
    return thought, rest.partition(f"</{step.action}>")[0].strip()


def turns(
    steps: Sequence[Step], begin: int = 0, draw: Callable[[str, str], Text] = whole
) -> Iterator[RenderableType]:
    """Draw turns: the phase where one begins, thoughts, what is done, and what was observed.

    Args:
        steps: all turns of a trajectory.
        begin: index of the first one to draw.
        draw: `whole`, or `bounded` for the beginning of each text.
    """
    for index in range(begin, len(steps)):
        phase = steps[index].phase
        if not index or phase is not steps[index - 1].phase:
            yield Rule(Text(f"{phase} phase"), style=PHASE_STYLE[phase])
        yield from _turn(index + 1, steps[index], draw)


def _turn(number: int, step: Step, draw: Callable[[str, str], Text]) -> Iterator[RenderableType]:
    thought, rest = said(step)
    style = PHASE_STYLE[step.phase]
    if thought:
        yield indented(draw(thought, "italic dim"))
    line = Text.assemble((f"{number} ", "dim"), (step.action.value, f"bold {style}"))
    if step.call is not None:
        line.append(f"  {visible(step.call.name)} ", style)
        line.append_text(draw(json.dumps(step.call.arguments, ensure_ascii=False), style))
    if step.error is not None:
        line.append("  ").append(f" {step.error} ", "bold white on red")
    yield line
    if step.action is ActionKind.EXPERIENCE:
        yield box("learned", draw(rest, "yellow"))
        return
    if rest:
        yield indented(draw(rest, ""))
    if step.observation is not None:
        speaker = Text("user  ", "dim") if step.observation_role == "user" else Text("")
        colour = "red" if step.error is not None else "green"
        yield indented(speaker.append_text(draw(step.observation, colour)))


def indented(text: Text) -> Padding:
    """Return a text that stands under a headline."""
    return Padding(text, (0, 0, 0, 4))


def show_trajectory(
    trajectory: Trajectory, console: Console, *, decode: Decode | None = None
) -> None:
    """Print a trajectory.

    Args:
        trajectory: the record.
        console: where to print.
        decode: the text of one token; with it, and where the record holds tokens, these follow:
            tokens with completion mask 1 in the colour of their phase, all others dim.
    """
    _show_head(trajectory, console)
    for line in turns(trajectory.steps):
        console.print(line)
    _show_end(trajectory, console)
    if decode is not None and any(step.token_ids for step in trajectory.steps):
        _show_tokens(trajectory, console, decode)


def _show_sent(trajectory: Trajectory, console: Console) -> None:
    """Print each message of an endpoint's conversation as it was sent or received."""
    if not trajectory.sent:
        console.print(
            "nothing was sent: the model ran in this process, or before this was recorded"
        )
    for message in trajectory.sent:
        rest = {key: value for key, value in message.items() if key not in ("role", "content")}
        console.print(Text(visible(str(message.get("role"))), style="bold blue"))
        content = message.get("content")
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            console.print(indented(whole(text)))
        if rest:
            text = json.dumps(rest, ensure_ascii=False, indent=2)
            console.print(indented(whole(text, "dim")))


def _show_head(trajectory: Trajectory, console: Console) -> None:
    labels = "  ".join(f"{key}={value}" for key, value in trajectory.labels.items())
    about = f"{trajectory.policy}, protocol {trajectory.protocol}, rollout {trajectory.rollout}"
    title = Text(visible(trajectory.task_id), "bold")
    console.print(box(title, whole(f"{about}\n{labels}".rstrip(), "dim")))
    for message in trajectory.prompt:
        console.print(Text(message.role, style="bold blue"))
        console.print(indented(whole(message.content)))
    console.print(Text(f"tools ({len(trajectory.tools)})", style="bold blue"))
    for signature, doc in tools_of(trajectory):
        line = Text.assemble((visible(signature), "bold"), (f"  {visible(doc)}", "dim"))
        console.print(indented(line))


def tools_of(trajectory: Trajectory) -> list[tuple[str, str]]:
    """The tools of a trajectory: `name(parameters)` and documentation of each."""
    tools = [schema.get("function", schema) for schema in trajectory.tools]
    parameters = [", ".join(tool.get("parameters", {}).get("properties", {})) for tool in tools]
    return [
        (f"{tool.get('name', '?')}({named})", str(tool.get("description", "")))
        for tool, named in zip(tools, parameters, strict=True)
    ]


def _show_end(trajectory: Trajectory, console: Console) -> None:
    score = trajectory.score
    line = outcome(trajectory)
    if score is not None and not score.success:
        wrong = " and ".join(name for name, right in score.parts.items() if right < 1)
        line.append(f": wrong {visible(wrong)}" if wrong else "")
    stop = trajectory.stop_reason or "no stop reason"
    line.append(
        f"  {stop}, {trajectory.completion_tokens} tokens, {trajectory.seconds:.1f} s", "dim"
    )
    console.print(Rule(style="dim"))
    console.print(line)
    told = {
        "expected": score.expected if score is not None else "",
        "answered": trajectory.answer,
        "reason": score.reason if score is not None else "",
        "broke": trajectory.error,
    }
    for name, text in told.items():
        if text:
            console.print(Text.assemble((f"{name:<10}", "bold"), visible(text)))


class Segment(NamedTuple):
    """A piece of what a model read or wrote."""

    kind: str
    """"trial" or "execution" for what training learns from; otherwise "other"."""
    tokens: list[int]
    text: str


def segments(trajectory: Trajectory) -> Iterator[Segment]:
    """Everything a model read and wrote, in order, with the mask that training uses.

    What follows the last turn of the model is left out: no one continues from there.
    """
    prompt = "\n\n".join(f"{m.role}: {m.content}" for m in trajectory.prompt)
    yield Segment("other", trajectory.prompt_ids, f"{prompt}\n\n")
    for index, step in enumerate(trajectory.steps):
        yield Segment("other" if step.slip else step.phase.value, step.token_ids, step.text)
        if index + 1 < len(trajectory.steps):
            yield Segment("other", step.observation_ids, f"\n\n{step.observation or ''}\n\n")


def _show_tokens(trajectory: Trajectory, console: Console, decode: Decode) -> None:
    trial, execution = (f"bold {PHASE_STYLE[phase]}" for phase in Phase)
    styles = {"trial": trial, "execution": execution, "other": OTHER_STYLE}
    stream, counts = Text(), dict.fromkeys(styles, 0)
    for segment in segments(trajectory):
        counts[segment.kind] += len(segment.tokens)
        for token in segment.tokens:
            stream.append(visible(decode(token)), styles[segment.kind])
    console.print(Rule("tokens", style="dim"))
    legend = Text.assemble(
        "completion mask 1: ",
        ("trial tokens", trial),
        ", ",
        ("execution tokens", execution),
        f" ({counts['trial'] + counts['execution']});  mask 0: ",
        ("prompt and observations", OTHER_STYLE),
        f" ({counts['other']})",
    )
    console.print(legend)
    console.print(stream)
