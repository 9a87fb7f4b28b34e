"""The nouns everything else shares: phases, error kinds, stop reasons, steps and the trajectory.

One trajectory record serves synthesis, SFT, GRPO, evaluation and the viewer. Token data is born
with the step that made it: `Step.token_ids` were sampled by the policy (completion mask 1) and
`Step.observation_ids` were appended by the session (completion mask 0); nothing is ever recovered
from text.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from toolmaster.tags import inert, split_experience

Role = Literal["system", "user", "assistant", "tool"]


class Phase(StrEnum):
    """Where in a trajectory an assistant turn stands."""

    TRIAL = "trial"
    """Calls run on a fork, or only where they read: nothing they do reaches the real state, unless
    the user wants trials live."""
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
    """How the calls of a trial are run."""

    FORK = "fork"
    """On a copy of the state."""
    READ_ONLY = "read_only"
    """Tools that read are run; others are checked against their schema and answered, not run."""
    LIVE = "live"
    """Like any other call, for real. Only where the user says so."""


class ErrorKind(StrEnum):
    """Why an assistant turn was answered with an error. The first group are format errors."""

    NO_ACTION = "no_action"
    """The turn holds none of the allowed blocks."""
    UNCLOSED_TAG = "unclosed_tag"
    SEVERAL_ACTIONS = "several_actions"
    MALFORMED_JSON = "malformed_json"
    MALFORMED_CALL = "malformed_call"
    """Valid JSON that is not {"name": text, "arguments": object}."""
    WRONG_PHASE = "wrong_phase"
    """An experience outside the trial phase, or an answer inside it."""

    UNKNOWN_TOOL = "unknown_tool"
    INVALID_ARGUMENTS = "invalid_arguments"
    """The arguments break the tool's JSON schema."""
    TOOL_ERROR = "tool_error"
    """The tool ran and refused or raised."""
    TIMEOUT = "timeout"
    BUDGET_EXHAUSTED = "budget_exhausted"
    """A call after the trial's budget, or the shared budget of calls, was used up."""
    NOT_EXECUTED = "not_executed"
    """A valid call that a trial does not run: it has side effects where a trial may only read, or
    the state cannot be copied."""
    NOT_PERMITTED = "not_permitted"
    """A valid call that the user, or the user's rules, did not allow."""


FORMAT_ERRORS = frozenset(
    {
        ErrorKind.NO_ACTION,
        ErrorKind.UNCLOSED_TAG,
        ErrorKind.SEVERAL_ACTIONS,
        ErrorKind.MALFORMED_JSON,
        ErrorKind.MALFORMED_CALL,
        ErrorKind.WRONG_PHASE,
    }
)


class StopReason(StrEnum):
    """Why a trajectory ended."""

    ANSWERED = "answered"
    MAX_TURNS = "max_turns"
    INVALID_TURNS = "invalid_turns"
    """Too many turns in a row broke the format."""
    MAX_TOKENS = "max_tokens"
    """The next turn would not fit the token budget or the model's context."""
    BUDGET = "budget"
    """The budget of calls, tokens, seconds or money is used up."""
    STOPPED = "stopped"
    """The user stopped it."""
    POLICY_ERROR = "policy_error"
    SESSION_ERROR = "session_error"


class ActionKind(StrEnum):
    """What an assistant turn turned out to be."""

    CALL = "call"
    EXPERIENCE = "experience"
    ANSWER = "answer"
    INVALID = "invalid"


class Record(BaseModel):
    """Base of everything written to disk: strict about unknown fields."""

    model_config = ConfigDict(extra="forbid")


class Message(Record):
    """One chat message. A tool message's content is the bare observation, without tags."""

    role: Role
    content: str


class ToolCall(Record):
    """A parsed call."""

    name: str
    arguments: dict[str, Any]


class Step(Record):
    """One assistant turn and the observation that answered it."""

    text: str
    """The raw text the policy wrote."""
    phase: Phase
    """The phase in which the turn was written."""
    action: ActionKind
    call: ToolCall | None = None
    observation: str | None = None
    """What the session answered. None when the turn ended the trajectory with an answer, or a used
    up budget left nothing to say; a turn that reached a limit of turns still has its answer."""
    error: ErrorKind | None = None
    token_ids: list[int] = Field(default_factory=list)
    """Sampled tokens (completion mask 1); empty when the policy does not deal in tokens."""
    observation_ids: list[int] = Field(default_factory=list)
    """Tokens appended after the turn (completion mask 0), up to the next generation prompt."""
    log_probs: list[float] = Field(default_factory=list)
    """Log-probability of each sampled token under the distribution it was sampled from (after
    temperature); as long as `token_ids`, or empty where the policy does not tell."""
    slip: bool = False
    """A teacher's mistake, shown for the sake of its correction: never trained on."""

    @property
    def observation_role(self) -> Role:
        """Who speaks in the observation: an answer is observed by the user, who says what next."""
        return "user" if self.action is ActionKind.ANSWER else "tool"


