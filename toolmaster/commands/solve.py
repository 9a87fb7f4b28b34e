"""`toolmaster solve`: its settings, and its tasks, checked before anything expensive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from toolmaster.commands.options import NOTHING, Given, Json, Words, options, read
from toolmaster.config import Settings
from toolmaster.errors import ConfigError, InputError
from toolmaster.limits import AgentLimits, BudgetSettings
from toolmaster.policies.base import EndpointSettings, RoomySampling, ToolCallFormat
from toolmaster.policies.loading import check_model
from toolmaster.protocols import Protocol
from toolmaster.runs import read_written
from toolmaster.types import TrialMode


class Solve(Settings):
    """What `toolmaster solve` does, and how."""

    tools: tuple[str, ...] = ()
    """Python file or module, `mcpServers` JSON file, or OpenAPI file or address, with its options
    in quotes: "FILE.py:NAME read=get_*". May be repeated."""
    model: str = ""
    """Checkpoint folder, model id of the Hugging Face Hub, `openai:NAME` for a model of an
    OpenAI-compatible server, or `VENDOR:NAME` such as `anthropic:NAME`."""
    base_url: str | None = None
    """Endpoint of an `openai:` model: http://localhost:8000/v1. If not set, `OPENAI_BASE_URL` or
    OpenAI's own."""
    tasks: Path | None = None
    """File of tasks in place of the one on the command line: one per line, in a .jsonl file as a
    JSON object with a field "query"."""
    protocol: Protocol = Protocol.TRIAL
    """Form of a trajectory: `trial` tries the tools first, `direct` does not, `paper` is one
    loop."""
    trials: TrialMode | None = None
    """How trial calls run: on a copy (`fork`), only those of tools that read (`read_only`), or for
    real (`live`). If not set, `fork` for Python objects, else `read_only`."""
    yes: bool = False
    """Run destructive calls, and calls of unknown effect, without asking."""
    permissions: Path | None = None
    """TOML file that says which calls run, are asked about, or are denied."""
    instructions: str = ""
    """Your own instructions to the model; @FILE reads them from a file."""
    answer_schema: Path | None = None
    """File with a JSON schema that answers must fit; they are then JSON."""
    resume: bool = False
    """Leave out tasks that are answered already in the file of `--out`."""
    experience: str | None = None
    """File of lessons from earlier tasks, or "none"; if not set, the user's own file."""
    out: Path = Path("runs/solve/trajectories.jsonl")
    """File that trajectories are appended to."""
    concurrency: int = Field(8, ge=1)
    """Number of tasks at the same time."""
    tool_calls: ToolCallFormat = ToolCallFormat.AUTO
    """How tool calls are written to an endpoint; "trained" for a model trained here."""
    seed: int = Field(0, ge=0)
    """Seed of the sampling of a model in this process."""
    budget: BudgetSettings = BudgetSettings()
    limits: AgentLimits = AgentLimits()
    sampling: RoomySampling = RoomySampling()
    endpoint: EndpointSettings = EndpointSettings()


@options(Solve, own="budget")
def solve(*words: Words, as_json: Json = False, given: Given = NOTHING) -> int:
    """Do tasks with the user's own tools.

    Returns:
        The exit code: that of the worst outcome of a task, see `solving.Outcome`.
    """
    first = words[0].partition("=")[0].partition(".")[0] if words else ""
    known = {*Solve.model_fields, *BudgetSettings.model_fields}
    task = () if first in known and "=" in words[0] else words[:1]
    overrides = words[len(task) :]
    stray = next((word for word in overrides if "=" not in word), None)
    if stray is not None:
        raise ConfigError(f"{stray!r} is no setting KEY=VALUE; the task is one argument, in quotes")
    settings = read(Solve, overrides, given, own="budget")
    if task and settings.tasks is not None:
        raise ConfigError(
            f"the task is given twice, as {task[0]!r} and in the file {settings.tasks} of --tasks;"
            " leave one out"
        )
    _check(settings)
    queries = list(task) if settings.tasks is None else read_tasks(settings.tasks)
    if not queries or not queries[0].strip():
        raise ConfigError("no task: give it in quotes, or a file with --tasks")
    _check_writable(settings.out)
    from toolmaster.commands.solving import run  # noqa: PLC0415 - heavy

    return run(settings, queries, as_json=as_json)


def _check(settings: Solve) -> None:
    """Refuse settings that go without tools or a model, or against each other."""
    if not settings.tools:
        raise ConfigError(
            "no tools: give --tools module.py, an mcpServers file, or an OpenAPI file or address"
        )
    if settings.yes and settings.permissions is not None:
        raise ConfigError(
            "give either --yes or --permissions FILE; the file says what runs without asking"
        )
    if not settings.model:
        raise ConfigError(
            "no model: give --model with a folder, OWNER/NAME of the Hub, or openai:NAME"
        )
    check_model(settings.model)


def read_tasks(path: Path) -> list[str]:
    """Return the tasks of a file: each `query` of a .jsonl file, each line of any other.

    Raises:
        InputError: The file cannot be read, holds no task, or one of its lines is none.
    """
    if path.suffix == ".jsonl":
        queries = [line.query for _, line in read_written(path, _Line)]
    else:
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise InputError(f"cannot read the tasks {str(path)!r}: {reason}") from None
        queries = [line.strip() for line in lines if line.strip()]
    if not queries:
        raise InputError(f"{path} holds no task; write one per line")
    return queries


class _Line(BaseModel):
    """A line of a .jsonl file of tasks; other fields are ignored."""

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
    except OSError as error:
        raise InputError(
            f"cannot write trajectories to {str(path)!r}: {error.strerror}; give --out FILE"
        ) from None
