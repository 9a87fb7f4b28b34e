"""Names and descriptions within what model APIs take."""

import re

import pytest

from toolmaster.tools.openapi.names import argument_name, definition_name, operation_name, trim


@pytest.mark.parametrize(
    ("operation_id", "method", "path", "name"),
    [
        ("getPet", "get", "/pets/{id}", "getPet"),
        ("pets/list all", "get", "/pets", "pets_list_all"),
        (None, "get", "/pets/{petId}/toys", "get_pets_petId_toys"),
        ("", "delete", "/", "delete"),
        ("ぺット", "put", "/a-b/c.d", "put_a-b_c_d"),
        (7, "post", "/x", "post_x"),
        (None, "get", "/very/" + "long/" * 20 + "tail/{id}", "get_" + "long_" * 10 + "tail_id"),
        ("word_" * 20, "get", "/", "word_" * 11 + "word"),
    ],
)
def test_operation_names(operation_id, method, path, name):
    assert operation_name(operation_id, method, path, set()) == name


def test_names_stay_unique_and_valid():
    taken = set()
    for _ in range(120):
        taken.add(operation_name("x" * 200, "get", "/", taken))
    assert len(taken) == 120
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in taken)


def test_argument_names():
    assert argument_name("filter[status]", "query", set()) == "filter_status"
    assert argument_name("$top", "query", set()) == "top"
    assert argument_name("a.b", "query", set()) == "a.b"
    assert argument_name("[]", "query", set()) == "query"
    assert argument_name("id", "query", {"id"}) == "id_query"
    assert argument_name("id", "query", {"id", "id_query"}) == "id_query_2"


def test_definition_names():
    assert definition_name("#/components/schemas/a~1b%20", {"a_1b_20"}) == "a_1b_20_2"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        (" short\n text ", "short text"),
        ("First sentence here. Second one is cut.", "First sentence here."),
        ("A. word after word after word after word", "A. word after word..."),
        ("x" * 50, "x" * 21 + "..."),
        (None, ""),
        (["a"], ""),
    ],
)
def test_trim(text, cut):
    assert trim(text, 24) == cut
    assert len(trim(text, 24)) <= 24
