"""Pieces of work on several threads: order, errors, and what they leave behind."""

import multiprocessing
import threading

import pytest
import torch

from ghm_mmdet.ops import workers


@pytest.fixture
def two_threads():
    """PyTorch may use two threads for the duration of the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def squares(count):
    return workers.run(lambda number: number * number, range(count))


@pytest.mark.parametrize('count', [0, 1, 2, 50])
def test_results_are_in_the_order_of_the_pieces(two_threads, count):
    assert squares(count) == [number * number for number in range(count)]


def test_pieces_run_side_by_side_with_one_thread_each(two_threads):
    meeting = threading.Barrier(2, timeout=30)

    def work(_):
        meeting.wait()  # breaks where the second piece starts after the first has ended
        return torch.get_num_threads()

    assert workers.run(work, range(2)) == [1, 1]
    assert torch.get_num_threads() == 2


def test_the_number_of_threads_survives_an_error(two_threads):
    with pytest.raises(ZeroDivisionError):
        workers.run(lambda number: 1 // number, range(3))
    assert torch.get_num_threads() == 2


def put_squares(queue):
    torch.set_num_threads(2)
    queue.put(squares(5))


def test_a_forked_process_has_threads_of_its_own(two_threads):
    squares(5)
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    child = context.Process(target=put_squares, args=(queue,))
    child.start()
    assert queue.get(timeout=30) == [0, 1, 4, 9, 16]
    child.join()
