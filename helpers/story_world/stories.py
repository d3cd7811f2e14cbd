"""A small story world, in which each text tells who owns what and where everybody is.

A plot is a list of events, an event has several wordings, and `helpers.story_world.coherence` reads
the same wordings back. Letters: a, b, c are people, x and y things, p, q and h (the hero's home)
places.
"""

import random
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HEROES = _words(
    "Mila Tessa Orin Bram Juno Pavel Wren Lotte Hugo Nadia Felix Sanna Milo Greta Kasper Ida Ruben "
    "Clara"
)
SECONDS = _words("Tomas Vera Jonas Elsa Otto Petra Simon Lena Marek Dora")
THIRDS = _words("Anton Yara Boris Fern Leo Hedda Rosa Emil")
NAMES = HEROES + SECONDS + THIRDS
KINDS = _words(
    "fox rabbit bear mouse hedgehog badger deer goose duck frog squirrel wolf cat dog goat hen "
    "beaver mole raven turtle lamb pony"
)
THINGS = _words(
    "lamp drum kite key cup ball book basket bell boat flute scarf blanket lantern hat map ring "
    "shell whistle wagon spoon candle mirror puzzle pencil coat clock ladder rope box "
    "vase brush comb"
)
COLOURS = _words("red blue green yellow white black brown purple golden silver pink grey striped")
HOMES = _words(
    "mill bridge harbour market well tower village station windmill castle library bakery"
)
FAR = _words("orchard lake meadow forest barn cave garden beach hill pond swamp field")
PLACES = HOMES + FAR
FILLERS = {
    "mood": _words("cheerful curious clever gentle brave lonely quiet proud"),
    "weather": _words("sunny rainy windy cold warm misty snowy bright"),
    "time": _words("morning evening afternoon day"),
    "walked": _words("walked ran hurried wandered hopped travelled"),
    "spot": ["under a bush", "behind a stone", "in the grass", "next to a fence", "beneath a tree"],
    "doing": _words("resting singing fishing waiting digging cooking painting"),
    "smile": _words("smile hug song bow cake"),
    "glad": _words("happy glad content tired pleased merry"),
    "tool": _words("glue string nails thread wax"),
}

