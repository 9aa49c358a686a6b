"""Threads that work a little ahead."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vflow.nodes.encoding.ahead import ahead


@given(st.lists(st.integers()), st.integers(0, 4))
def test_results_come_in_order_whatever_the_number_of_threads(items, workers):
    assert list(ahead(lambda item: item + 1, items, workers)) == [item + 1 for item in items]


def test_no_more_than_the_promised_number_of_items_is_read_ahead():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    results = ahead(lambda item: item, items(), 3)
    next(results)
    time.sleep(0.01)
    assert len(taken) <= 4
    results.close()


def test_the_first_results_arrive_before_a_later_failure():
    def work(item):
        if item == 2:
            raise ValueError("two")
        return item

    results = ahead(work, range(5), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_with_workers_the_reader_does_not_do_the_work_and_without_it_does():
    def name(_item):
        return threading.current_thread().name

    here = threading.current_thread().name
    assert set(ahead(name, range(3), 0)) == {here}
    assert here not in set(ahead(name, range(3), 2))


def test_an_endless_source_can_be_closed():
    def endless():
        while True:
            yield 1

    results = ahead(lambda item: item, endless(), 2)
    assert next(results) == 1
    results.close()
