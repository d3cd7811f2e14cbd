"""Reads a story sentence by sentence and says where it contradicts itself.

Only the text is used: the wordings of `helpers.story_world.stories` are read back as events, and
each event is compared with what the sentences before it said.
"""

import re
from dataclasses import dataclass, field
from string import Formatter

from helpers.story_world.stories import COLOURS, FILLERS, KINDS, NAMES, PLACES, THINGS, WORDINGS

WORDS = {"a": NAMES, "b": NAMES, "c": NAMES, "x": THINGS, "y": THINGS, "p": PLACES} | FILLERS
TRAITS = {"kind": KINDS, "colour": COLOURS}


@dataclass(frozen=True)
class Coherence:
    """True where a story never contradicts itself, and otherwise why it does.

    Each problem starts with what is wrong: name, kind, thing, colour, place, owner, or sentence
    (one that no story of this world has, or a missing beginning or end).
    """

    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.problems


def coherence(text: str) -> Coherence:
    """Whether `text` is a complete story whose names, things, colours, places and owners agree."""
    sentences = re.split(r"(?<=\.)\s+", text.strip())
    events = [_read(sentence) for sentence in sentences]
    scene = _Scene()
    for sentence, read in zip(sentences, events, strict=True):
        if read is None:
            scene.problems.append(f"sentence: not of this world: {sentence!r}")
        else:
            scene.play(*read)
    names = [read and read[0] for read in events]
    scene.expect(names[0] == "lives", "sentence: the story does not begin with its hero")
    scene.expect(names[-1] == "has", "sentence: the story does not end with an owner")
    scene.expect("lives" not in names[1:], "sentence: the story begins twice")
    scene.expect("has" not in names[:-1], "sentence: the story ends before its end")
    return Coherence(tuple(scene.problems))


def _pattern(wording: str) -> re.Pattern:
    parts = []
    for literal, slot, *_ in Formatter().parse(wording):
        parts.append(re.escape(literal))
        if slot is not None:
            words = TRAITS[slot[2:]] if "." in slot else WORDS[slot]
            parts.append(f"(?P<{slot.replace('.', '_')}>{'|'.join(map(re.escape, words))})")
    return re.compile("".join(parts))


PATTERNS = [
    (event, _pattern(wording)) for event, (_, wordings) in WORDINGS.items() for wording in wordings
]


def _read(sentence: str) -> tuple[str, dict[str, str]] | None:
    """The event that the sentence tells and the word in each of its slots."""
    for event, pattern in PATTERNS:
        if match := pattern.fullmatch(sentence):
            return event, match.groupdict()
    return None


