import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexiseg.core.frames import Frame
from lexiseg.core.structures import MaskPrediction, PanopticMap, Segment
from lexiseg.core.taxonomy import taxonomy
from lexiseg.core.vocabulary import Concept, Vocabulary
from lexiseg.models.postprocess.hierarchy import descend
from lexiseg.models.postprocess.instances import instances
from lexiseg.models.postprocess.panoptic import MergeConfig, panoptic_map
from lexiseg.models.postprocess.semantic import semantic_map, soft_semantic_map

WORDS = Vocabulary(
    concepts=(
        Concept(name="cat", is_thing=True, path=("thing", "animal")),
        Concept(name="dog", is_thing=True, path=("thing", "animal")),
        Concept(name="truck", is_thing=True, path=("thing", "vehicle")),
        Concept(name="sky", is_thing=False, path=("stuff",)),
    )
)
CAT, DOG, TRUCK, SKY, NEGATIVE = range(5)


def predict(masks, class_ids, *, class_score=1.0, void=0.0, iou=1.0, logit=8.0):
    """Masks (bool or logits) and class ids as a prediction with one negative column."""
    stack = torch.stack([torch.as_tensor(mask) for mask in masks])
    logits = (stack.float() * 2 - 1) * logit if stack.dtype == torch.bool else stack
    count = len(class_ids)
    rest = max((1 - class_score) / 4, 1e-12)
    probs = torch.full((1, count, 5), rest)
    probs[0, torch.arange(count), torch.tensor(class_ids)] = class_score
    return MaskPrediction(
        mask_logits=logits[None],
        class_logits=probs.log(),
        void_probs=torch.as_tensor(void).expand(1, count).float(),
        iou_scores=torch.as_tensor(iou).expand(1, count).float(),
        num_concepts=4,
    )


def box(left, top, right, bottom, size=32):
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def plain(height=32, width=32):
    """A frame that neither resizes nor pads."""
    return Frame(original=(height, width), resized=(height, width), padded=(height, width))


def naive_map(prediction, index, frame, vocabulary, config):
    """The whole stack at once, as anyone would write it first: ids, classes and scores."""
    probs = prediction.class_logits[index].softmax(-1)
    best, labels = probs.max(-1)
    cls, iou = (1 - prediction.void_probs[index]) * best, prediction.iou_scores[index]
    scores = {"class": cls, "iou": iou, "product": cls * iou}[config.rank_by]
    order = scores.argsort(descending=True, stable=True).tolist()
    order = [k for k in order if scores[k] > config.score_threshold]
    segmentation = np.zeros(frame.original, np.int32)
    if not order:
        return segmentation, []
    logits = torch.stack([frame.leave(prediction.mask_logits[index, k][None])[0] for k in order])
    masks = logits.sigmoid()
    weighted = masks * scores[order][:, None, None]
    winner = weighted.argmax(0)
    found = []
    for place, query in enumerate(order):
        whole = masks[place] >= config.mask_threshold
        own = whole & (winner == place) & (weighted[place] > 0)
        label = int(labels[query])
        if label >= prediction.num_concepts or not own.any():
            continue
        if ((winner == place) & (weighted[place] > 0)).sum().item() / whole.sum().item() < config.overlap_threshold:
            continue
        same = [i for i, (other, _) in enumerate(found, 1) if other == label]
        if same and not vocabulary.concepts[label].is_thing:
            segmentation[own.numpy()] = same[0]
            continue
        found.append((label, float(scores[query])))
        segmentation[own.numpy()] = len(found)
    return segmentation, found


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    queries=st.integers(1, 9),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    longest=st.integers(8, 64),
    rank_by=st.sampled_from(["class", "iou", "product"]),
    thresholds=st.tuples(*[st.sampled_from([0.0, 0.2, 0.5, 0.8])] * 3),
)
def test_streaming_equals_the_naive_whole_stack(seed, queries, height, width, longest, rank_by, thresholds):
    generator = torch.Generator().manual_seed(seed)
    frame = Frame.fit((height, width), longest=longest, stride=8)
    shape = frame.padded[0] // 4, frame.padded[1] // 4
    prediction = MaskPrediction(
        mask_logits=torch.randn(2, queries, *shape, generator=generator) * 4,
        class_logits=torch.randn(2, queries, 6, generator=generator) * 4,
        void_probs=torch.rand(2, queries, generator=generator) * 0.5,
        iou_scores=torch.rand(2, queries, generator=generator),
        num_concepts=4,
    )
    config = MergeConfig(
        rank_by=rank_by,
        score_threshold=thresholds[0],
        mask_threshold=thresholds[1],
        overlap_threshold=thresholds[2],
    )

    panoptic = panoptic_map(prediction, 1, frame, WORDS, config)
    expected, found = naive_map(prediction, 1, frame, WORDS, config)

    assert (panoptic.segmentation == expected).all()
    assert [(s.class_id, s.score) for s in panoptic.segments] == found
    assert panoptic.segmentation.dtype == np.int32
    for segment in panoptic.segments:
        rows, columns = np.nonzero(panoptic.segmentation == segment.id)
        assert segment.area == len(rows) > 0
        x, y, w, h = segment.box
        assert (x, y) == (columns.min(), rows.min())
        assert (x + w - 1, y + h - 1) == (columns.max(), rows.max())


