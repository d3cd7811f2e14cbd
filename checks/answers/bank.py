"""Right and wrong answers to a lesson's exercises, by which the audit judges the checks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

Answer = TypeVar("Answer", bound=Callable)


@dataclass
class Answers:
    """What the check of one exercise must accept and what it must refuse."""

    right: list[Callable] = field(default_factory=list)
    wrong: list[Callable] = field(default_factory=list)


class Bank:
    """The answers of one lesson by exercise id; `parts` are banks whose answers it takes over.

    `equivalent` gives, for an exercise id and the description of a mutant, why that mutant of the
    reference does what the reference does.
    """

    def __init__(self, stem: str, *parts: "Bank"):
        self.stem = stem
        self.answers: dict[str, Answers] = {}
        self.equivalent: dict[tuple[str, str], str] = {}
        for part in parts:
            for exercise, answers in part.answers.items():
                self._of(exercise).right.extend(answers.right)
                self._of(exercise).wrong.extend(answers.wrong)
            self.equivalent.update(part.equivalent)

    def right(self, exercise: str) -> Callable[[Answer], Answer]:
        """A decorator that enters an answer the check of `exercise` must accept, unchanged."""
        return lambda answer: _enter(answer, self._of(exercise).right)

    def wrong(self, exercise: str) -> Callable[[Answer], Answer]:
        """A decorator that enters an answer the check of `exercise` must refuse, unchanged."""
        return lambda answer: _enter(answer, self._of(exercise).wrong)

    def _of(self, exercise: str) -> Answers:
        return self.answers.setdefault(exercise, Answers())


def _enter(answer: Answer, answers: list[Callable]) -> Answer:
    if not answer.__doc__:
        raise ValueError(f"{answer.__name__} must have a docstring that says its mistake or style")
    answers.append(answer)
    return answer
