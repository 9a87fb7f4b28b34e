import random
import re

import pytest

from toolmaster.types import Effect
from toolmaster.world.requests import do, filled, missing, phrase, unquoted
from toolmaster.world.service import Operation, Param
from toolmaster.world.spec import Specs, param_of
from toolmaster.world.values import kind_of


def told(param, value):
    return {phrase(param, value, random.Random(seed)) for seed in range(60)}


def test_what_is_quoted_is_not_quoted_again():
    said = told(param_of("text", 'text; saying "{}"'), "boxing before album")
    assert 'saying "boxing before album"' in said
    assert not any('""' in one for one in said)
    assert filled('called "{}"', '"Oak"') == 'called "Oak"'


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("breakfast", "with breakfast", "without breakfast"),
        ("with_attachments", "with attachments", "without attachments"),
        ("keep_seal", "keeping seal", "not keeping seal"),
        ("include_stored", "including stored", "not including stored"),
    ],
)
def test_a_yes_or_no_is_said_in_words(name, yes, no):
    param = param_of(name, "boolean = true")
    assert (told(param, True), told(param, False)) == ({yes}, {no})
    operation = Operation("a", "act", "a", "", (param,), Effect.WRITE, dict, "close it")
    said = {do(operation, {name: False}, random.Random(seed)) for seed in range(200)}
    assert not any("False" in one for one in said)
    assert any(f"({param.label}: no)" in one for one in said)


def test_numbers_are_asked_for_by_how_many():
    param = Param("nights", kind_of("integer 1..9 nights"))
    assert {missing(param, random.Random(seed)) for seed in range(20)} == {"How many nights?"}


def test_no_parameter_of_the_services_is_called_by_a_preposition():
    words = {"to", "at", "by", "on", "from", "until", "of", "for", "in", "over", "hours"}
    for service in Specs().services.values():
        for operation in service.operations.values():
            assert not {param.name for param in operation.params} & words


def test_a_record_is_named_as_it_is_described(worlds):
    ids = (worlds["full"].id_of("test", number) for number in range(150))
    found = [one for one in map(worlds["full"].draw, ids) if one.goal.kind == "chain"]
    assert found
    for one in found:
        text = one.task.query
        assert text.count('"') in (0, 2, 4)
        assert not re.search(r'"(for|at|with|by|in|made|run) ', text)


def test_quotation_marks_of_names_can_be_left_out():
    request = 'Note "call back" for "Ada Holm" in "Oslo".'
    assert unquoted(request) == 'Note "call back" for Ada Holm in Oslo.'
