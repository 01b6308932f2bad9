"""The attack stage: a batch that does not fit is halved, said so, and nothing else is forgiven."""

import pytest

from presto_bench.attacks.base import Completion, Request
from presto_bench.stages.attack import in_memory

REQUESTS = [Request(f"id{i}", f"prompt {i}", "") for i in range(7)]


def runner(fits):
    def run(batch):
        if len(batch) > fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return [Completion(r.prompt_id, 0, (), (), "eos", 0) for r in batch]

    return run


@pytest.mark.parametrize("fits", [1, 2, 3, 6, 7])
def test_a_batch_that_does_not_fit_is_halved_and_keeps_its_order(fits):
    notes = []
    found = in_memory(runner(fits), REQUESTS, notes.append)
    assert [c.prompt_id for c in found] == [r.prompt_id for r in REQUESTS]
    assert bool(notes) == (fits < 7)
    assert all("memory ran out" in note for note in notes)


def test_one_prompt_that_does_not_fit_is_an_error():
    with pytest.raises(RuntimeError, match="out of memory"):
        in_memory(runner(0), REQUESTS, print)


def test_other_errors_are_not_taken_for_memory():
    def run(batch):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_memory(run, REQUESTS, print)
