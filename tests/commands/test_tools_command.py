from __future__ import annotations

import json

import pytest

from toolmaster.commands.tools import tools
from toolmaster.errors import InputError

SHOP = '''
"""A shop."""

class Shop:
    def __init__(self):
        self.orders = []

    def get_price(self, item: str, currency: str = "EUR", vat: bool = True) -> str:
        """Price of an item."""
        return f"5 {currency}"

    def order(self, item: str, count: int) -> str:
        """Order an item."""
        self.orders.append((item, count))
        return "ordered"
'''


@pytest.fixture
def shop(tmp_path):
    file = tmp_path / "shop.py"
    file.write_text(SHOP)
    return file


def records(capsys, *sources):
    tools(*sources, as_json=True)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_tools_of_a_source(shop, capsys):
    price, order, *_ = records(capsys, f"{shop}:Shop read=get_*")
    assert price["name"] == "get_price"
    assert price["arguments"] == ["item", "currency", "vat"]
    assert price["what it does"] == "Price of an item."
    assert (price["effect"], price["in a trial"]) == ("read", "on a copy")
    assert price["parameters"]["required"] == ["item"]
    assert (order["effect"], order["in a trial"]) == ("unknown", "on a copy")


def test_what_a_trial_does_not_run(shop, capsys):
    price, order, *_ = records(capsys, f"{shop}:Shop read=get_* trials=read_only")
    assert (price["in a trial"], order["in a trial"]) == ("runs", "not run")


def test_what_they_could_hide(shop, capsys):
    _, _, *behaviours = records(capsys, f"{shop}:Shop")
    fits = {record["name"]: record["tools"] for record in behaviours}
    assert fits["wrong default"] == ["get_price"]
    assert fits["fails once"] == ["get_price", "order"]


def test_the_embedded_world(capsys):
    listed = records(capsys)
    services = {record["name"]: record for record in listed if record["kind"] == "service"}
    assert services["museum"]["split"] == "test"
    assert "list_exhibits" in services["museum"]["tools"]
    behaviours = {r["name"]: r["split"] for r in listed if r["kind"] == "hidden behaviour"}
    assert behaviours["swapped"] == "train, test"
    assert behaviours["codes for words"] == "test"


def test_tables(capsys):
    tools()
    shown = capsys.readouterr().out
    assert "services" in shown
    assert "hidden behaviours" in shown
    assert "Two parameters of one type" in shown


def test_a_missing_source(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        tools(str(tmp_path / "nowhere.py"))