@pytest.mark.parametrize(("below", "is_kept"), [(10, True), (5, True), (4, False), (0, False)])
def test_pixels_won_below_the_mask_threshold_count_for_the_overlap_rule(below, is_kept):
    """The cat's mask has 100 pixels and keeps 75; `below` more, which stay void, it wins with a probability of 0.27."""
    cat, dog = torch.full((32, 32), -30.0), torch.full((32, 32), -30.0)
    cat[:10, :10], cat[20, :below], dog[:5, :5] = 2.0, -1.0, 8.0

    merged = panoptic_map(predict([cat, dog], [CAT, DOG], iou=[0.5, 1.0]), 0, plain(), WORDS, MergeConfig())

    found = {segment.name: segment.area for segment in merged.segments}
    assert found == ({"dog": 25, "cat": 75} if is_kept else {"dog": 25})


@pytest.mark.parametrize("void", [0.2, 0.45, 0.55])
def test_void_competes_with_the_best_class_where_that_is_the_rule(void):
    prediction = predict([box(0, 0, 8, 8)], [CAT], void=void)

    assert len(panoptic_map(prediction, 0, plain(), WORDS, MergeConfig()).segments) == 1
    competing = MergeConfig(void_competes=True)
    assert len(panoptic_map(prediction, 0, plain(), WORDS, competing).segments) == (void < 0.5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_order_of_proposals_changes_nothing(seed):
    generator = torch.Generator().manual_seed(seed)
    shuffle = torch.randperm(7, generator=generator)
    prediction = MaskPrediction(
        mask_logits=torch.randn(1, 7, 8, 8, generator=generator) * 4,
        class_logits=torch.randn(1, 7, 5, generator=generator) * 4,
        void_probs=torch.zeros(1, 7),
        iou_scores=torch.rand(1, 7, generator=generator),
        num_concepts=4,
    )
    shuffled = MaskPrediction(
        mask_logits=prediction.mask_logits[:, shuffle],
        class_logits=prediction.class_logits[:, shuffle],
        void_probs=prediction.void_probs[:, shuffle],
        iou_scores=prediction.iou_scores[:, shuffle],
        num_concepts=4,
    )

    one = panoptic_map(prediction, 0, plain(8, 8), WORDS)
    other = panoptic_map(shuffled, 0, plain(8, 8), WORDS)

    assert (one.segmentation == other.segmentation).all()
    assert one.segments == other.segments


def test_a_low_class_score_does_not_erode_a_sure_mask():
    # Fault a: scores multiplied into the mask before the cut drop everything below one half.
    config = MergeConfig(score_threshold=0.2)
    panoptic = panoptic_map(predict([box(4, 4, 20, 20)], [CAT], class_score=0.45), 0, plain(), WORDS, config)
    assert [s.area for s in panoptic.segments] == [256]
    assert panoptic.segments[0].score == pytest.approx(0.45, abs=1e-6)


def test_ids_stay_unique_after_stuff_was_merged():
    # Fault b: sky, cat, sky, cat became ids 1, 2, 1, 2.
    masks = [box(0, 0, 8, 8), box(10, 0, 18, 8), box(0, 10, 8, 18), box(10, 10, 18, 18)]
    iou = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    panoptic = panoptic_map(predict(masks, [SKY, CAT, SKY, CAT], iou=iou), 0, plain(), WORDS)

    assert [(s.id, s.name, s.area) for s in panoptic.segments] == [
        (1, "sky", 128),
        (2, "cat", 64),
        (3, "cat", 64),
    ]
    assert panoptic.segments[0].score == pytest.approx(0.9, abs=1e-6)
    assert set(np.unique(panoptic.segmentation)) == {0, 1, 2, 3}


def test_pixels_below_the_mask_cut_stay_void():
    # Fault c: without the cut one small mask receives the whole picture.
    panoptic = panoptic_map(predict([box(8, 8, 24, 24)], [CAT]), 0, plain(), WORDS)
    assert (panoptic.segmentation == 1).sum() == 256
    assert (panoptic.segmentation == 0).sum() == 32 * 32 - 256


def test_padding_is_cropped_and_fine_shapes_survive():
    # Fault d: a fixed 384 x 384 square would bend a wide picture and lose its one-pixel columns.
    frame = Frame(original=(20, 800), resized=(20, 800), padded=(32, 832))
    mask = torch.zeros(32, 832, dtype=torch.bool)
    mask[:, ::2] = True
    panoptic = panoptic_map(predict([mask], [CAT]), 0, frame, WORDS)

    assert panoptic.segmentation.shape == (20, 800)
    assert (panoptic.segmentation == mask[:20, :800].numpy()).all()


def test_a_mask_on_padding_alone_is_nothing():
    frame = Frame(original=(20, 20), resized=(20, 20), padded=(32, 32))
    panoptic = panoptic_map(predict([box(22, 22, 32, 32)], [CAT]), 0, frame, WORDS)
    assert panoptic.segments == ()


@pytest.mark.parametrize("void", [0.0, 1.0])
def test_an_empty_result_is_int32_zeros(void):
    # Fault e: an empty result came as float32 and -1.
    prediction = predict([box(0, 0, 0, 0)] if void == 0 else [box(0, 0, 32, 32)], [CAT], void=void)
    panoptic = panoptic_map(prediction, 0, plain(), WORDS)
    assert panoptic.segments == ()
    assert panoptic.segmentation.dtype == np.int32
    assert not panoptic.segmentation.any()


def test_negatives_take_pixels_and_become_void():
    masks = [box(0, 0, 16, 32), box(0, 0, 32, 32)]
    iou = torch.tensor([[0.6, 0.9]])
    beaten = panoptic_map(predict(masks, [CAT, NEGATIVE], iou=iou), 0, plain(), WORDS)
    assert beaten.segments == ()

    iou = torch.tensor([[0.9, 0.6]])
    kept = panoptic_map(predict(masks, [CAT, NEGATIVE], iou=iou), 0, plain(), WORDS)
    assert [(s.name, s.area) for s in kept.segments] == [("cat", 512)]
    assert not kept.segmentation[:, 16:].any()


def test_the_overlap_rule_drops_a_mask_that_lost_too_much():
    masks = [box(0, 0, 10, 10), box(7, 0, 17, 10)]
    iou = torch.tensor([[0.9, 0.8]])
    prediction = predict(masks, [CAT, DOG], iou=iou)

    strict = panoptic_map(prediction, 0, plain(), WORDS, MergeConfig(overlap_threshold=0.8))
    loose = panoptic_map(prediction, 0, plain(), WORDS, MergeConfig(overlap_threshold=0.7))

    assert [s.name for s in strict.segments] == ["cat"]
    assert [(s.name, s.area) for s in loose.segments] == [("cat", 100), ("dog", 70)]


def test_each_ranking_is_its_own_formula():
    prediction = predict([box(0, 0, 9, 9)], [CAT], class_score=0.8, void=0.25, iou=0.5)
    for rank_by, score in (("class", 0.6), ("iou", 0.5), ("product", 0.3)):
        config = MergeConfig(rank_by=rank_by)
        segment = panoptic_map(prediction, 0, plain(), WORDS, config).segments[0]
        assert segment.score == pytest.approx(score, abs=1e-6)


def test_guesses_begin_with_the_segments_own_name_and_never_hold_a_negative():
    prediction = predict([box(0, 0, 9, 9)], [DOG], class_score=0.6, void=0.5)
    segment = panoptic_map(prediction, 0, plain(), WORDS, MergeConfig(score_threshold=0.1)).segments[0]
    assert segment.guesses[0].name == "dog"
    assert segment.guesses[0].score == pytest.approx(0.3, abs=1e-6)
    assert {guess.name for guess in segment.guesses} == {"cat", "dog", "truck", "sky"}
    scores = [guess.score for guess in segment.guesses]
    assert scores == sorted(scores, reverse=True)


def test_half_precision_masks_are_merged_too():
    full = predict([box(0, 0, 9, 9)], [DOG])
    half = dataclasses.replace(full, mask_logits=full.mask_logits.half())
    assert panoptic_map(half, 0, plain(), WORDS).segments[0].area == 81


def test_a_vocabulary_of_another_size_is_refused():
    with pytest.raises(ValueError, match="made for 4 concepts"):
        panoptic_map(
            predict([box(0, 0, 9, 9)], [CAT]),
            0,
            plain(),
            Vocabulary(concepts=(Concept(name="cat"),)),
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"score_threshold": -0.1},
        {"mask_threshold": 1.5},
        {"overlap_threshold": float("nan")},
    ],
)
def test_nonsense_thresholds_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MergeConfig(**wrong)


