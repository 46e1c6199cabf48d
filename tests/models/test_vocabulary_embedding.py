from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fake_text import HashedTextEncoder
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders.text import TextMemory, text_embed
from lexiseg.models.vocabulary_embedding import MIN_SIMILARITY, embed_vocabulary

TEMPLATES = ("a photo of a {}.", "There is a {} in the scene")
TRAINING = Vocabulary.of("cat|kitten, dog|puppy, car, sky:stuff", templates=TEMPLATES)


def asked_words(text: str) -> Vocabulary:
    return Vocabulary.of(text, templates=TEMPLATES)


def expected_rows(*names: str, encoder: HashedTextEncoder | None = None) -> torch.Tensor:
    words = Vocabulary.of(list(names), templates=TEMPLATES)
    return text_embed(encoder or HashedTextEncoder(), words, cache_dir=None)


@pytest.mark.parametrize("negatives", [True, False])
def test_the_training_vocabulary_has_similarity_exactly_one(negatives: bool):
    found = embed_vocabulary(HashedTextEncoder(), TRAINING, TRAINING, negatives=negatives, general=())

    assert torch.equal(found.similarity, torch.ones(4))
    assert found.domain_similarity == 1.0
    assert found.num_concepts == 4
    assert found.concept_index.tolist() == [0, 0, 1, 1, 2, 3]


@given(st.lists(st.sampled_from(TRAINING.row_names()), min_size=1, unique=True))
def test_names_of_training_are_exactly_one_in_any_choice_and_order(names: list[str]):
    found = embed_vocabulary(HashedTextEncoder(), asked_words(",".join(names)), TRAINING, negatives=False)

    assert found.domain_similarity == 1.0
    assert bool((found.similarity == 1).all())


@given(
    st.lists(st.sampled_from(("tree", "lion", "boat", "cup", "rain")), min_size=1, max_size=4, unique=True),
    st.sampled_from(("dog", "car")),
)
def test_a_training_word_in_place_of_a_foreign_one_never_makes_the_vocabulary_more_foreign(foreign, known):
    def similarity(*names: str) -> float:
        return embed_vocabulary(
            HashedTextEncoder(), asked_words(",".join(names)), TRAINING, negatives=False
        ).domain_similarity

    assert similarity(*foreign) < similarity(known, *foreign[1:]) <= 1.0


def test_the_same_names_in_other_templates_are_measured_not_assumed():
    asked = Vocabulary.of(TRAINING, templates=("{}",))

    found = embed_vocabulary(HashedTextEncoder(), asked, TRAINING, negatives=False)

    assert bool((found.similarity < 1).all())
    assert found.domain_similarity < 1


def test_similarity_is_the_largest_cosine_over_names_and_training_rows():
    asked = asked_words("lion|tiger, dog, tree")

    found = embed_vocabulary(HashedTextEncoder(), asked, TRAINING, negatives=False)

    cosine = expected_rows("lion", "tiger", "tree") @ expected_rows(*TRAINING.row_names()).T
    lion = cosine[:2].max().clamp_min(MIN_SIMILARITY)
    tree = cosine[2].max().clamp_min(MIN_SIMILARITY)
    torch.testing.assert_close(found.similarity, torch.stack([lion, torch.tensor(1.0), tree]))
    assert found.domain_similarity == pytest.approx(float(lion + 1 + tree) / 3)


def test_opposite_words_keep_a_positive_similarity():
    class Opposed(HashedTextEncoder):
        def _noise(self, text: str) -> torch.Tensor:
            return torch.ones(self.dim) * (-1 if "anticat" in text else 1)

    found = embed_vocabulary(Opposed(), asked_words("anticat"), TRAINING, negatives=False)

    assert found.similarity.tolist() == pytest.approx([MIN_SIMILARITY])


def test_negatives_are_the_training_and_general_words_that_nobody_asked_for():
    found = embed_vocabulary(HashedTextEncoder(), asked_words("kitten, tree"), TRAINING, negatives=True)

    rows = ["kitten", "tree", "dog", "puppy", "car", "sky", "background", "object"]
    torch.testing.assert_close(found.text_embed, expected_rows(*rows))
    assert found.concept_index.tolist() == [0, 1, 2, 2, 3, 4, 5, 6]
    assert found.num_concepts == 2
    assert found.similarity.shape == (7,)
    assert found.similarity[2:5].tolist() == [1, 1, 1]  # training words, exactly
    assert bool((found.similarity[5:] < 1).all())
    assert found.domain_similarity == pytest.approx(float(found.similarity[:2].mean()))


