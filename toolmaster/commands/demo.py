"""`toolmaster demo`: a scripted player meets a tool whose documentation is wrong.

No model and no key: the player's turns are written here. The session, the copy that the trial works
on and the view in the terminal are the real ones.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.markdown import Markdown

from toolmaster.agent import Agent
from toolmaster.limits import Budget, BudgetSettings
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.report.live import OneTask
from toolmaster.tasksets import Task
from toolmaster.tools import tool
from toolmaster.types import Step

QUESTION = 'What does one "Wool Rug" cost in dollars?'
CALL = '<tool_call>{{"name": "get_price", "arguments": {{"item": "{item}"}}}}</tool_call>'
KETTLE, RUG = CALL.format(item="Copper Kettle"), CALL.format(item="Wool Rug")
DIRECT = (
    f"<think>get_price gives prices in dollars.</think>{RUG}",
    "<think>It says 8990.</think><answer>$8,990</answer>",
)
TRIAL = (
    "<think>I have never used get_price. Its documentation gives an example: the Copper Kettle"
    f" should cost 46. I try that first.</think>{KETTLE}",
    "<think>4600, not 46: a hundred times too much. The results are in cents."
    "</think><experience>get_price answers in cents: divide by 100.</experience>",
    f"<think>Now the price that was asked for.</think>{RUG}",
    "<think>8990 cents are 89.90 dollars.</think><answer>$89.90</answer>",
)


class Shop:
    """A shop whose prices are documented in dollars and given in cents."""

    @tool(effect="read")
    def get_price(self, item: str) -> int:
        """Price of an item in dollars. Example: "Copper Kettle" -> 46."""
        return {"Copper Kettle": 4600, "Wool Rug": 8990}[item]


class _Slowly(OneTask):
    """The view of one task, at a pace that can be read."""

    def __init__(self, console: Console, budget: Budget, pause_s: float) -> None:
        super().__init__(console, budget)
        self._pause_s = pause_s

    def step(self, task: Task, step: Step) -> None:
        """Show a turn and wait."""
        super().step(task, step)
        time.sleep(self._pause_s)


def demo(console: Console, pause_s: float = 1.5) -> None:
    """Show the same question answered without a trial, and with one.

    Args:
        console: Where it is shown.
        pause_s: Seconds to wait after each turn.
    """
    console.print(
        Markdown(
            "`get_price` is documented in dollars and answers in **cents**. The player below is"
            " scripted; session, trial and view are the real ones."
        )
    )
    for title, protocol, turns, verdict in (
        ("Without a trial", Protocol.DIRECT, DIRECT, "[bold red]✗ a hundred times too much"),
        ("With a trial", Protocol.TRIAL, TRIAL, "[bold green]✓ right"),
    ):
        console.print(Markdown(f"## {title}"))
        budget = Budget(BudgetSettings())
        view = _Slowly(console, budget, pause_s)
        try:
            policy = ScriptedPolicy(turns)
            agent = Agent(policy, Shop(), protocol=protocol, budget=budget, callbacks=view)
            agent.run(QUESTION)
        finally:
            view.close()
        console.print(verdict)
    console.print(
        Markdown(
            "Next: `toolmaster solve --help` for your own tools,"
            " `toolmaster run quickstart` to train a model that does this."
        )
    )