def test_semantic_map_merges_by_category():
    segmentation = np.array([[1, 2, 0], [3, 3, 0]], np.int32)
    segments = tuple(
        Segment(id=i, class_id=c, name="x", score=1.0, is_thing=True, area=1, box=(0, 0, 1, 1))
        for i, c in ((1, 2), (2, 0), (3, 2))
    )
    panoptic = PanopticMap(segmentation=segmentation, segments=segments)
    assert semantic_map(panoptic, 3).tolist() == [[2, 0, -1], [2, 2, -1]]
    assert semantic_map(panoptic, 3, void=255).tolist() == [[2, 0, 255], [2, 2, 255]]
    with pytest.raises(ValueError, match="void"):
        semantic_map(panoptic, 300, void=255)
    with pytest.raises(ValueError, match="class 2"):
        semantic_map(panoptic, 2)


def test_instances_are_whole_things_best_first():
    masks = [box(0, 0, 10, 10), box(5, 0, 15, 10), box(0, 0, 32, 32), box(0, 0, 0, 0)]
    iou = torch.tensor([[0.6, 0.9, 0.95, 0.8]])
    prediction = predict(masks, [CAT, DOG, SKY, CAT], iou=iou)

    found = instances(prediction, 0, plain(), WORDS)

    assert [(i.name, int(i.mask.sum()), i.box) for i in found] == [
        ("dog", 100, (5, 0, 10, 10)),
        ("cat", 100, (0, 0, 10, 10)),
    ]
    assert found[0].mask.dtype == bool
    assert len(instances(prediction, 0, plain(), WORDS, limit=1)) == 1


