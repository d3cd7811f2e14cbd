"""The proof of the checks: every wrong answer refused, every right one accepted, no stage idle."""

import importlib
import linecache
import multiprocessing
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from checks import LESSONS, Check, CheckFailed
from checks.mutants import mutants
from helpers import fences

SEEDS = (0, 1, 2)


@dataclass
class Verdict:
    """What one check did with all answers of its exercise."""

    exercise: str
    name: str
    alternatives: int = 0
    mistakes: int = 0
    mutants: int = 0
    refused_right: list[str] = field(default_factory=list)
    accepted_wrong: list[str] = field(default_factory=list)
    kills: Counter = field(default_factory=Counter)
    idle: list[str] = field(default_factory=list)
    seconds: float = 0.0


def bank(lesson: str):
    """The bank of right and wrong answers of a lesson."""
    return importlib.import_module(f"checks.answers.{lesson}").bank


PROCESSES = 2  # an exercise at a time in each; the checks themselves use one thread


def audit(lesson: str) -> list[Verdict]:
    """One verdict an exercise of the lesson, over all seeds."""
    numbers = range(len(LESSONS[lesson]))
    if len(numbers) == 1:
        return [_verdict_of(lesson, 0)]
    # A process of its own kind: a fork of one in which torch has run may wait for ever.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=fresh) as pool:
        return list(pool.map(_verdict_of, [lesson] * len(numbers), numbers))


def _verdict_of(lesson: str, number: int) -> Verdict:
    return _verdict(LESSONS[lesson][number], bank(lesson))


def _verdict(check: Check, kept) -> Verdict:
    start, answers = time.perf_counter(), kept.answers[check.id]
    machine = made_wrong(check, kept.equivalent)
    found = Verdict(check.id, check.name, len(answers.right), len(answers.wrong), len(machine))
    for answer in [check.reference_answer, *answers.right]:
        _expect_pass(check, answer, found)
    _expect_unwritten(check, found)
    for title, answer in [*((_title(a), a) for a in answers.wrong), *machine]:
        _expect_refusal(check, title, answer, found)
    found.idle = [stage for stage in check.stages if not found.kills[stage]]
    found.seconds = time.perf_counter() - start
    return found


def _expect_pass(check: Check, answer: object, verdict: Verdict) -> None:
    for seed in SEEDS:
        try:
            check(answer, seed=seed)
        except CheckFailed as failed:
            verdict.refused_right.append(f"{check.id} {_title(answer)}, seed {seed}: {failed}")


def _expect_unwritten(check: Check, verdict: Verdict) -> None:
    state = "passed"
    try:
        check(stub_of(check), seed=0)
    except CheckFailed as failed:
        state = failed.state
    if state != "unwritten":
        verdict.accepted_wrong.append(f"{check.id}: the empty stub is {state}, not unwritten")


def _expect_refusal(check: Check, title: str, answer: object, verdict: Verdict) -> None:
    for seed in SEEDS:
        try:
            check(answer, seed=seed)
            verdict.accepted_wrong.append(f"{check.id} {title}, seed {seed}")
        except CheckFailed as failed:
            verdict.kills[failed.stage] += 1


def _title(answer: object) -> str:
    return getattr(answer, "__name__", repr(answer))


def made_wrong(check: Check, equivalent: dict) -> list[tuple[str, object]]:
    """The mutants of a check's reference that are not listed as equivalent."""
    path = _file(check)
    return [
        (mutant.slip, _defined(check, mutant.source, f"<mutant {i} of {check.name}>"))
        for i, mutant in enumerate(mutants(path, check.name))
        if (check.id, mutant.slip) not in equivalent
    ]


def stub_of(check: Check) -> object:
    """The exercise as a learner first meets it."""
    path = _file(check)
    source = fences.source_of(path.read_text(encoding="utf-8"), check.name)
    return _defined(check, fences.stub(source), f"<stub of {check.name}>")


def _file(check: Check) -> Path:
    return Path(importlib.import_module(check.reference_answer.__module__).__file__)


def _defined(check: Check, source: str, file: str) -> object:
    module = importlib.import_module(check.reference_answer.__module__)
    names = dict(vars(module), __name__=file)
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), names)
    return names[check.name]


def summary(verdicts: list[Verdict]) -> dict:
    """The numbers of a lesson's audit, as `--json` prints them."""
    return {
        "exercises": len(verdicts),
        "alternatives": sum(v.alternatives for v in verdicts),
        "refused_right": [line for v in verdicts for line in v.refused_right],
        "mistakes": sum(v.mistakes for v in verdicts),
        "mutants": sum(v.mutants for v in verdicts),
        "accepted_wrong": [line for v in verdicts for line in v.accepted_wrong],
        "seconds": round(sum(v.seconds for v in verdicts), 1),
    }


def table(verdicts: list[Verdict]) -> str:
    """One row an exercise, then each thing that is amiss."""
    rows = [("exercise", "right", "refused", "wrong", "mutants", "accepted", "seconds")]
    for v in verdicts:
        counts = 1 + v.alternatives, len(v.refused_right), v.mistakes, v.mutants
        rows.append((f"{v.exercise} {v.name}", *counts, len(v.accepted_wrong), f"{v.seconds:.1f}"))
    lines = ["{:28}{:>8}{:>9}{:>8}{:>9}{:>10}{:>9}".format(*row) for row in rows]
    for v in verdicts:
        lines += [f"refused, and right: {line}" for line in v.refused_right]
        lines += [f"accepted, and wrong: {line}" for line in v.accepted_wrong]
        lines += [f"never refuses anything: {v.exercise}, stage {stage}" for stage in v.idle]
    return "\n".join(lines)


def clean(verdicts: list[Verdict]) -> bool:
    """Whether nothing is amiss, with at least three alternatives and eight mistakes each."""
    return all(
        not (v.refused_right or v.accepted_wrong or v.idle)
        and v.alternatives >= 3
        and v.mistakes >= 8
        for v in verdicts
    )
