"""The types that everything shares: phases, error kinds, stop reasons, steps, the trajectory.

One trajectory record serves demonstrations, SFT, GRPO, evaluation and the viewer. Tokens are
recorded with the step that made them, and never recovered from text.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from toolmaster.tags import inert, split_experience

Role = Literal["system", "user", "assistant", "tool"]


class Phase(StrEnum):
    """The phase of a trajectory in which an assistant turn was written."""

    TRIAL = "trial"
    """Calls run on a copy of the state, or only if they read: nothing reaches the real state unless
    the user wants live trials."""
    EXECUTION = "execution"
    """Calls run for real and count."""


class Effect(StrEnum):
    """What a tool may do to the world."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"
    UNKNOWN = "unknown"


class Decision(StrEnum):
    """What happens to calls of a tool that would be real; see `permissions.Approver`."""

    ALLOW = "allow"
    """They run."""
    ASK = "ask"
    """Each needs an approval."""
    DENY = "deny"
    """They are refused, on a copy too."""


class TrialMode(StrEnum):
    """How the calls of a trial run."""

    FORK = "fork"
    """On a copy of the state."""
    READ_ONLY = "read_only"
    """Tools that only read run; calls of others are checked against the schema, but do not run."""
    LIVE = "live"
    """For real, like any other call; only if the user says so."""

    @classmethod
    def _missing_(cls, value: object) -> TrialMode | None:
        """Accept `read-only` as well."""
        return cls.READ_ONLY if value == "read-only" else None


class ErrorKind(StrEnum):
    """Why the answer to an assistant turn is an error; the first group are format errors."""

    NO_ACTION = "no_action"
    """The turn holds none of the allowed blocks."""
    UNCLOSED_TAG = "unclosed_tag"
    SEVERAL_ACTIONS = "several_actions"
    MALFORMED_JSON = "malformed_json"
    MALFORMED_CALL = "malformed_call"
    """Valid JSON that is not {"name": text, "arguments": object}."""
    WRONG_PHASE = "wrong_phase"
    """An experience outside the trial phase, or an answer inside it."""
    INVALID_ANSWER = "invalid_answer"
    """The answer breaks the schema that the user gave."""

    UNKNOWN_TOOL = "unknown_tool"
    INVALID_ARGUMENTS = "invalid_arguments"
    """The arguments break the tool's JSON schema."""
    TOOL_ERROR = "tool_error"
    """The tool ran and refused or raised."""
    TIMEOUT = "timeout"
    BUDGET_EXHAUSTED = "budget_exhausted"
    """A call after the trial's budget, or the shared budget of calls, was used up."""
    NOT_EXECUTED = "not_executed"
    """A valid call that a trial does not run: it has side effects and the trial may only read, the
    state cannot be copied, or the call was stopped because it reached outside its copy."""
    NOT_PERMITTED = "not_permitted"
    """A valid call that the approver did not allow."""


FORMAT_ERRORS = frozenset(
    {
        ErrorKind.NO_ACTION,
        ErrorKind.UNCLOSED_TAG,
        ErrorKind.SEVERAL_ACTIONS,
        ErrorKind.MALFORMED_JSON,
        ErrorKind.MALFORMED_CALL,
        ErrorKind.WRONG_PHASE,
        ErrorKind.INVALID_ANSWER,
    }
)


class StopReason(StrEnum):
    """Why a trajectory ended."""

    ANSWERED = "answered"
    GAVE_UP = "gave_up"
    """The model said that the task cannot be done; the answer is what it said."""
    MAX_TURNS = "max_turns"
    INVALID_TURNS = "invalid_turns"
    """Too many turns in a row had a format error."""
    MAX_TOKENS = "max_tokens"
    """The next turn would not fit into the token limit or the model's context."""
    BUDGET = "budget"
    """The budget of calls, tokens, seconds or money is used up."""
    STOPPED = "stopped"
    """The user stopped it."""
    POLICY_ERROR = "policy_error"
    SESSION_ERROR = "session_error"


class ActionKind(StrEnum):
    """The kind of an assistant turn."""

    CALL = "call"
    EXPERIENCE = "experience"
    ANSWER = "answer"
    GIVE_UP = "give_up"
    INVALID = "invalid"


class Record(BaseModel):
    """Base class of everything that is written to disk; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Message(Record):
    """One chat message. A tool message's content is the bare observation, without tags."""

    role: Role
    content: str


class ToolCall(Record):
    """A parsed tool call."""

    name: str
    arguments: dict[str, Any]


class Step(Record):
    """One assistant turn and the observation that answered it."""

    text: str
    """The raw text that the policy wrote."""
    phase: Phase
    """The phase in which the turn was written."""
    action: ActionKind
    call: ToolCall | None = None
    observation: str | None = None
    """The session's answer. None if the turn ended the trajectory with an answer or used up the
    budget; a turn that reached a limit of turns still has an observation."""
    error: ErrorKind | None = None
    token_ids: list[int] = Field(default_factory=list)
    """Sampled tokens (completion mask 1); empty if the policy does not report tokens."""
    observation_ids: list[int] = Field(default_factory=list)
    """Tokens appended after the turn (completion mask 0), up to the next generation prompt."""
    log_probs: list[float] = Field(default_factory=list)
    """Log-probability of each sampled token under the distribution it was sampled from (after
    temperature); as long as `token_ids`, or empty if the policy does not report it."""
    slip: bool = False
    """Whether it is an injected error: shown for its correction, never trained on."""

    @property
    def observation_role(self) -> Role:
        """Role of the observation: "user" after an answer (a follow-up), otherwise "tool"."""
        return "user" if self.action is ActionKind.ANSWER else "tool"


