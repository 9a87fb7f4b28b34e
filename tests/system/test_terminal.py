"""Whatever a text holds, it does not steer a terminal."""

import io
import json

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from toolmaster.progress import safe_console
from toolmaster.system.terminal import json_line, visible

ESCAPES = "\x1b]0;PWNED\x07\x1b[2J\r\x9b\u202e"
STEER = set(ESCAPES) - set("]0;PWNED[2J")


def test_control_characters_are_shown_as_signs():
    assert visible("a\tb\n\x1b\r\x9b") == "a\tb\n\u241b\u240d\ufffd"


def test_json_keeps_its_values():
    line = json_line({"a": ESCAPES})
    assert not STEER & set(line)
    assert json.loads(line) == {"a": ESCAPES}


def test_a_console_shows_no_control_characters_however_they_are_printed():
    table = Table(ESCAPES)
    table.add_row(Text(ESCAPES))
    file = io.StringIO()
    console = safe_console(file=file, width=200)
    shown = [ESCAPES, Text(ESCAPES), table, Panel(ESCAPES, title=ESCAPES), Group(ESCAPES)]
    console.print(*shown)
    console.print(ESCAPES, style="bold", markup=False, soft_wrap=True)
    console.rule(ESCAPES)
    assert file.getvalue().count("PWNED") >= 7
    assert not STEER & set(file.getvalue())


def test_a_console_still_has_colours():
    file = io.StringIO()
    safe_console(file=file, force_terminal=True, color_system="standard").print("[red]a[/red]")
    assert file.getvalue() == "\x1b[31ma\x1b[0m\n"
