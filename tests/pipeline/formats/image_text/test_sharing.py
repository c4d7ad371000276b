"""How many row groups rows become, and how many of them the workers of a trainer read."""

import pytest

from pipeline.formats.image_text.sharing import left_out_words, planned_groups, too_few_words, used_groups


@pytest.mark.parametrize(
    ("groups", "used"),
    [(57, (56, 32, 0)), (64, (64, 64, 64)), (100, (96, 96, 64)), (512, (512, 512, 512))],
)
def test_workers_read_only_what_divides_among_them(groups: int, used: tuple[int, ...]):
    assert tuple(used_groups(groups, 8, workers) for workers in (1, 4, 8)) == used


@pytest.mark.parametrize(
    ("rows", "groups"), [(1, 1), (3, 2), (63, 32), (64, 64), (1024, 64), (1025, 128), (100_000, 6272)]
)
def test_row_groups_have_about_sixteen_rows_and_are_a_multiple_of_the_shards(rows: int, groups: int):
    planned = planned_groups(rows, 64, 1, 10**9)
    assert planned.groups == groups
    sizes = [len(planned.rows_of(number)) for number in range(groups)]
    assert sum(sizes) == rows
    assert max(sizes) - min(sizes) <= 1
    assert [planned.rows_of(number).start for number in range(1, groups)] == [
        planned.rows_of(number).stop for number in range(groups - 1)
    ]


def test_files_are_not_too_large_and_have_at_most_a_thousand_row_groups():
    assert planned_groups(1024, 64, 3 * 10**9 + 1, 10**9).files == 4
    assert planned_groups(100_000, 64, 1, 10**9).files == 7
    planned = planned_groups(4, 64, 10**9, 1)
    assert (planned.files, [len(planned.groups_of(number)) for number in range(planned.files)]) == (4, [1, 1, 1, 1])


def test_what_is_left_out_is_said_in_words():
    assert left_out_words(57) == "8 x 1: 56 of 57, 8 x 4: 32 of 57, 8 x 8: none"
    assert left_out_words(64) == "8 x 1: all, 8 x 4: all, 8 x 8: all"
    words = too_few_words(planned_groups(40, 64, 1, 1), 64)
    assert "40 rows" in words
    assert words.endswith(
        "on (GPUs x loader workers) 8 x 8, 16 x 4, 16 x 8. Collect more episodes, or train on fewer workers."
    )
