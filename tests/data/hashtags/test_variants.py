"""Names of classes to hashtags, and those of Kinetics-400."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import REPOSITORY
from vidsemi.data.hashtags.normalize import canonical
from vidsemi.data.hashtags.variants import tag_variants
from vidsemi.data.hashtags.vocabulary import Vocabulary, build_vocabulary, read_synonyms

KINETICS = REPOSITORY / "datasets" / "kinetics"
FOOTBALL = ("passing American football (in game)", "passing American football (not in game)")


@pytest.mark.parametrize(
    ("name", "among", "not_among"),
    [
        ("catching fish", "catchfish catchafish catchingafish fishcatching fishcatch", "fish catch catching"),
        ("climbing a rope", "climbingrope climbrope ropeclimbing ropeclimb", "climbingaropes climbinga"),
        ("washing dishes", "washdishes dishwashing washthedishes dishwash", "disheswash washadishes dishes"),
        ("brushing teeth", "brushteeth toothbrushing teethbrushing", "toothbrush teethbrush"),
        ("brushing hair", "brushhair hairbrushing", "hairbrush"),
        ("watering plants", "wateringplants plantwatering wateraplant", "waterplants plantwater"),
        ("belly dancing", "bellydance", "dancingbellies belly"),
        ("salsa dancing", "salsadance dancingsalsa dancesalsa", "salsa"),
        ("robot dancing", "robotdance", "dancingrobot dancingrobots"),
        ("pull ups", "pullup", "pull"),
        ("push up", "pushups", "pushuping push"),
        ("pole vault", "polevaulting polevaults", "vaulting"),
        ("bowling", "", "bowl bowls"),
        ("snowkiting", "", "snowkite snowkit"),
        ("capoeira", "", "capoeirum capoeiras"),
        ("swinging on something", "swingonsomething", "swinging swingingon"),
        ("running on treadmill", "runningtreadmill treadmillrunning treadmillrun", "ontreadmillrunning"),
        ("canoeing or kayaking", "canoeing kayaking", "canoe or"),
        ("riding or walking with horse", "ridinghorse horseriding walkingwithhorse rideahorse", "riding horse"),
        ("massaging person's head", "massagingpersonshead massaginghead headmassage", "massagings"),
        ("hurling (sport)", "hurling", "sport hurl"),
        ("tying knot (not on a tie)", "tyingknot tieaknot", "tyingtie onatie"),
        ("blowing out candles", "blowoutcandles", "outcandlesblowing"),
        ("ApplyLipstick", "applylipstick applylipsticks", "apply lipstick"),
        ("PlayingGuitar", "playguitar guitarplaying", "guitar"),
        ("योग", "योग", ""),
        ("faire du vélo", "faireduvélo", ""),
    ],
)  # fmt: skip
def test_candidates(name: str, among: str, not_among: str):
    found = set(tag_variants(name))
    assert set(among.split()) <= found
    assert not found & set(not_among.split())


@given(
    st.text()
    | st.lists(
        st.sampled_from(["catching", "throwing", "a", "the", "fish", "or", "(not", ")", "with", "up", "O'Neill"])
    ).map(" ".join)
)
def test_candidates_are_canonical_and_begin_with_the_name(name: str):
    found = tag_variants(name)
    assert found == tag_variants(name) and len(set(found)) == len(found)
    assert [canonical(tag) for tag in found] == found and "" not in found
    if "(" in name or "%" in name:
        assert canonical(name) in [*found, ""]
    else:
        assert found[:1] == [tag for tag in [canonical(name)] if tag]


def test_long_names_of_many_alternatives_end():
    assert tag_variants(" or ".join(["a b"] * 1000)) == [canonical(" or ".join(["a b"] * 1000))]


def kinetics(with_synonyms: bool) -> tuple[list[str], Vocabulary]:
    classes = (KINETICS / "classes.txt").read_text(encoding="utf-8").splitlines()
    return classes, build_vocabulary(
        classes, read_synonyms(KINETICS / "synonyms.csv", classes) if with_synonyms else {}
    )


@pytest.mark.parametrize("with_synonyms", [False, True])
def test_of_kinetics_only_those_classes_share_a_label_that_tags_cannot_tell_apart(with_synonyms: bool):
    classes, vocabulary = kinetics(with_synonyms)
    assert len(classes) == len(set(classes)) == 400 and classes == sorted(classes)
    assert sorted(name for label in vocabulary.labels for name in label.classes) == classes
    assert [label.classes for label in vocabulary.labels if len(label.classes) > 1] == [FOOTBALL]
    assert len(vocabulary.labels) == 399


def test_synonyms_say_what_the_rule_does_not():
    classes, _ = kinetics(False)
    synonyms = read_synonyms(KINETICS / "synonyms.csv", classes)
    assert list(synonyms) == sorted(synonyms)
    for name, tags in synonyms.items():
        assert len(set(tags)) == len(tags) and not set(tags) & set(tag_variants(name)), name
