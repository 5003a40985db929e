"""The page pool keeps its books."""

from __future__ import annotations

import pytest

from jackfield.engine.pages import PagePool


def test_a_taken_page_is_held_until_its_last_release() -> None:
    freed: list[int] = []
    pool = PagePool(2, 16, freed.append)
    page = pool.take()
    assert page is not None
    pool.share(page)
    pool.release(page)
    assert (pool.num_free, freed) == (1, [])
    pool.release(page)
    assert (pool.num_free, freed) == (2, [page])


def test_an_empty_pool_says_so() -> None:
    pool = PagePool(1, 16)
    assert pool.take() is not None
    assert pool.take() is None


def test_a_page_that_only_the_tree_holds_is_idle() -> None:
    pool = PagePool(2, 16)
    page = pool.take()
    assert page is not None
    pool.keep(page)
    assert (pool.is_idle(page), pool.num_available) == (False, 1)
    pool.release(page)
    assert (pool.is_idle(page), pool.num_available, pool.num_free) == (True, 2, 1)
    pool.share(page)
    assert (pool.is_idle(page), pool.num_available) == (False, 1)
    pool.release(page)
    pool.drop(page)
    assert (pool.num_idle, pool.num_free) == (0, 2)


def test_a_page_cannot_be_released_more_often_than_taken() -> None:
    pool = PagePool(1, 16)
    page = pool.take()
    assert page is not None
    pool.keep(page)
    pool.release(page)
    with pytest.raises(AssertionError, match="no sequence to release it"):
        pool.release(page)


def test_the_check_finds_a_leaked_page() -> None:
    pool = PagePool(2, 16)
    page = pool.take()
    assert page is not None
    with pytest.raises(AssertionError, match="1 references, but 0 holders"):
        pool.check({})
    pool.check({page: 1})


@pytest.mark.parametrize(("tokens", "pages"), [(0, 0), (1, 1), (16, 1), (17, 2), (32, 2)])
def test_a_begun_page_counts_whole(tokens: int, pages: int) -> None:
    assert PagePool(4, 16).pages_for(tokens) == pages
