"""The cache of responses: found again after a kill, and summed up by role."""

import pytest

from toolmaster.errors import InputError
from toolmaster.judges.response_cache import Response, ResponseCache, key_of
from toolmaster.limits import Tokens


def test_responses_are_kept_and_found(tmp_path):
    file = tmp_path / "responses.jsonl"
    cache = ResponseCache(file)
    cache.add(Response(role="teacher", text="a", prompt_tokens=10, tokens=2, key=key_of("x", [1])))
    cache.add(Response(role="judge", text="b", prompt_tokens=5, tokens=1))
    with file.open("a") as half:
        half.write('{"role": "teach')  # as a kill leaves it
    again = ResponseCache(file)
    assert again.find(key_of("x", [1])).text == "a"
    assert again.find(key_of("x", [2])) is None
    assert again.find("") is None
    assert (again.spent("teacher"), again.spent("judge")) == (Tokens(10, 2), Tokens(5, 1))
    assert again.spent("proposer") == Tokens()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "responses.jsonl").write_text('\n{"role": "teacher"}\n')
    with pytest.raises(InputError, match=r"responses.jsonl, line 2: text: Field required"):
        ResponseCache(tmp_path / "responses.jsonl")
