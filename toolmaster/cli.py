"""The command line: which commands there are, their help, and what becomes of an error.

Commands are imported when they are called, so that help is instant. Their options are made from the
settings classes; see `commands.options`.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from types import TracebackType
from typing import NoReturn

from cyclopts import (
    App,
    CycloptsError,
    Group,
    MissingArgumentError,
    Parameter,
    UnknownCommandError,
    UnusedCliTokensError,
)

from toolmaster import __version__
from toolmaster.errors import ToolmasterError, not_installed
from toolmaster.system.redaction import redacted_message

app = App(
    name="toolmaster",
    help="Train, measure and run language models that try unfamiliar tools before using them.",
    help_epilogue="Exit codes: 0 done; 1 a file, tool, model or task failed; 2 wrong command,"
    " option or setting; 130 stopped with Ctrl-C.",
    help_format="plaintext",
    version=__version__,
    version_flags=["--version", "-V"],
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command()
_USE, _TRAIN, _MEASURE, _EXPLORE, _OPTIONS = map(
    Group.create_ordered, ("Use", "Train", "Measure", "Explore", "Options")
)
for flag in ("--help", "--version", "--install-completion"):
    app[flag].group = _OPTIONS


def _command(place: str, group: Group, usage: str, about: str, *examples: str) -> None:
    """Add a command, a function in `toolmaster.commands`, with its help."""
    shown = "\n".join(f"  toolmaster {example}" for example in examples)
    app.command(
        f"toolmaster.commands.{place}",
        name=usage.split(maxsplit=1)[0],
        group=group,
        sort_key=len(list(app)),
        usage=f"Usage: toolmaster {usage} [OPTIONS]",
        help=f"{about}\n\nFor example:\n{shown}",
    )


_command(
    "explore:demo",
    _USE,
    "demo",
    "Show in half a minute what a trial is good for; needs no key and no download.",
    "demo",
)
_command(
    "solve:solve",
    _USE,
    "solve TASK [KEY=VALUE]...",
    "Do tasks with your own tools: try them safely first, then use them.\n\nThe answers go to"
    " standard output, everything else to standard error. The exit code is 3 if the model gave a"
    " task up, 4 if a call was refused, 5 if the budget or the turns were used up, 1 if something"
    " failed.",
    'solve "TASK" --tools "FILE.py read=get_*" --model openai:NAME',
    "solve --tasks FILE.txt --tools MCP.json --model openai:NAME --max-calls 200 --json",
)
_command(
    "gateway:gateway",
    _USE,
    "gateway SOURCE... [KEY=VALUE]...",
    "Offer your own tools to the agent that you already use, over MCP: it can try calls safely,"
    " keeps what it learns, and asks you before what could do harm.",
    "gateway FILE.py:NAME",
    'gateway "MCP.json read=get_*" --port 8321',
)
app.command(
    "toolmaster.commands.experience:app",
    name="experience",
    group=_USE,
    sort_key=len(list(app)),
    help="List, judge, share or forget what was learned of tools.\n\nLessons are lines of a"
    " JSON-lines file (~/.local/share/toolmaster/experience.jsonl, or what"
    " TOOLMASTER_EXPERIENCE names). Read it in an editor, or share it with `export` and"
    " `import`.\n\nFor example:\n"
    "  toolmaster experience list\n"
    "  toolmaster experience good\n"
    "  toolmaster experience export LESSONS.jsonl --who Ann\n"
    "  toolmaster experience import LESSONS.jsonl\n"
    "  toolmaster experience forget get_price",
)
_command(
    "stages:run",
    _TRAIN,
    "run RECIPE [KEY=VALUE]...",
    "Run all stages of a recipe; a stopped run continues where it was.\n\nRECIPE is a name that"
    " `toolmaster recipe` lists, a TOML file of your own, or the folder of a run.",
    "run quickstart",
    "run quickstart --run runs/mine --sft.trainer.learning-rate 1e-4",
    "run quickstart run=runs/mine sft.trainer.learning_rate=1e-4",
)
_command(
    "explore:recipe",
    _TRAIN,
    "recipe [NAME]",
    "Print a recipe, to copy and change it; without a name, list the recipes there are.",
    "recipe quickstart > mine.toml",
)
_command(
    "plan:plan",
    _TRAIN,
    "plan RECIPE [KEY=VALUE]...",
    "Show the memory that a recipe takes on 1, 2, 4 and 8 devices, and refuse what does not fit.",
    "plan paper",
    "plan paper model=Qwen/Qwen3-4B --devices 8 --memory-gb 80",
)
_command(
    "stages:demonstrate",
    _TRAIN,
    "demonstrate RECIPE|TASKSET [KEY=VALUE]...",
    "Make demonstrations, by an oracle, known-good calls or a teacher model.",
    "demonstrate world:short --count 1000 --run runs/demos",
    'demonstrate "TASKS.jsonl tools=MCP.json" --teacher openai:NAME --prices 0.3 1.2',
)
_command(
    "explore:propose",
    _TRAIN,
    "propose TOOLS... --model MODEL",
    "Let a model propose tasks for your tools.",
    "propose MCP.json --model openai:NAME --count 200",
)
_command(
    "specialize:specialize",
    _TRAIN,
    "specialize --tools SOURCE [KEY=VALUE]...",
    "Train a model for your own tools, on tasks that are generated from them.\n\nTools that only"
    " read are called to see real values; others are called on forks alone. No key and no teacher"
    " is needed.",
    "specialize --tools FILE.py:NAME --dry-run",
    'specialize --tools "MCP.json read=get_*" --run runs/mine',
)
_command(
    "stages:sft",
    _TRAIN,
    "sft RECIPE|MODEL DEMONSTRATIONS [KEY=VALUE]...",
    "Fine-tune a model on demonstrations.",
    "sft quickstart --trainer.learning-rate 1e-4",
    "sft MODEL DEMONSTRATIONS.jsonl --lora-rank 16",
)
_command(
    "stages:grpo",
    _TRAIN,
    "grpo RECIPE|MODEL TASKSET [KEY=VALUE]...",
    "Reinforce a model on tasks (GRPO).",
    "grpo quickstart --trainer.max-steps 15",
    'grpo MODEL "TASKS.jsonl tools=FILE.py:NAME" --reward FILE.py:NAME',
)
_command(
    "explore:model",
    _TRAIN,
    "model [NAME]",
    "Obtain a model (once) and print its folder.",
    "model Qwen/Qwen3-0.6B",
)
_command(
    "stages:evaluate",
    _MEASURE,
    "evaluate RECIPE|MODEL TASKSET [KEY=VALUE]...",
    "Measure a model on a task set, or the models of a recipe.\n\nMODEL may be `replay`, which"
    " plays the known-good calls of the tasks.",
    'evaluate MODEL "world:short split=test tasks=200" --rollouts 4',
    "evaluate openai:NAME bfcl --base-url http://localhost:8000/v1",
)
_command(
    "stages:report",
    _MEASURE,
    "report RECIPE|FOLDER [KEY=VALUE]...",
    "Print the tables of a run or an evaluation, and write its report as an HTML page.\n\nFOLDER is"
    " that of a run or of an evaluation.",
    "report quickstart",
    "report FOLDER --json",
)
_command(
    "explore:compare",
    _MEASURE,
    "compare A B",
    "Compare two evaluations on the tasks they share, and list the tasks that differ.",
    "compare FOLDER_A FOLDER_B",
    "compare FOLDER_A/evaluate/sft.jsonl FOLDER_B/evaluate/sft.jsonl",
)
_command(
    "explore:view",
    _MEASURE,
    "view FILE|FOLDER [INDEX]",
    "List the trajectories of a file or a run, or show one of them turn by turn.",
    "view FOLDER --failed",
    "view FOLDER 3",
    "view FILE.jsonl -1 --tokens MODEL",
)
_command(
    "explore:tasks",
    _EXPLORE,
    "tasks [TASKSET]",
    "List the task sets, or show what one holds.",
    "tasks",
    'tasks "world:short split=test"',
)
_command(
    "tools:tools",
    _EXPLORE,
    "tools [SOURCE]...",
    "List the tools of sources: what they do, whether a trial runs them, and what they could hide."
    "\n\nWithout a source, the services and hidden behaviours of the embedded world.",
    "tools",
    "tools FILE.py MCP.json",
    'tools "API.json base_url=http://localhost:8000" --json',
)
_command(
    "serve_session:serve_session",
    _EXPLORE,
    "serve-session TASK [KEY=VALUE]...",
    "Offer a task as an MCP server, so that any MCP client can do it.",
    "serve-session v6/test/3",
    "serve-session v6/test/3 --port 8000 --verdict",
)
_command(
    "serve_model:serve_model",
    _USE,
    "serve-model MODEL",
    "Serve a model over HTTP: token ids for rollouts, chat completions for agents.",
    "serve-model runs/sft/model --port 8000",
    "evaluate served:http://localhost:8000 world:short",
)


def main() -> None:
    """Run the command line: an error raised on purpose becomes a message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that a terminal lacks stops nothing
    sys.excepthook = _show_crash
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_SafeLogs())
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except BrokenPipeError:  # the reader has seen enough, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        _stop("stopped; the same command continues from here", 130)
    except CycloptsError as error:
        _stop(_misused(error), 2)
    except ToolmasterError as error:
        _stop(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        told = not_installed(error)
        if told is error:
            raise
        _stop(str(told), 1)


def _misused(error: CycloptsError) -> str:
    """What is wrong with a command line, and where its help is."""
    told = str(error)
    unused = error.unused_tokens or []
    if isinstance(error, UnknownCommandError) and unused and unused[0].startswith("-"):
        return f"{unused[0]} stands before the command; options follow it: toolmaster COMMAND ..."
    if not error.command_chain:
        return told
    command = " ".join(error.command_chain)
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        told = f"`{command}` needs {error.argument.name}."
    if isinstance(error, UnusedCliTokensError) and command == "recipe":
        told = f"the recipe is printed; to write a file of it, put > before {unused[0]!r}."
    return f"{told} See `toolmaster {command} --help`"


def _stop(message: str, code: int) -> NoReturn:
    print(f"toolmaster: {_safe(message)}", file=sys.stderr)
    sys.exit(code)


def _safe(text: str) -> str:
    """What may be shown of a text from anywhere: it steers no terminal, and holds no secret."""
    text = redacted_message(text)
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


class _SafeLogs(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _safe(super().format(record))


def _show_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    print(_safe("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr)
