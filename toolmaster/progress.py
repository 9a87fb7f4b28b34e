"""What commands print: results on standard output, progress and messages on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from toolmaster.system.processes import is_main
from toolmaster.system.terminal import visible
from toolmaster.types import Trajectory


class _Visible(RenderHook):
    """Makes control characters visible in everything that a console prints."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Shown(one) for one in renderables]


class _Shown:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._renderable, options):
            shown = segment.text if segment.control else visible(segment.text)
            yield Segment(shown, segment.style, segment.control)


def safe_console(**options: Any) -> Console:
    """Return a console that no printed text can steer, whoever wrote it."""
    made = Console(highlight=False, **options)
    made.push_render_hook(_Visible())
    return made


console = safe_console()
"""Where results are printed."""


def messages() -> Console:
    """Return a console on standard error, for everything that is no result."""
    return safe_console(stderr=True)


def say(text: str, style: str = "dim", where: Console = console) -> None:
    """Print a text as it is: never markup, and broken nowhere."""
    where.print(Text(text, style), soft_wrap=True)


def tell(text: str) -> None:
    """Print a line about the work on standard error, in the main process only."""
    if is_main():
        say(text, where=messages())


def tell_kept(count: int, what: str, file: Path) -> None:
    """Tell that results of an earlier run are used again, and how to start afresh."""
    if count:
        tell(
            f"{count} {what} are kept from before in {file} and are used again; to start afresh,"
            " remove it or name another place"
        )


class Bar:
    """A running bar, with a few words beside it."""

    def __init__(self, progress: Progress, task: Any) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Move on by `count`."""
        self._progress.update(self._task, advance=count)
        if note is not None:
            self._progress.update(self._task, note=note)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal alone, for a question to the user."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def at(self, done: int, total: int, note: str) -> None:
        """Set position, length and note."""
        self._progress.update(self._task, completed=done, total=total, note=note)


@contextmanager
def bar(
    title: str, total: int, done: int = 0, where: Console | None = None, *, hidden: bool = False
) -> Iterator[Bar]:
    """Show a bar for work of `total` items of which `done` are finished already.

    Args:
        title: Name of the work.
        total: Number of items.
        done: Number of items that were finished before.
        where: Where it is shown; standard error by default.
        hidden: Whether to show nothing, as in all processes but the main one.
    """
    columns = (
        TextColumn("[bold]{task.description:<22}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    hidden = hidden or not is_main()
    with Progress(*columns, console=where or messages(), disable=hidden) as progress:
        yield Bar(progress, progress.add_task(title, total=total, completed=done, note=""))


def solved_counter(running: Bar) -> Callable[[Trajectory], None]:
    """Return a function that moves a bar by one for a trajectory and notes how many succeeded."""
    solved = 0

    def count(trajectory: Trajectory) -> None:
        nonlocal solved
        solved += trajectory.success
        running.advance(note=f"{solved} solved")

    return count


def training_callback(running: Bar) -> Any:
    """A Transformers `TrainerCallback` that moves a bar."""
    from transformers import TrainerCallback  # noqa: PLC0415 - heavy

    class _Moves(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
            shown = ("loss", "mean_token_accuracy", "reward", "rollout_success")
            numbers = [f"{k} {float(v):.3f}" for k, v in (logs or {}).items() if k in shown]
            running.at(state.global_step, state.max_steps, "  ".join(numbers))

    return _Moves()