class Score(Record):
    """How well a finished rollout did its task.

    Example:
        >>> Score.of(True, "42").value
        1.0
    """

    value: float = Field(ge=0, le=1)
    """From 0 to 1, for graded rewards."""
    success: bool
    """Whether the task is done."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Named numbers, such as "answer", "state" or a benchmark's own metrics."""
    expected: str = ""
    """The right outcome in words; "" if unknown."""
    reason: str = ""
    """What a judge or a check said about the outcome; "" if nothing."""

    @classmethod
    def of(
        cls, success: bool, expected: str = "", value: float | None = None, **parts: float
    ) -> Score:
        """Return a score; its value is 1 for success and 0 for failure unless another is given."""
        value = float(success) if value is None else value
        return cls(value=value, success=success, parts=parts, expected=expected)


class TrainedTokens(NamedTuple):
    """The tokens of a completion: four lists of equal length T."""

    token_ids: list[int]
    mask: list[int]
    """Completion mask: 1 for tokens that the policy sampled, 0 for tokens that the session
    appended and for injected errors."""
    phases: list[Phase]
    """Phase of the turn that wrote the token, or that the observation answers."""
    log_probs: list[float | None]
    """Log-probability of a token when it was sampled; None if unknown."""

    def extend(
        self, ids: Sequence[int], mask: int, phase: Phase, log_probs: Sequence[float | None]
    ) -> None:
        """Append tokens of one kind."""
        self.token_ids.extend(ids)
        self.mask.extend([mask] * len(ids))
        self.phases.extend([phase] * len(ids))
        self.log_probs.extend(log_probs)


class Trajectory(Record):
    """The record of one rollout; `docs/trajectory.schema.json` is its JSON schema."""

    format: Literal[1] = 1
    """Version of the form of this record, always written. A new form gets a new number."""
    task_id: str
    taskset: str = ""
    """Label of its task set, such as `world:short/test (v5s)`; "" if unknown."""
    protocol: str
    policy: str
    """Name of the policy that wrote the turns, with its version after "@" if it has one."""
    prompt: list[Message]
    """The messages before the first assistant turn."""
    tools: list[dict[str, Any]]
    """JSON schemas of the tools, in OpenAI's function form."""
    needed: list[str] = Field(default_factory=list)
    """Names of the tools that a right solution calls, if known."""
    steps: list[Step] = Field(default_factory=list)
    stop_reason: StopReason | None = None
    answer: str | None = None
    score: Score | None = None
    """None if the task has no checker, or the rollout failed before it could be scored."""
    error: str | None = None
    """What broke the rollout itself; a mistake of the model is not an error."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the task: split, service, family, kind of hidden behaviour."""
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens that the policy wrote in all turns."""
    prompt_ids: list[int] = Field(default_factory=list)
    sent: list[dict[str, Any]] = Field(default_factory=list)
    """The conversation as an endpoint got it, in its own form; empty for other policies."""
    rollout: int = 0
    """Index of this trajectory among those of the same task (its index in the group)."""

    @model_serializer(mode="wrap")
    def _with_format(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"format": self.format, **handler(self)}

    @property
    def query(self) -> str:
        """The query of the task; "" if the rollout broke before its prompt was made."""
        return split_experience(self._user_message)[0]

    @property
    def retrieved_experience(self) -> str:
        """The experience of earlier tasks that the prompt holds; "" if it holds none."""
        return split_experience(self._user_message)[1]

    @property
    def _user_message(self) -> str:
        return next((m.content for m in reversed(self.prompt) if m.role == "user"), "")

    @property
    def success(self) -> bool:
        """Whether the task's checker accepted the outcome."""
        return self.score is not None and self.score.success

    @property
    def format_ok(self) -> bool:
        """Whether it ended with an answer and no turn had a format error."""
        return self.stop_reason is StopReason.ANSWERED and not any(
            step.error in FORMAT_ERRORS for step in self.steps
        )

    def messages(self) -> list[Message]:
        """Return the conversation, prompt first; tags in observations are made harmless."""
        messages = list(self.prompt)
        for step in self.steps:
            messages.append(Message(role="assistant", content=step.text))
            if step.observation is not None:
                messages.append(
                    Message(role=step.observation_role, content=inert(step.observation))
                )
        return messages

    @property
    def experience(self) -> str:
        """The experience that the policy wrote to end its trial; "" if it wrote none."""
        blocks = (s.text for s in self.steps if s.action is ActionKind.EXPERIENCE)
        text = next(blocks, "").rpartition("<experience>")[2]
        return text.partition("</experience>")[0].strip()

    def calls(self, phase: Phase | None = None) -> list[Step]:
        """Return the steps with a well-formed call, of one phase or of both."""
        return [s for s in self.steps if s.action is ActionKind.CALL and phase in (None, s.phase)]

    def completion(self) -> TrainedTokens:
        """Return all tokens from the first sampled token to the last one."""
        tokens = TrainedTokens([], [], [], [])
        for index, step in enumerate(self.steps):
            log_probs: Sequence[float | None] = step.log_probs or [None] * len(step.token_ids)
            tokens.extend(step.token_ids, int(not step.slip), step.phase, log_probs)
            if index + 1 < len(self.steps):
                ids = step.observation_ids
                tokens.extend(ids, 0, step.phase, [None] * len(ids))
        return tokens
