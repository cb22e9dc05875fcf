"""Derive tag variants from the name of a class: the hashtags that people write for it.

The rules, for English names. Names in other languages only yield their words joined, which always come first:

1. Names are split into words at anything but letters, marks, numbers and apostrophes; a name without spaces also before
   a capital A to Z after a small letter (ApplyLipstick). Case is ignored. Parenthesized text is dropped, except for one
   tag: "tying knot (not on a tie)". Names of more than twelve words end here.
2. "A or B" yields both: "trimming or shaving beard" gives "trimming beard" and "shaving beard".
3. Articles may be dropped, and articles together with prepositions, "something", "person's" and the like, if at least
   two words remain: "running on treadmill" gives "running treadmill", but "swinging on something" stays as it is.
4. In names of two or more words the -ing word may become a base form: "catch fish". A lone one stays, since "bowl" and
   "iron" mean other things.
5. A leading -ing word may move to the end ("fish catching"), unless an article, preposition or particle is in the way;
   there a noun may be singular ("dish washing"), and before a base form it must be ("dish wash"). A trailing -ing word
   may move before a noun that cannot be counted: "dancing salsa", but not "dancing robot".
6. A name without an -ing word that ends in a verb may take its -ing form: "pole vaulting".
7. The noun after a leading -ing word, or at the end of a name without one, may be singular or plural: "pull up". After
   a leading -ing word it may get an article: "catch a fish".
8. Base forms that would name a thing are dropped: words of the dictionary ("brushing hair" does not give "hairbrush"),
   and the words in `NOUNS_IN_FRONT` and `NOUNS_AT_END`.

Lemmas and inflections come from the dictionary of lemminflect; its guesses for unknown words are not used.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import product

from vidsemi.data.hashtags.normalize import UNSEEN, canonical

MOST_WORDS = 12
ARTICLES = {"a", "an", "the"}
FILLERS = ARTICLES | {
    *("at", "by", "in", "into", "of", "on", "onto", "through", "with"),
    *("something", "somebody", "someone", "somebody's", "someone's", "person's"),
}
PARTICLES = {"away", "down", "off", "out", "over", "up"}  # part of the verb
NOUNS_IN_FRONT = {"milk", "pet", "push", "water"}  # milk cow, pet cat, push cart, water plants
NOUNS_AT_END = {  # apple peel, bird feed, cow milk, gas pump, snow shovel, …
    *("brush", "curl", "die", "feed", "milk", "peel", "pump", "record", "shovel", "tie", "water"),
}


def tag_variants(name: str) -> list[str]:
    """Canonical tags for a class name, its words joined first; none if the name has no letters.

    >>> tag_variants("pull ups")
    ['pullups', 'pullup']
    """
    words = _words(re.sub(r"\([^()]*\)", " ", name))
    variants = ["".join(words)]
    if len(words) <= MOST_WORDS:
        phrases = [short for phrase in _alternatives(words) for short in _shortened(phrase)]
        variants += ["".join(form) for phrase in phrases for form in [phrase, *_forms(phrase)]]
    return [tag for tag in dict.fromkeys(map(canonical, [*variants, name])) if tag]


def _words(name: str) -> list[str]:
    plain = UNSEEN.sub("", unicodedata.normalize("NFKC", name))
    apart = plain if " " in plain.strip() else re.sub("(?<=[a-z])(?=[A-Z])", " ", plain)
    folded = apart.casefold().replace("’", "'")
    kept = [letter for letter in folded if unicodedata.category(letter) != "Cf"]  # invisible joiners separate nothing
    spaced = (letter if letter == "'" or unicodedata.category(letter)[0] in "LMN" else " " for letter in kept)
    return "".join(spaced).split()


def _alternatives(words: list[str]) -> Iterator[list[str]]:
    """The phrases that "A or B" stands for."""
    places: list[list[str]] = []
    for number, word in enumerate(words):
        if word == "or" and 0 < number < len(words) - 1:
            continue
        if places and number > 1 and words[number - 1] == "or":
            places[-1].append(word)
        else:
            places.append([word])
    yield from map(list, product(*places))


def _shortened(words: list[str]) -> list[list[str]]:
    """The phrase itself, without articles, and without any fillers."""
    shorter = [[word for word in words if word not in left_out] for left_out in (ARTICLES, FILLERS)]
    return [words, *(phrase for phrase in shorter if 1 < len(phrase) < len(words))]


def _forms(words: list[str]) -> Iterator[list[str]]:
    """Other forms of a phrase: another form of its -ing word, another order, its noun in singular or plural."""
    if len(words) > 1 and _is_ing(words[0]):
        yield from _ing_first(words[0], words[1:])
    elif len(words) > 1 and _is_ing(words[-1]):
        yield from _ing_last(words[:-1], words[-1])
    elif any(map(_is_ing, words)):
        if len(words) > 1:
            yield from map(list, product(*([word, *_bases(word)] for word in words)))
    elif words:
        yield from [*_singular(words), *_plural(words)]
        if len(words) > 1 and words[-1] not in PARTICLES:
            yield from ([*words[:-1], form] for form in _inflections(words[-1], "VBG"))


def _ing_first(verb: str, thing: list[str]) -> Iterator[list[str]]:
    """Other forms of "catching fish"."""
    bases = _bases(verb)
    nouns = [thing]
    if thing[-1] not in PARTICLES:
        nouns += _singular(thing)
        nouns += _plural(thing) if ARTICLES.isdisjoint(thing) else []
    yield from ([verb, *noun] for noun in nouns)
    yield from _not_words([base, *noun] for base in bases if base not in NOUNS_IN_FRONT for noun in nouns)
    if not (FILLERS | PARTICLES).isdisjoint(thing):
        return
    for form, noun in product([verb, *bases], nouns):
        yield [form, "the", *noun]
        if _is_singular(noun[-1]):
            yield [form, "an" if noun[0][0] in "aeiou" else "a", *noun]
    one = _singular(thing)
    yield from ([*noun, verb] for noun in [thing, *one])
    yield from _not_words([*noun, base] for base in bases if base not in NOUNS_AT_END for noun in one or [thing])


def _ing_last(thing: list[str], verb: str) -> Iterator[list[str]]:
    """Other forms of "belly dancing"."""
    forms = [verb, *_bases(verb)]
    yield from ([*noun, form] for form in forms for noun in [thing, *_singular(thing)])
    plural = _inflections(thing[-1], "NNS")
    if FILLERS.isdisjoint(thing) and (not plural or thing[-1] in plural):
        yield from _not_words([form, *thing] for form in forms)


def _is_ing(word: str) -> bool:
    """Whether the dictionary says that a word is the -ing form of a verb: not "king", not "swing"."""
    return len(word) > 4 and word.endswith("ing") and (bool(_bases(word)) or not _lemmas(word))


def _bases(word: str) -> list[str]:
    """The base forms of an -ing word: "putting" has "put" and "putt"."""
    return [lemma for lemma in _lemmas(word).get("VERB", ()) if lemma != word] if word.endswith("ing") else []


def _singular(words: list[str]) -> list[list[str]]:
    lemmas = _lemmas(words[-1]).get("NOUN", ())
    return [[*words[:-1], lemma] for lemma in lemmas if lemma != words[-1]]


def _plural(words: list[str]) -> list[list[str]]:
    return [[*words[:-1], form] for form in _inflections(words[-1], "NNS")] if _is_singular(words[-1]) else []


def _is_singular(word: str) -> bool:
    lemmas = _lemmas(word)
    return word in lemmas.get("NOUN", ()) if lemmas else word[-1] != "s"


def _not_words(phrases: Iterable[list[str]]) -> Iterator[list[str]]:
    yield from (phrase for phrase in phrases if not _lemmas("".join(phrase)))


def _lemmas(word: str) -> dict[str, tuple[str, ...]]:
    """The base forms of a word in the dictionary, by part of speech."""
    from lemminflect import getAllLemmas  # imported here because it takes 65 ms

    lemmas: dict[str, tuple[str, ...]] = getAllLemmas(word)
    return lemmas


def _inflections(lemma: str, tag: str) -> tuple[str, ...]:
    from lemminflect import getInflection

    inflections: tuple[str, ...] = getInflection(lemma, tag, inflect_oov=False)
    return inflections