class Score(Record):
    """How well a finished rollout did its task."""

    value: float = Field(ge=0, le=1)
    """How well it went, from 0 to 1; what a graded reward uses."""
    success: bool
    """Whether the task is done."""
    parts: dict[str, float] = Field(default_factory=dict)
    """Named figures of this rollout, such as "answer", "state" or a benchmark's own metrics."""
    expected: str = ""
    """What would have been right, in words; "" where nothing can be said."""
    reason: str = ""
    """What a judge or a check said about the outcome; "" for nothing."""

    @classmethod
    def of(
        cls, success: bool, expected: str = "", value: float | None = None, **parts: float
    ) -> Score:
        """A score whose value is 1 for success and 0 for failure unless another is given."""
        value = float(success) if value is None else value
        return cls(value=value, success=success, parts=parts, expected=expected)


class TrainedTokens(NamedTuple):
    """The tokens of a completion; four lists of equal length T."""

    token_ids: list[int]
    mask: list[int]
    """Completion mask: 1 where the policy sampled the token, 0 where the session appended it, and
    in a teacher's injected errors."""
    phases: list[Phase]
    """Phase of the turn that wrote the token, or that the observation answers."""
    log_probs: list[float | None]
    """Log-probability of a sampled token when it was sampled; None where nobody told."""

    def extend(
        self, ids: Sequence[int], mask: int, phase: Phase, log_probs: Sequence[float | None]
    ) -> None:
        """Append tokens of one kind."""
        self.token_ids.extend(ids)
        self.mask.extend([mask] * len(ids))
        self.phases.extend([phase] * len(ids))
        self.log_probs.extend(log_probs)


class Trajectory(Record):
    """The record of one rollout."""

    task_id: str
    taskset: str = ""
    """Label of the task set it belongs to, such as `world:short/test (v5s)`; "" where unknown."""
    protocol: str
    policy: str
    """Name of the policy that acted, with its version after '@' where it has one."""
    prompt: list[Message]
    """The messages before the first assistant turn."""
    tools: list[dict[str, Any]]
    """JSON schemas of the tools, in OpenAI's function form."""
    needed: list[str] = Field(default_factory=list)
    """Names of the tools that a right solution calls, where the task tells."""
    steps: list[Step] = Field(default_factory=list)
    stop_reason: StopReason | None = None
    answer: str | None = None
    score: Score | None = None
    """None when the task has no checker, or the rollout failed before it could be scored."""
    error: str | None = None
    """What broke the rollout itself (not the model's doing)."""
    labels: dict[str, str] = Field(default_factory=dict)
    """What the task says about itself: split, domain, family, quirk kinds."""
    seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens the policy wrote, over all turns."""
    prompt_ids: list[int] = Field(default_factory=list)
    rollout: int = 0
    """Index of this trajectory among those of the same task (its place in the group)."""

    @property
    def query(self) -> str:
        """What the user asked; "" in a rollout that broke before its prompt was made."""
        return split_experience(self._user_message)[0]

    @property
    def retrieved_experience(self) -> str:
        """What earlier tasks taught, as the prompt holds it; "" if it holds none."""
        return split_experience(self._user_message)[1]

    @property
    def _user_message(self) -> str:
        return next((m.content for m in self.prompt if m.role == "user"), "")

    @property
    def success(self) -> bool:
        """Whether the task's checker accepted the outcome."""
        return self.score is not None and self.score.success

    @property
    def format_ok(self) -> bool:
        """Whether it ended with an answer and no turn broke the format."""
        return self.stop_reason is StopReason.ANSWERED and not any(
            step.error in FORMAT_ERRORS for step in self.steps
        )

    def messages(self) -> list[Message]:
        """The whole conversation, prompt first; no tag in an observation is real."""
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
        """What it wrote to end its trial; "" if it never did."""
        blocks = (s.text for s in self.steps if s.action is ActionKind.EXPERIENCE)
        text = next(blocks, "").rpartition("<experience>")[2]
        return text.partition("</experience>")[0].strip()

    def calls(self, phase: Phase | None = None) -> list[Step]:
        """Steps that carried a well-formed call, of one phase or of both."""
        return [s for s in self.steps if s.action is ActionKind.CALL and phase in (None, s.phase)]

    def completion(self) -> TrainedTokens:
        """Everything after the prompt, token by token.

        Trailing observation tokens (after the last sampled one) are left out: no one will continue
        from them.
        """
        tokens = TrainedTokens([], [], [], [])
        for index, step in enumerate(self.steps):
            log_probs: Sequence[float | None] = step.log_probs or [None] * len(step.token_ids)
            tokens.extend(step.token_ids, int(not step.slip), step.phase, log_probs)
            if index + 1 < len(self.steps):
                ids = step.observation_ids
                tokens.extend(ids, 0, step.phase, [None] * len(ids))
        return tokens
