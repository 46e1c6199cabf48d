from hypothesis import given
from hypothesis import strategies as st

from lexiseg.core.taxonomy import TaxonomyNode, taxonomy
from lexiseg.core.vocabulary import Concept, Vocabulary


def all_nodes(node: TaxonomyNode) -> list[TaxonomyNode]:
    return [node, *(below for child in node.children for below in all_nodes(child))]


def test_paths_become_a_tree_with_leaves_where_they_end():
    cat = Concept("cat", path=("thing", "animal"))
    car = Concept("car", path=("thing",))
    dog = Concept("dog", path=("thing", "animal"))
    sky = Concept("sky", is_thing=False, path=("stuff",))

    root = taxonomy(Vocabulary((cat, car, dog, sky)))

    animal = TaxonomyNode("animal", (), (0, 2), (0, 2))
    thing = TaxonomyNode("thing", (animal,), (1,), (0, 1, 2))
    assert root == TaxonomyNode("", (thing, TaxonomyNode("stuff", (), (3,), (3,))), (), (0, 1, 2, 3))


def test_without_paths_the_root_has_leaves_only():
    root = taxonomy(Vocabulary.of("cat, sky"))

    assert root.children == ()
    assert root.leaves == (0, 1)


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=4), min_size=1, max_size=8))
def test_every_node_splits_its_concepts_among_leaves_and_children(paths: list[list[str]]):
    vocabulary = Vocabulary(tuple(Concept(f"c{index}", path=tuple(path)) for index, path in enumerate(paths)))

    nodes = all_nodes(taxonomy(vocabulary))

    assert nodes[0].concept_ids == tuple(range(len(paths)))
    for node in nodes:
        parts = [*node.leaves, *(index for child in node.children for index in child.concept_ids)]
        assert sorted(parts) == list(node.concept_ids)
        assert len({child.name for child in node.children}) == len(node.children)