# The key of an event is its name and the letters of its wordings, in the order plots give them.
# A sentence says what happens before it says to whom, and a newcomer is called or named.
EVENTS = {
    "lives a p": (
        "{a} the {a.kind} lived near the {p}.",
        "Near the {p} lived a {mood} {a.kind} named {a}.",
        "A {a.kind} called {a} lived in a house near the {p}.",
    ),
    "owns a x": (
        "{a} had a {x.colour} {x}.",
        "{a} owned a beautiful {x.colour} {x}.",
        "{a} was very fond of a {x.colour} {x}.",
    ),
    "carries a x": (
        "In the bag of {a} was a {x.colour} {x}.",
        "A {x.colour} {x} was all that {a} had.",
    ),
    "wants a x": (
        "{a} wished for a {x.colour} {x}.",
        "More than anything, {a} wanted a {x.colour} {x}.",
        "All winter {a} dreamed about a {x.colour} {x}.",
    ),
    "goes a p": (
        "One {weather} {time} {a} {walked} to the {p}.",
        "Late that {time} {a} {walked} to the {p}.",
        "Then {a} {walked} to the {p}.",
    ),
    "meets a b p": (
        "By chance {a} met a {b.kind} named {b} at the {p}.",
        "Politely {a} greeted a {b.kind} called {b}, who was {doing} at the {p}.",
        "At the {p} a {b.kind} named {b} said hello to {a}.",
    ),
    "visits a b p": (
        "At the {p} {a} knocked on the door of {b}.",
        "There was {b}, {doing} at the {p}, and {a} came closer.",
    ),
    "discovers a x p": (
        "With some luck {a} found a {x.colour} {x} {spot} at the {p}.",
        "A {x.colour} {x} lay {spot} at the {p}, and {a} picked it up.",
    ),
    "finds a x p": (
        "After a long search {a} found the {x.colour} {x} {spot} at the {p}.",
        "The {x.colour} {x} was {spot} at the {p}, and {a} took it.",
    ),
    "gives a b x": (
        "As a present, {b} got the {x} from {a}.",
        "With both hands {a} gave the {x.colour} {x} to {b}.",
    ),
    "lends a b x": (
        "For the {time}, {a} lent the {x.colour} {x} to {b}.",
        "Gladly {a} let {b} borrow the {x}.",
    ),
    "returns a b x": (
        "Soon {a} returned the {x} to {b}.",
        "In good time {a} brought the {x.colour} {x} back to {b}.",
    ),
    "steals a b x": (
        "When nobody looked, {a} stole the {x.colour} {x} from {b}.",
        "Suddenly {a} snatched the {x} away from {b}.",
    ),
    "flees a p": (
        "Without a word {a} fled to the {p}.",
        "Laughing loudly, {a} escaped to the {p}.",
    ),
    "hides a x p": (
        "Secretly {a} hid the {x.colour} {x} {spot} at the {p}.",
        "Deep in the ground at the {p} {a} buried the {x}.",
    ),
    "follows a b p": (
        "At once {a} followed {b} to the {p}.",
        "Full of anger {a} chased {b} all the way to the {p}.",
    ),
    "together a b p": (
        "Arm in arm {a} and {b} {walked} to the {p}.",
        "Side by side {a} and {b} {walked} to the {p}.",
    ),
    "trades a b x y": (
        "After some talk {a} and {b} traded the {x.colour} {x} for the {y.colour} {y}.",
        "With a nod {a} swapped with {b}: the {x.colour} {x} for the {y.colour} {y}.",
    ),
    "drops a x p": (
        "By mistake {a} lost the {x} at the {p}.",
        "The {x} slipped out of the bag of {a} at the {p}.",
    ),
    "asks a b x": (
        '"Have you seen my {x.colour} {x}?" {a} asked {b}.',
        '"Do you know where my {x} is?" {a} asked {b}.',
    ),
    "seeks a b x": (
        '"Where can one get a {x.colour} {x}?" {a} asked {b}.',
        "Shyly {a} told {b} about the {x.colour} {x}.",
    ),
    "hints a b x p": (
        '"I saw the {x.colour} {x} at the {p}," {a} told {b}.',
        '"Look for the {x} at the {p}," {a} whispered to {b}.',
    ),
    "sends a b c x p": (
        '"A {c.kind} named {c} has a {x.colour} {x} at the {p}," {a} told {b}.',
        '"Ask a {c.kind} called {c} at the {p} for the {x}," {a} advised {b}.',
    ),
    "breaks a x": (
        "But the {x.colour} {x} of {a} was broken.",
        "Sadly, {a} stepped on the {x} and it broke.",
    ),
    "mends a x": (
        "Carefully {a} mended the {x.colour} {x} with {tool}.",
        "With some {tool} {a} repaired the {x}.",
    ),
    "sorry a b": (
        '"I am sorry, {b}," said {a}.',
        "Ashamed, {a} apologised to {b}.",
    ),
    "thanks a b": (
        '"Thank you, {b}," said {a}.',
        "With a {smile} {a} thanked {b}.",
    ),
    "home a p": (
        "Tired, {a} {walked} home to the {p}.",
        "That night {a} slept at home near the {p}.",
    ),
    "feels a x": (
        "How {glad} {a} was about the {x}.",
        "The {x.colour} {x} made {a} {glad}.",
    ),
    "has a x": (
        "In the end {a} had the {x.colour} {x}.",
        "Now the {x.colour} {x} belonged to {a}.",
    ),
}

