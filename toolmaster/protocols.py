"""The three protocols and the parser of assistant turns.

* `trial`: the trajectory begins with the trial phase; `<experience>` ends it; execution follows.
* `direct`: execution from the first turn; no trial, no experience. The baseline.
* `paper`: one unbounded loop of calls, as in arXiv 2601.12762; trials show only in the thoughts.

A turn is `<think>...</think>` and then exactly one block. `<give_up>why</give_up>` ends any of
them; models that were trained here do not write it. The parser never raises: a turn that it cannot
understand becomes an `Action` of kind INVALID with a message that says how to correct it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from pydantic_core import to_json

from toolmaster.errors import ConfigError, did_you_mean
from toolmaster.system.nesting import read_json
from toolmaster.types import ActionKind, ErrorKind, Phase, ToolCall


class Protocol(StrEnum):
    """The trajectory format: which phases and blocks a trajectory has."""

    TRIAL = "trial"
    DIRECT = "direct"
    PAPER = "paper"

    @classmethod
    def named(cls, name: Protocol | str) -> Protocol:
        """Return the protocol of a name.

        Raises:
            ConfigError: There is none of this name.
        """
        try:
            return cls(name)
        except ValueError:
            hint = did_you_mean(str(name), map(str, cls))
            allowed = ", ".join(cls)
            raise ConfigError(f"protocol is one of {allowed}; received {name!r}{hint}") from None

    @property
    def first_phase(self) -> Phase:
        """The phase in which a trajectory begins."""
        return Phase.TRIAL if self is Protocol.TRIAL else Phase.EXECUTION


MAX_CALL_LEVELS = 100
"""The most levels of a call; its record, which has some more, can be read again."""
WRITE_EXPERIENCE = "write your experience"
"""What a session tells a model whose trial has to end."""
NOT_EXECUTED = "not executed: "
"""How the observation of a valid call begins that the trial does not run."""
READ_MORE = "read_more"
"""Name of the call that continues a result that was cut, unless a tool of the task has it."""
_CALL = '<tool_call>{{"name": ..., "arguments": {{...}}}}</tool_call>'
_FORM = {
    Protocol.TRIAL: (
        "Write <think>...</think> and one of " + _CALL + ", <experience>...</experience>,"
        " <answer>...</answer>. Calls are trials (at most {budget}) until <experience>."
    ),
    Protocol.DIRECT: "Write <think>...</think> and one of " + _CALL + ", <answer>...</answer>.",
}
_FORM[Protocol.PAPER] = _FORM[Protocol.DIRECT]


def instructions(protocol: Protocol, trial_calls: int) -> str:
    """Return the protocol's part of the system message.

    Args:
        protocol: the trajectory format.
        trial_calls: the most trial calls; mentioned only if there is a trial.
    """
    return _FORM[protocol].format(budget=trial_calls)


_FORMS = {
    Protocol.TRIAL: re.compile(re.escape(instructions(Protocol.TRIAL, 0)).replace("0", r"(\d+)")),
    Protocol.DIRECT: re.compile(re.escape(instructions(Protocol.DIRECT, 0))),
}


def find_form(system: str) -> tuple[int | None, str]:
    """Split a system message into the protocol's part and the rest, to reword the former.

    Returns:
        `(trial_calls, rest)`: the most trial calls, None without a trial, and the rest of the
        message.
    """
    trial = _FORMS[Protocol.TRIAL].search(system)
    found = trial or _FORMS[Protocol.DIRECT].search(system)
    if found is None:
        return None, system
    rest = system[: found.start()] + system[found.end() :]
    return int(trial.group(1)) if trial else None, rest.strip()


@dataclass(frozen=True, slots=True)
class Action:
    """A parsed assistant turn; `text` holds the experience, the answer or the error message."""

    kind: ActionKind
    text: str = ""
    call: ToolCall | None = None
    error: ErrorKind | None = None


_OPEN = re.compile(r"<(tool_call|experience|answer|give_up)>")
_WELL_FORMED = re.compile(
    r"\s*<think>(?:(?!</?think>).)*</think>\s*<(tool_call|experience|answer)>.*</\1>\s*", re.DOTALL
)


def well_formed(text: str) -> bool:
    """Return whether a turn is `<think>...</think>` and one block, with no words around them."""
    blocks = _OPEN.findall(text.partition("</think>")[2])
    return bool(_WELL_FORMED.fullmatch(text)) and len(blocks) == 1


def thought_of(text: str) -> str:
    """Return what a turn says before its block, without tags."""
    return _OPEN.split(text.partition("</think>")[0], maxsplit=1)[0].replace("<think>", "").strip()


def parse(text: str, protocol: Protocol) -> Action:
    """Return the action of one assistant turn; one of kind INVALID if it has a format error.

    Args:
        text: the raw text that the policy wrote, without the end-of-turn token.
        protocol: the trajectory format, which says which blocks are allowed.

    Example:
        >>> parse("<think>4.</think><answer>4</answer>", Protocol.DIRECT).text
        '4'
    """
    thought, found, rest = text.partition("</think>")
    body = rest if found else thought
    if not found and "<think>" in text:
        message = "the think block is never closed; close it, then write one block"
        return _invalid(ErrorKind.UNCLOSED_TAG, message)
    opened = _OPEN.findall(body)
    has_trial = protocol is Protocol.TRIAL
    allowed = "tool_call, experience or answer" if has_trial else "tool_call or answer"
    if "experience" in opened and not has_trial:
        message = f"there is no experience block here; write a {allowed} block"
        return _invalid(ErrorKind.WRONG_PHASE, message)
    if not opened:
        message = f"write exactly one {allowed} block after your thought"
        return _invalid(ErrorKind.NO_ACTION, message)
    if not any(body.rfind(f"</{tag}>") > body.find(f"<{tag}>") for tag in set(opened)):
        return _invalid(ErrorKind.UNCLOSED_TAG, f"the {opened[0]} block is never closed")
    if len(opened) > 1:
        message = f"write one block a turn, got {len(opened)}; none was run"
        return _invalid(ErrorKind.SEVERAL_ACTIONS, message)
    tag = opened[0]
    content = body.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip()
    return _parse_call(content) if tag == "tool_call" else Action(ActionKind(tag), content)


def _parse_call(content: str) -> Action:
    try:
        data = read_json(content, MAX_CALL_LEVELS)
        # Python reads more than can be written down again: NaN, half surrogates, endless nesting.
        json.dumps(data, allow_nan=False)
        to_json(data)
    except ValueError as error:
        return _invalid(ErrorKind.MALFORMED_JSON, f"the call is not valid JSON: {error}")
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("name"), str)
        or not isinstance(data.get("arguments"), dict)
        or len(data) != 2
    ):
        return _invalid(ErrorKind.MALFORMED_CALL, 'a call is {"name": text, "arguments": object}')
    return Action(ActionKind.CALL, call=ToolCall(name=data["name"], arguments=data["arguments"]))


def _invalid(kind: ErrorKind, message: str) -> Action:
    return Action(ActionKind.INVALID, message, error=kind)