@dataclass
class _Scene:
    """What the sentences so far have said; a thing lies at a place or has a holder, or neither."""

    kind: dict[str, str | None] = field(default_factory=dict)
    colour: dict[str, str | None] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    holder: dict[str, str] = field(default_factory=dict)
    lying: dict[str, str] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)

    def play(self, event: str, words: dict[str, str]) -> None:
        """Checks who and what the sentence mentions, then does what it tells."""
        new = {"lives": "a", "meets": "b", "sends": "c", "owns": "x", "carries": "x", "wants": "x"}
        new |= {"discovers": "x"}
        for slot in sorted(words.keys() & set("abcxy")):
            trait = words.get(f"{slot}_kind") or words.get(f"{slot}_colour")
            self.mention(words[slot], slot, trait, is_new=new.get(event) == slot)
        people = [words[slot] for slot in "abc" if slot in words]
        self.expect(len(people) == len(set(people)), "name: somebody stands twice in a sentence")
        slots, _ = WORDINGS[event]
        getattr(self, event)(*(words[slot] for slot in slots))

    def mention(self, word: str, slot: str, trait: str | None, is_new: bool) -> None:
        label, what, known = (
            ("name", "kind", self.kind) if slot in "abc" else ("thing", "colour", self.colour)
        )
        wrong = "was there before" if is_new else "comes from nowhere"
        self.expect(is_new != (word in known), f"{label}: {word} {wrong}")
        self.expect(
            trait in (None, known.setdefault(word, trait)),
            f"{what}: {word} was {known[word]} and is now {trait}",
        )

    def at(self, person: str, place: str) -> None:
        there = self.where.setdefault(person, place)
        self.expect(there == place, f"place: {person} is at the {there}, not the {place}")

    def meet_up(self, one: str, other: str) -> None:
        here, there = self.where.get(one), self.where.get(other)
        self.expect(here == there, f"place: {one} is at the {here}, {other} at the {there}")

    def holds(self, person: str, thing: str) -> None:
        holder = self.holder.get(thing, "nobody")
        self.expect(holder == person, f"owner: {holder} has the {thing}, not {person}")

    def lives(self, a: str, p: str) -> None:
        self.homes[a] = self.where[a] = p

    def owns(self, a: str, x: str) -> None:
        self.holder[x] = a

    carries = owns

    def wants(self, a: str, x: str) -> None:
        self.expect(x not in self.holder, f"owner: {a} wants the {x} that somebody has")

    def goes(self, a: str, p: str) -> None:
        self.expect(self.where.get(a) != p, f"place: {a} is at the {p} already")
        self.where[a] = p

    flees = goes

    def meets(self, a: str, b: str, p: str) -> None:
        self.expect(a in self.homes, f"name: it is the hero who meets people, not {a}")
        self.at(a, p)
        self.where[b] = p

    def visits(self, a: str, b: str, p: str) -> None:
        self.at(a, p)
        self.at(b, p)

    def discovers(self, a: str, x: str, p: str) -> None:
        self.at(a, p)
        self.holder[x] = a

    def finds(self, a: str, x: str, p: str) -> None:
        self.at(a, p)
        lying = self.lying.pop(x, "place of its holder")
        self.expect(lying == p, f"place: the {x} is at the {lying}, not the {p}")
        self.holder[x] = a

    def gives(self, a: str, b: str, x: str) -> None:
        self.meet_up(a, b)
        self.holds(a, x)
        self.holder[x] = b

    lends = returns = gives

    def steals(self, a: str, b: str, x: str) -> None:
        self.gives(b, a, x)

    def hides(self, a: str, x: str, p: str) -> None:
        self.at(a, p)
        self.holds(a, x)

    def follows(self, a: str, b: str, p: str) -> None:
        self.goes(a, p)
        self.at(b, p)

    def together(self, a: str, b: str, p: str) -> None:
        self.meet_up(a, b)
        self.goes(a, p)
        self.where[b] = p

    def trades(self, a: str, b: str, x: str, y: str) -> None:
        self.gives(a, b, x)
        self.gives(b, a, y)

    def drops(self, a: str, x: str, p: str) -> None:
        self.at(a, p)
        self.holds(a, x)
        self.holder.pop(x, None)
        self.lying[x] = p

    def asks(self, a: str, b: str, x: str) -> None:
        self.thanks(a, b)
        self.expect(x not in self.holder, f"owner: {a} asks for the {x} that somebody has")

    seeks = asks

    def hints(self, a: str, b: str, x: str, p: str) -> None:
        self.meet_up(a, b)
        lying = self.lying.get(x)
        self.expect(lying == p, f"place: the {x} is at the {lying}, not the {p}")

    def sends(self, a: str, b: str, c: str, x: str, p: str) -> None:
        self.meet_up(a, b)
        self.where[c] = p
        self.holder[x] = c

    def breaks(self, a: str, x: str) -> None:
        self.holds(a, x)
        self.broken.add(x)

    def mends(self, a: str, x: str) -> None:
        self.holds(a, x)
        self.expect(x in self.broken, f"thing: the {x} was not broken")
        self.broken.discard(x)

    def thanks(self, a: str, b: str) -> None:
        self.meet_up(a, b)

    sorry = thanks

    def home(self, a: str, p: str) -> None:
        home = self.homes.get(a)
        self.expect(home == p, f"place: the home of {a} is the {home}, not the {p}")
        self.where[a] = p

    def has(self, a: str, x: str) -> None:
        self.holds(a, x)

    feels = has
