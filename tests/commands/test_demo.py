"""The demo plays in the real session, and its two answers are what it says they are."""

from rich.console import Console

from toolmaster.commands.demo import Shop, demo


def test_the_demo_shows_a_wrong_and_a_right_answer():
    console = Console(record=True, width=100)
    demo(console, pause_s=0)
    shown = console.export_text()
    assert shown.index("$8,990") < shown.index("a hundred times too much")
    assert shown.index("trial phase") < shown.index("divide by 100") < shown.index("$89.90")
    assert "error" not in shown


def test_what_it_says_of_the_price_is_true():
    assert Shop().get_price("Wool Rug") == 8990
    assert Shop().get_price("Copper Kettle") == 100 * 46
