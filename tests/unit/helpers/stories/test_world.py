"""The story world: every story holds together, and one changed word breaks it."""

import random
import re

import pytest

from helpers.story_world import coherence as reader
from helpers.story_world.coherence import coherence
from helpers.story_world.stories import (
    COLOURS,
    EVENTS,
    KINDS,
    NAMES,
    PLACES,
    PLOTS,
    THINGS,
    stories,
    tell,
)

STORIES = stories(200, seed=11)
EACH_PLOT_TWICE = [story for plot in PLOTS for story in [s for s in STORIES if s.plot == plot][:2]]
CORRUPTED = {"name": NAMES, "thing": THINGS, "colour": COLOURS, "place": PLACES}


def mentions(text, words):
    return list(re.finditer(rf"\b({'|'.join(words)})\b", text))


def swapped(text, mention, word):
    return text[: mention.start()] + word + text[mention.end() :]


def test_world_is_rich():
    words = {word.lower() for s in stories(600, 0) for word in re.findall("[A-Za-z]+", s.text)}
    assert len(words) >= 300
    assert len(NAMES) >= 32 and len(THINGS) >= 25 and len(PLACES) >= 18 and len(PLOTS) >= 8
    assert {story.plot for story in STORIES} == set(PLOTS)


def test_every_event_is_told_and_every_word_is_used_once():
    told = {step.split()[0] for plot in PLOTS.values() for step in plot.split(", ")}
    assert told == {event.split()[0] for event in EVENTS}
    words = [*NAMES, *KINDS, *THINGS, *COLOURS, *PLACES]
    assert len(words) == len(set(words))


def test_same_seed_same_stories_and_no_text_twice():
    assert stories(50, seed=3) == stories(50, seed=3)
    assert stories(50, seed=3) != stories(50, seed=4)
    assert tell(random.Random(5)) == tell(random.Random(5))
    assert len({story.text for story in STORIES}) == len(STORIES)


def test_other_seed_tells_other_stories():
    assert not {story.text for story in stories(200, seed=12)} & {s.text for s in STORIES}


@pytest.mark.parametrize("story", EACH_PLOT_TWICE, ids=lambda story: story.plot)
def test_facts_are_in_the_text(story):
    first, last = re.split(r"(?<=\.) ", story.text)[:: story.text.count(". ")]
    assert story.hero in first and story.kind in first and story.places[0] in first
    assert story.owner in last and f"{story.colour} {story.thing}" in last
    assert set(story.people) == {m[0] for m in mentions(story.text, NAMES)}
    assert set(story.places) == {m[0] for m in mentions(story.text, PLACES)}
    assert story.people[0] == story.hero and story.owner in story.people


def test_every_story_is_coherent():
    assert [coherence(story.text).problems for story in STORIES] == [()] * len(STORIES)


@pytest.mark.parametrize("what", CORRUPTED)
def test_one_changed_mention_breaks_a_story(what):
    rng, words = random.Random(0), CORRUPTED[what]
    for story in EACH_PLOT_TWICE:
        for mention in mentions(story.text, words):
            word = rng.choice([w for w in words if w not in story.text])
            assert not coherence(swapped(story.text, mention, word)), (story.text, mention, word)


def test_a_name_or_place_of_the_same_story_in_the_wrong_sentence_breaks_it():
    for story in EACH_PLOT_TWICE:
        for words, own in ((NAMES, story.people), (PLACES, story.places)):
            for mention in mentions(story.text, words):
                for word in set(own) - {mention[0]}:
                    assert not coherence(swapped(story.text, mention, word)), (mention, word)


def test_wrong_owner_in_the_end_is_named():
    for story in STORIES:
        head, _, tail = story.text.rpartition(story.owner)
        other = next(name for name in story.people if name != story.owner)
        assert any(p.startswith("owner") for p in coherence(head + other + tail).problems)


def test_somebody_who_comes_twice_is_named():
    text = "Mila the fox lived near the mill. Mila had a red lamp. "
    text += "By chance Mila met a bear named Mila at the mill. In the end Mila had the red lamp."
    assert coherence(text).problems == (
        "name: Mila was there before",
        "kind: Mila was fox and is now bear",
        "name: somebody stands twice in a sentence",
    )


def test_renaming_throughout_keeps_a_story_coherent():
    for story in STORIES[:50]:
        name = next(name for name in NAMES if name not in story.people)
        assert coherence(story.text.replace(story.hero, name))


def test_cut_doubled_foreign_and_empty_texts_are_not_coherent():
    text = STORIES[0].text
    beginning, _, end = text.rpartition(". ")
    for broken in ("", "  ", beginning + ".", end, f"{text} {text}", text + " The sun is", "\n"):
        assert not coherence(broken), broken
    assert not coherence(f"{beginning}. The committee adjourned. {end}")


def test_no_two_events_read_the_same_sentence():
    for story in EACH_PLOT_TWICE:
        for sentence in re.split(r"(?<=\.) ", story.text):
            events = {event for event, p in reader.PATTERNS if p.fullmatch(sentence)}
            assert len(events) == 1, (sentence, events)


def test_count_below_one_is_refused():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        stories(0, seed=0)
