"""Drafts: what followed before is guessed again."""

from toolmaster.policies.drafts import Drafts


def test_a_guess_is_what_followed_the_same_three_tokens():
    drafts, here = Drafts(3), {}
    drafts.learn([1, 2, 3, 4, 5, 1, 2, 3], 0, here)
    assert drafts.guess([1, 2, 3, 4, 5, 1, 2, 3], here, 9) == [4, 5, 1]
    assert drafts.guess([1, 2, 3, 4, 5, 1, 2, 3], here, 1) == [4]
    assert drafts.guess([1, 2, 3, 4, 5, 1, 2, 3], here, 0) == []
    assert drafts.guess([7, 8, 9], here, 9) == []


def test_two_tokens_serve_where_three_were_never_seen():
    drafts, here = Drafts(1), {}
    drafts.learn([1, 2, 3], 0, here)
    assert drafts.guess([9, 1, 2], here, 9) == [3]


def test_other_rollouts_count_by_three_tokens_only():
    drafts = Drafts(1)
    drafts.learn([1, 2, 3, 4], 0, {})
    assert drafts.guess([1, 2, 3], {}, 9) == [4]
    assert drafts.guess([9, 2, 3], {}, 9) == []


def test_this_rollout_comes_before_others_and_the_last_time_before_the_first():
    drafts, here = Drafts(1), {}
    drafts.learn([1, 2, 3, 4, 0, 1, 2, 3, 5], 0, here)
    drafts.learn([1, 2, 3, 6], 0, {})
    assert drafts.guess([1, 2, 3], here, 9) == [5]


def test_learning_goes_on_from_where_it_stopped():
    whole, parts = {}, {}
    Drafts(1).learn([1, 2, 3, 4, 5], 0, whole)
    drafts = Drafts(1)
    drafts.learn([1, 2, 3], 0, parts)
    drafts.learn([1, 2, 3, 4, 5], 3, parts)
    assert whole == parts


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("toolmaster.policies.drafts._KEPT", 2)
    drafts = Drafts(1)
    drafts.learn([1, 2, 3, 4, 5, 6], 0, {})
    drafts.learn([7, 8], 0, {})
    assert drafts.guess([1, 2, 3], {}, 9) == []