def test_without_negatives_only_the_asked_rows_are_there():
    found = embed_vocabulary(HashedTextEncoder(), asked_words("kitten, tree"), TRAINING, negatives=False)

    torch.testing.assert_close(found.text_embed, expected_rows("kitten", "tree"))
    assert found.similarity.shape == (2,)


def test_a_negative_that_shares_a_name_in_another_case_is_left_out():
    found = embed_vocabulary(
        HashedTextEncoder(), asked_words("hound|PUPPY"), TRAINING, negatives=True, general=("Car", "Hound")
    )

    # "dog|puppy" goes by its synonym, "Car" is training's own, "Hound" was asked for
    torch.testing.assert_close(found.text_embed, expected_rows("hound", "PUPPY", "cat", "kitten", "car", "sky"))


@pytest.mark.parametrize(("threshold", "has_car"), [(0.9, False), (1.0, True)])
def test_a_negative_that_means_the_same_is_left_out(threshold: float, has_car: bool):
    encoder = HashedTextEncoder(alike={"jalopy": "car"})
    asked = asked_words("jalopy")

    found = embed_vocabulary(encoder, asked, TRAINING, negatives=True, negative_similarity=threshold, general=())

    assert 0.9 < float(found.similarity[0]) < 1
    assert (len(found.similarity) == 1 + 4) is has_car
    car = expected_rows("car")
    assert bool((found.text_embed[1:] - car).abs().sum(-1).min() < 1e-4) is has_car


def test_one_close_name_takes_the_whole_negative_along():
    encoder = HashedTextEncoder(alike={"whelp": "puppy"})

    found = embed_vocabulary(encoder, asked_words("whelp"), TRAINING, negatives=True, general=())

    torch.testing.assert_close(found.text_embed, expected_rows("whelp", "cat", "kitten", "car", "sky", encoder=encoder))


def test_all_negatives_may_fall_away():
    found = embed_vocabulary(HashedTextEncoder(), TRAINING, TRAINING, negatives=True, general=("dog",))

    assert found.similarity.shape == (4,)


def test_another_question_encodes_only_its_own_words(tmp_path):
    embed_vocabulary(HashedTextEncoder(), asked_words("tree"), TRAINING, negatives=True, cache_dir=tmp_path)
    encoder = HashedTextEncoder()

    embed_vocabulary(encoder, asked_words("lion"), TRAINING, negatives=True, cache_dir=tmp_path)

    assert len(encoder.prompts) == len(TEMPLATES)
    assert all("lion" in prompt for prompt in encoder.prompts)


def test_a_threshold_that_is_no_cosine_is_refused():
    with pytest.raises(ValueError, match="negative_similarity"):
        embed_vocabulary(HashedTextEncoder(), TRAINING, TRAINING, negatives=True, negative_similarity=0.0)


def negatives_of(text: str, encoder: HashedTextEncoder | None = None) -> set[str]:
    """The training words that compete with what is asked."""
    encoder = encoder or HashedTextEncoder()
    found = embed_vocabulary(encoder, asked_words(text), TRAINING, negatives=True, general=())
    rows = found.text_embed[len(asked_words(text).row_names()) :]
    return {name for name in TRAINING.names if bool(((rows - expected_rows(name)).abs().sum(-1) < 1e-4).any())}


def test_a_word_that_a_list_knows_apart_competes_however_near_it_is():
    assert "sky" in negatives_of("snow", HashedTextEncoder(alike={"snow": "sky"}))
    assert "sky" not in negatives_of("blizzard", HashedTextEncoder(alike={"blizzard": "sky"}))  # in no list with sky


def test_a_word_that_a_list_has_in_the_same_concept_does_not_compete_however_far_it_is():
    assert "car" not in negatives_of("automobile")
    assert negatives_of("tree") == {"cat", "dog", "car", "sky"}


@pytest.mark.parametrize("more", ["tree", "lion, boat, cup", "robot, castle, ice:stuff"])
def test_unrelated_words_never_change_whether_a_negative_competes(more: str):
    for asked in ("kitten", "automobile", "snow", "heaven"):
        assert negatives_of(f"{asked}, {more}") == negatives_of(asked)


@pytest.mark.parametrize("negatives", [True, False])
def test_a_memory_of_names_changes_no_number(negatives: bool):
    encoder, memory = HashedTextEncoder(alike={"jalopy": "car"}), TextMemory()
    for text in ("car, lion", "jalopy, lion, cat", "kitten|lion, tree, sky"):
        words = asked_words(text)

        found = embed_vocabulary(encoder, words, TRAINING, negatives=negatives, memory=memory)
        expected = embed_vocabulary(encoder, words, TRAINING, negatives=negatives)

        for field in fields(expected):
            one, other = getattr(found, field.name), getattr(expected, field.name)
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other, field.name
