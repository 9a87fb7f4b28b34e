"""Orders of ids: shuffled, rotated and mixed, worked out by hand."""

import pytest

from toolmaster.tasksets.order import counts_of, drawn, mixed, reorder


def numbers(length, seed=None):
    """Ids "0", "1", ... of any length."""
    return drawn(length, str, seed)


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


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        ([1], (100,)),
        ([2, 1], (67, 33)),
        ([0.7, 0.3], (70, 30)),
        ([1, 1, 1], (33, 34, 33)),
        ([1000, 1], (99, 1)),
        ([1] * 100, (1,) * 100),
    ],
)
def test_counts(weights, counts):
    assert counts_of(weights) == counts


def test_shares_hold_in_every_hundred():
    ids = mixed((numbers(1000), tuple(f"b{i}" for i in range(1000))), (75, 25))
    for start in range(0, 900, 50):
        from_b = sum(x.startswith("b") for x in ids[start : start + 100])
        assert from_b == 25
    # slots by (rank + 0.5) / count: 1/150, 3/150 = 1/50, 5/150, and b at 1/50; then again
    assert ids[:8] == ("0", "1", "b0", "2", "3", "4", "b1", "5")


def test_no_id_comes_twice_and_none_is_left_out_before_the_end():
    parts = (tuple(f"a{i}" for i in range(140)), tuple(f"b{i}" for i in range(1000)))
    ids = mixed(parts, (50, 50))
    assert len(ids) == 280  # a is used up
    assert [x for x in ids if x[0] == "a"] == list(parts[0])
    assert [x for x in ids if x[0] == "b"] == list(parts[1][:140])


def test_a_mixture_is_reordered_within_its_parts():
    moved = reorder(mixed((numbers(1_000_000), tuple("bcdefg")), (50, 50)), 1)
    assert moved[0] == "400000"
    assert sorted(x for x in moved if x.isalpha()) == list("bcdefg")
