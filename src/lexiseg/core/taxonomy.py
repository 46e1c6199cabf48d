"""The taxonomy of a vocabulary: a tree with its concepts as leaves."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from lexiseg.core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class TaxonomyNode:
    """An inner node of a vocabulary's taxonomy."""

    name: str
    """Empty for the root."""
    children: tuple["TaxonomyNode", ...]
    """Inner nodes right below, in the order of their first concept in the vocabulary."""
    leaves: tuple[int, ...]
    """Concepts right below, as indices into the vocabulary."""
    concept_ids: tuple[int, ...]
    """All concepts anywhere below, ascending; siblings never share one."""


@functools.lru_cache(8)
def taxonomy(vocabulary: Vocabulary) -> TaxonomyNode:
    """The tree that the concepts' paths span, for a descent from the root.

    Returns:
        The root. Without any path it has no children, and all concepts are its leaves.
    """
    concepts = vocabulary.concepts

    def node(name: str, ids: Iterable[int], depth: int) -> TaxonomyNode:
        below: dict[str, list[int]] = {}
        leaves, concept_ids = [], tuple(ids)
        for index in concept_ids:
            path = concepts[index].path
            (below.setdefault(path[depth], []) if len(path) > depth else leaves).append(index)
        children = tuple(node(child, members, depth + 1) for child, members in below.items())
        return TaxonomyNode(name, children, tuple(leaves), concept_ids)

    return node("", range(len(concepts)), 0)
