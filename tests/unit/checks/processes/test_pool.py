"""What the pool sends to its processes arrives whole."""

import sys

import cloudpickle

from checks.learner.shared_names import SharedNames
from checks.processes.pool import _Call, pool
from checks.processes.travel import packed


def work(answer, rank, group):
    return answer(rank)


def test_a_carried_part_travels_with_its_code(monkeypatch):
    names = SharedNames()
    source = "def twice(x):\n    return 2 * x\n\n\ndef thrice(x):\n    return twice(x) + x\n"
    assert names.run(source, "<part>", "carried_part") == ""
    sent, _ = packed(_Call(work, names["thrice"], ()))
    monkeypatch.delitem(sys.modules, "carried_part")
    assert cloudpickle.loads(sent)(5, None) == 15


def test_code_keeps_its_file_and_takes_its_lines_along():
    sent, lines = packed(lambda: None)
    assert cloudpickle.loads(sent).__code__.co_filename == __file__
    assert "".join(lines[__file__][2]).startswith('"""What the pool sends')


def test_a_process_that_dies_between_two_tasks_counts_for_nobody():
    pool().start()
    for each in pool().workers[1:3]:
        each.process.kill()
        each.process.join()
    outcomes = pool().run(lambda rank: rank, 2, work, ())
    assert [cloudpickle.loads(outcome.value) for outcome in outcomes] == [0, 1, 0, 1]
