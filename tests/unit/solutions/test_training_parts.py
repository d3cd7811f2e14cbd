"""What a training says of the parts that it runs."""

from checks.learner.carry import Carried
from checks.learner.parts_to_train import told
from solutions.train.parts import USED, reference_parts


def carried(*others: str) -> Carried:
    """Every part is the learner's but for `others`."""
    whose = dict.fromkeys(others, "reference (yours: not written yet)")
    return Carried({}, dict.fromkeys([*USED, "sample"], "yours") | whose)


def test_a_part_that_does_not_train_is_not_told():
    assert told(carried("sample")) == "every part is yours"


def test_those_that_are_not_yours_are_told_with_their_reason():
    said = told(carried("attend", "masked_loss")).splitlines()
    assert said[0].startswith("yours: ExpertArray, expert_load,")
    assert said[-2:] == [
        "attend: reference (yours: not written yet)",
        "masked_loss: reference (yours: not written yet)",
    ]
    assert "attend" not in "".join(said[:-2])


def test_none_is_said_to_be_yours():
    assert told(carried(*USED)).startswith("yours: none\nExpertArray: reference")


def test_what_carrying_notes_comes_first():
    noted = Carried({}, dict.fromkeys(USED, "reference"), ("d1_moe.ipynb is not in work/.",))
    assert told(noted).startswith("d1_moe.ipynb is not in work/.\nyours: none\n")


def test_every_part_that_trains_has_a_reference():
    assert set(USED) <= reference_parts().keys()
