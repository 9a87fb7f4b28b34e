"""Prompt lookup: what followed an n-gram before is drafted again."""

from toolmaster.policies.prompt_lookup import PromptLookupDrafter


def test_a_draft_is_what_followed_the_same_three_tokens():
    drafter, rollout = PromptLookupDrafter(3), {}
    drafter.learn([1, 2, 3, 4, 5, 1, 2, 3], 0, rollout)
    assert drafter.draft([1, 2, 3, 4, 5, 1, 2, 3], rollout, 9) == [4, 5, 1]
    assert drafter.draft([1, 2, 3, 4, 5, 1, 2, 3], rollout, 1) == [4]
    assert drafter.draft([1, 2, 3, 4, 5, 1, 2, 3], rollout, 0) == []
    assert drafter.draft([7, 8, 9], rollout, 9) == []


def test_two_tokens_serve_where_three_were_never_seen():
    drafter, rollout = PromptLookupDrafter(1), {}
    drafter.learn([1, 2, 3], 0, rollout)
    assert drafter.draft([9, 1, 2], rollout, 9) == [3]


def test_other_rollouts_count_by_three_tokens_only():
    drafter = PromptLookupDrafter(1)
    drafter.learn([1, 2, 3, 4], 0, {})
    assert drafter.draft([1, 2, 3], {}, 9) == [4]
    assert drafter.draft([9, 2, 3], {}, 9) == []


def test_this_rollout_comes_before_others_and_the_last_time_before_the_first():
    drafter, rollout = PromptLookupDrafter(1), {}
    drafter.learn([1, 2, 3, 4, 0, 1, 2, 3, 5], 0, rollout)
    drafter.learn([1, 2, 3, 6], 0, {})
    assert drafter.draft([1, 2, 3], rollout, 9) == [5]


def test_learning_goes_on_from_where_it_stopped():
    whole, parts = {}, {}
    PromptLookupDrafter(1).learn([1, 2, 3, 4, 5], 0, whole)
    drafter = PromptLookupDrafter(1)
    drafter.learn([1, 2, 3], 0, parts)
    drafter.learn([1, 2, 3, 4, 5], 3, parts)
    assert whole == parts


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("toolmaster.policies.prompt_lookup._MAX_ENTRIES", 2)
    drafter = PromptLookupDrafter(1)
    drafter.learn([1, 2, 3, 4, 5, 6], 0, {})
    drafter.learn([7, 8], 0, {})
    assert drafter.draft([1, 2, 3], {}, 9) == []
