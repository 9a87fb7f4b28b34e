"""How familiar tools are, worked by hand."""

import pytest
from made_trajectories import call, rollout

from toolmaster.evaluation.analysis_tables import familiarity_grid
from toolmaster.evaluation.familiarity import by_familiarity, familiarity
from toolmaster.types import ErrorKind


def tool(name, description="", **parameters):
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    schema = {"type": "object", "properties": properties}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


def test_familiarity_is_one_for_the_same_document_and_zero_without_a_common_word():
    price = tool("get_price", "Price of a product.", product="its name")
    same, other = familiarity([price, tool("wind", "Kites.")], [price, tool("ship", "Parcels")])
    assert same == pytest.approx(1.0)
    assert other == 0.0
    assert familiarity([price], []) == [0.0]


def test_familiarity_splits_names_and_prefers_rare_words():
    snake, camel, common = familiarity(
        [tool("tide_table"), tool("tideTable"), tool("get_forecast")],
        [tool("tide_table"), *(tool(f"get_{word}") for word in ("price", "ship", "wind"))],
    )
    assert snake == camel == pytest.approx(1.0)
    # Of two words "get" is shared, and it is in 4 of 7 documents: idf 1 + ln(8/5) and 1 + ln(8/2).
    assert common == pytest.approx(1.47 * 1.47 / (1.47**2 + 2.386**2), abs=0.02)


def test_by_familiarity():
    known, near, far = tool("get_price"), tool("get_weight"), tool("fly_kite")
    failed = call("get_weight", error=ErrorKind.TOOL_ERROR)
    group = [
        rollout("1", True, [call("get_price")] * 2, tools=[known]),
        rollout("2", True, [call("get_weight"), failed], tools=[near]),
        rollout("3", False, [call("nothing")], tools=[far]),
    ]
    found = by_familiarity(group, [known])
    assert list(found) == ["low", "medium", "high"]
    low, medium, high = found.values()
    assert (low.tools, low.frequency, low.call_success) == (1, 0.0, None)
    assert low.success.mean == 0.0
    assert (medium.frequency, medium.call_success.mean) == (2.0, 0.5)
    assert (high.familiarity, high.call_success.mean) == (pytest.approx(1.0), 1.0)
    assert high.success.mean == 1.0
    assert by_familiarity([], [known]) == {}
    grid = familiarity_grid(group, [known])
    assert [cell.value for cell in grid.rows[2]] == ["high", "1", "1.00", "2.00", "100.0", "100.0"]