def test_descent_sums_below_each_node():
    # Two animals at 0.3 are together likelier than the truck, the best single concept.
    path = descend(torch.tensor([0.3, 0.25, 0.35, 0.1]), taxonomy(WORDS), WORDS.names)
    assert [step.name for step in path] == ["thing", "animal", "cat"]
    assert [step.score for step in path] == pytest.approx([0.9, 0.55 / 0.9, 0.3 / 0.55])


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.floats(0.015625, 1, width=32), min_size=4, max_size=4))
def test_the_steps_of_a_descent_multiply_to_the_concepts_share(weights):
    probs = torch.tensor(weights) / sum(weights)
    path = descend(probs, taxonomy(WORDS), WORDS.names)
    leaf = WORDS.names.index(path[-1].name)
    assert np.prod([step.score for step in path]) == pytest.approx(float(probs[leaf]), rel=1e-4)


def test_without_a_taxonomy_there_is_no_path():
    flat = Vocabulary(concepts=(Concept(name="cat"), Concept(name="dog")))
    assert descend(torch.tensor([0.5, 0.5]), taxonomy(flat), flat.names) == ()


def test_names_and_taxonomy_are_found_once_however_many_segments_and_pictures(monkeypatch):
    asked = []
    monkeypatch.setattr(Vocabulary, "names", property(lambda words: asked.append(1) or ("cat", "dog", "truck", "sky")))
    words = dataclasses.replace(WORDS, templates=("a {}",))

    for _ in range(3):
        panoptic_map(predict([box(0, 0, 9, 9), box(20, 20, 30, 30)], [CAT, DOG]), 0, plain(), words)

    assert len(asked) == 3
    assert taxonomy(words) is taxonomy(dataclasses.replace(words))