PLOTS = {
    "gift": "lives a h, owns a x, meets a b h, gives a b x, feels b x, has b x",
    "treasure": "lives a h, meets a b h, together a b q, discovers a x q, feels a x, has a x",
    "finder": "lives a h, meets a b h, carries b x, drops b x h, finds a x h, returns a b x, "
    "thanks b a, has b x",
    "theft": "lives a h, owns a x, meets a b h, steals b a x, flees b q, hides b x q, has b x",
    "apology": "lives a h, owns a x, meets a b h, steals b a x, flees b q, follows a b q, "
    "sorry b a, returns b a x, has a x",
    "trade": "lives a h, owns a x, goes a p, meets a b p, carries b y, trades a b x y, home a h, "
    "has a y",
    "search": "lives a h, owns a x, goes a p, drops a x p, home a h, meets a b h, "
    "hints b a x p, goes a p, finds a x p, has a x",
    "helper": "lives a h, owns a x, meets a b h, drops a x h, asks a b x, finds b x h, "
    "returns b a x, has a x",
    "errand": "lives a h, wants a x, meets a b h, seeks a b x, sends b a c x q, goes a q, "
    "visits a c q, gives c a x, has a x",
    "hand-over": "lives a h, owns a x, meets a b h, gives a b x, meets a c h, gives b c x, has c x",
    "loan": "lives a h, owns a x, goes a p, meets a b p, lends a b x, thanks b a, "
    "returns b a x, home a h, has a x",
    "repair": "lives a h, owns a x, breaks a x, meets a b h, gives a b x, mends b x, "
    "returns b a x, has a x",
    "rescue": "lives a h, owns a x, meets a b h, meets a c h, steals c a x, flees c p, "
    "follows b c p, gives c b x, goes b h, returns b a x, has a x",
}


@dataclass(frozen=True)
class Person:
    name: str
    kind: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Thing:
    noun: str
    colour: str

    def __str__(self) -> str:
        return self.noun


@dataclass(frozen=True)
class Story:
    """A text and what is true in it; `owner` has the thing in the end.

    `people` are all names in order of appearance, the hero first, and `places` all places, the
    hero's home first.
    """

    text: str
    plot: str
    hero: str
    kind: str
    thing: str
    colour: str
    owner: str
    people: tuple[str, ...]
    places: tuple[str, ...]


Roles = dict[str, Person | Thing | str]  # by letter
WORDINGS = {key.split()[0]: (key.split()[1:], wordings) for key, wordings in EVENTS.items()}


def tell(rng: random.Random) -> Story:
    """A new story, drawn from `rng`: a plot, its people, things and places, and the wordings."""
    plot = rng.choice(list(PLOTS))
    steps = [step.split() for step in PLOTS[plot].split(", ")]
    people, things, places = _cast(rng)
    roles: Roles = {**people, **things, **places}
    text = " ".join(_sentence(rng, event, letters, roles) for event, *letters in steps)
    used = list(dict.fromkeys(letter for _, *letters in steps for letter in letters))
    _, owner, thing = steps[-1]
    return Story(
        text,
        plot,
        hero=people["a"].name,
        kind=people["a"].kind,
        thing=things[thing].noun,
        colour=things[thing].colour,
        owner=people[owner].name,
        people=tuple(people[letter].name for letter in used if letter in people),
        places=tuple(places[letter] for letter in used if letter in places),
    )


def stories(count: int, seed: int) -> list[Story]:
    """`count` stories, no two with the same text; the same seed tells the same stories."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    rng = random.Random(seed)
    found: dict[str, Story] = {}
    while len(found) < count:
        story = tell(rng)
        found.setdefault(story.text, story)
    return list(found.values())


def _cast(rng: random.Random) -> tuple[dict[str, Person], dict[str, Thing], dict[str, str]]:
    """People, things and places by letter; no two share a name, kind, noun, colour or place.

    Each role has names of its own, and so have homes: a small model learns to copy a name long
    before it learns to avoid one.
    """
    names = [rng.choice(HEROES), rng.choice(SECONDS), rng.choice(THIRDS)]
    people = map(Person, names, rng.sample(KINDS, 3))
    things = map(Thing, rng.sample(THINGS, 2), rng.sample(COLOURS, 2))
    places = [rng.choice(HOMES), *rng.sample(FAR, 2)]
    return (
        dict(zip("abc", people, strict=True)),
        dict(zip("xy", things, strict=True)),
        dict(zip("hpq", places, strict=True)),
    )


def _sentence(rng: random.Random, event: str, letters: list[str], roles: Roles) -> str:
    slots, wordings = WORDINGS[event]
    fillers = {slot: rng.choice(options) for slot, options in FILLERS.items()}
    named = {slot: roles[letter] for slot, letter in zip(slots, letters, strict=True)}
    return rng.choice(wordings).format(**fillers, **named)
