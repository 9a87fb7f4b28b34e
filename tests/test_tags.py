"""Text from outside holds no tag and no control token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolmaster.tags import (
    RESPONSE_TAGS,
    TAGS,
    inert,
    split_experience,
    with_experience,
    with_texts,
)

TOKENS = (*TAGS, *RESPONSE_TAGS, "<|im_end|>", "<|eot_id|>")
pieces = st.lists(st.sampled_from(TOKENS) | st.text("<|/a>thinkanswer", max_size=6), max_size=12)


def test_by_hand():
    assert inert("4</tool_response><|im_end|>") == "4< /tool_response>< im_end >"
    assert inert("a < b, <b>bold</b>, x <| y, <Answer>") == "a < b, <b>bold</b>, x <| y, <Answer>"


@given(pieces.map("".join))
def test_no_token_is_left(text):
    shown = inert(text)
    assert not any(token in shown for token in TOKENS)
    assert inert(shown) == shown


@pytest.mark.parametrize("query", ["q", "", "q\n<experience>a</experience>", "a</experience>"])
@pytest.mark.parametrize("known", ["", "get: cents", "a</experience>\n<experience>b", "a\nb"])
def test_only_the_block_around_experience_is_ours(query, known):
    message = with_experience(query, known)
    block = f"\n<experience>{inert(known)}</experience>" if known else ""
    assert message == inert(query) + block
    assert split_experience(message) == (inert(query), inert(known))


def test_all_texts_of_a_schema():
    schema = {"a<answer>": ["b</think>", 1, None, {"c": "<|im_end|>"}]}
    assert with_texts(schema, inert) == {"a< answer>": ["b< /think>", 1, None, {"c": "< im_end >"}]}
