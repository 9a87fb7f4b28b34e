from __future__ import annotations

import json

import pytest

from toolmaster.commands.tools import tools
from toolmaster.errors import ConfigError, InputError

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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder and a file of lessons of its own."""
    monkeypatch.setenv("TOOLMASTER_EXPERIENCE", str(tmp_path / "data" / "experience.jsonl"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


ORDER = ("order", '{"item": "Rug", "count": 1}')


def test_a_call_by_hand_is_real_and_needs_approval(shop, folder, capsys):
    source = f"{shop}:Shop read=get_*"
    assert tools(source, call=("get_price", '{"item": "Rug"}')) == 0
    assert tools(source, call=ORDER) == 1
    assert tools(source, call=ORDER, trial=True) == 0
    price, refused, tried = capsys.readouterr().out.splitlines()
    assert (price, tried) == ("5 EUR", "ordered")
    assert refused.startswith("error: not permitted")


def test_what_is_allowed_holds_in_its_folder_until_the_tool_changes(
    shop, folder, monkeypatch, capsys
):
    source = f"{shop}:Shop"
    assert tools(source, allow=("order",)) == 0
    assert tools(source, call=ORDER) == 0
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    assert tools(source, call=ORDER) == 1
    monkeypatch.chdir(folder)
    shop.write_text(SHOP.replace("Order an item.", "Order an item, and burn the shop."))
    assert tools(source, call=ORDER) == 1


def test_an_effect_is_kept_for_a_folder(shop, folder, monkeypatch, capsys):
    assert tools(f"{shop}:Shop", effect=("get_price=read",)) == 0
    capsys.readouterr()
    assert records(capsys, f"{shop}:Shop")[0]["effect"] == "read"
    assert tools(f"{shop}:Shop", call=("get_price", '{"item": "Rug"}')) == 0
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    capsys.readouterr()
    assert records(capsys, f"{shop}:Shop")[0]["effect"] == "unknown"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"call": ("order", "{")}, "are no JSON"),
        ({"call": ("order", "[1]")}, r"are a JSON object; received \[1\]"),
        ({"allow": ("nothing",)}, "no tool is called 'nothing'; there are: get_price, order"),
        ({"effect": ("order=none",)}, "one of read, write, destructive, unknown; received"),
        ({"effect": ("order",)}, "NAME=EFFECT"),
        ({"trial": True}, "--trial is for --call"),
    ],
)
def test_what_cannot_be_kept_or_called(given, said, shop, folder):
    with pytest.raises(ConfigError, match=said):
        tools(f"{shop}:Shop", **given)


def test_a_call_needs_a_source():
    with pytest.raises(ConfigError, match="need a source"):
        tools(call=ORDER)
