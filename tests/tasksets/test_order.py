"""Orders of ids: shuffled, or rotated."""

import pytest

from toolmaster.tasksets.order import Computed, reorder


def numbers(length, seed=None):
    """Ids "0", "1", ... of any length."""
    ids = Computed(length, str)
    return ids if seed is None else reorder(ids, seed)


def test_a_list_is_shuffled_by_the_seed_alone():
    ids = tuple("abcdef")
    assert reorder(ids, 3) == reorder(list(ids), 3)
    assert sorted(reorder(ids, 3)) == list(ids)
    assert len({reorder(ids, seed) for seed in range(20)}) > 10
    assert reorder(ids, 0) == ("e", "f", "b", "a", "d", "c")  # the same for ever


def test_computed_ids_begin_elsewhere():
    ids = numbers(1_000_000)
    assert reorder(ids, 0)[:2] == ("0", "1")
    assert reorder(ids, 1)[:2] == ("400000", "400001")
    assert reorder(ids, 3)[:2] == ("200000", "200001")  # 1,200,000 modulo the length
    assert reorder(ids, 1)[599_999:600_001] == ("999999", "0")
    assert reorder(reorder(ids, 2), 1)[0] == "400000"  # the last seed counts


def test_positions():
    ids = numbers(5, 0)
    assert (ids[0], ids[-1], len(ids)) == ("0", "4", 5)
    assert ids[1:10:2] == ("1", "3")
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"no position {index} in 5 task ids"):
            ids[index]
    assert list(numbers(0, 3)) == []