def test_segments_carry_their_path():
    segment = panoptic_map(predict([box(0, 0, 9, 9)], [DOG]), 0, plain(), WORDS).segments[0]
    assert [step.name for step in segment.path] == ["thing", "animal", "dog"]


def random_prediction(seed, queries, frame, *, num_concepts=4, columns=6):
    generator = torch.Generator().manual_seed(seed)
    shape = frame.padded[0] // 4, frame.padded[1] // 4
    return MaskPrediction(
        mask_logits=torch.randn(2, queries, *shape, generator=generator) * 4,
        class_logits=torch.randn(2, queries, columns, generator=generator) * 4,
        void_probs=torch.rand(2, queries, generator=generator),
        iou_scores=torch.rand(2, queries, generator=generator),
        num_concepts=num_concepts,
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    queries=st.integers(1, 9),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    longest=st.integers(8, 64),
    budget=st.integers(1, 5000),
)
def test_the_soft_rule_equals_its_formula_whatever_the_block(seed, queries, height, width, longest, budget):
    frame = Frame.fit((height, width), longest=longest, stride=8)
    prediction = random_prediction(seed, queries, frame)

    class_probs = prediction.class_logits[1].double().softmax(-1)[:, :4]
    scores = class_probs * (1 - prediction.void_probs[1].double())[:, None]
    masks = torch.stack([frame.leave(m[None])[0].double().sigmoid() for m in prediction.mask_logits[1]])
    sums = torch.einsum("qk,qhw->khw", scores, masks)

    whole = soft_semantic_map(prediction, 1, frame)
    blocks = soft_semantic_map(prediction, 1, frame, budget=budget)

    assert (whole == blocks).all()
    assert whole.dtype == np.int32
    assert whole.shape == (height, width)
    lost = sums.amax(0) - sums.gather(0, torch.from_numpy(whole).long()[None])[0]
    assert (lost / sums.amax(0)).max() < 1e-5  # only a tie in float32 may be told otherwise


def test_many_weak_proposals_outvote_a_strong_one_by_the_soft_rule_alone():
    whole = box(0, 0, 32, 32)
    prediction = predict([whole, whole, whole], [CAT, SKY, SKY], iou=torch.tensor([[0.9, 0.6, 0.6]]))

    assert (soft_semantic_map(prediction, 0, plain()) == SKY).all()
    assert [s.name for s in panoptic_map(prediction, 0, plain(), WORDS).segments] == ["cat"]


def test_void_weakens_a_proposal_by_the_soft_rule():
    whole = box(0, 0, 32, 32)
    prediction = predict([whole, whole], [CAT, SKY], void=torch.tensor([[0.6, 0.5]]))

    assert (soft_semantic_map(prediction, 0, plain()) == SKY).all()


def test_a_negative_name_takes_no_part_in_the_soft_rule():
    prediction = predict([box(0, 0, 32, 32)], [NEGATIVE], class_score=0.9)

    assert soft_semantic_map(prediction, 0, plain()).max() < NEGATIVE
    with pytest.raises(ValueError, match="one concept or more and a positive budget, got 4 and 0"):
        soft_semantic_map(prediction, 0, plain(), budget=0)
