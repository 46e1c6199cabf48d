"""OPSNet's Figures 3 to 5, and claims O16 and O17."""

from lexiseg.studies.figures import descent, many_words, prototypes
from lexiseg.studies.figures.plan import DESCENT, MANY_WORDS, PROTOTYPES
from lexiseg.studies.tables import PaperFigure
from lexiseg.studies.verdicts import Claim, Contrast, above

_FOUR = ("COCO", "ADE20K", "Cityscapes", "Pascal Context")
_BOTH = _FOUR[:2]
_ALIKE = ("mean cosine", "deviation", "above 0.5", "nearest", "nearest, centred")

FIGURES = (
    PaperFigure(
        name="Figure 3",
        paper="OPSNet",
        says="Five names for every mask out of thousands of words. The paper asks for those of ImageNet-21K and shows "
        "examples; here is also counted how often the true name is the first or among five, against the data's own "
        "words, how often a distractor comes first, and the same of things that the annotation leaves out. Shares are "
        "of segments that have a mask of the kind: the model's own masks with an IoU above one half, named as the "
        "model names masks, or true masks, which CLIP alone names.",
        unit=MANY_WORDS,
        arms=many_words.ARMS,
        columns=(
            *(f"{data} {name}" for data in _BOTH for name in ("masks", "top-1", "top-5", "distractor first")),
            *(f"COCO unannotated {name}" for name in ("masks", "top-1", "top-5")),
        ),
    ),
    PaperFigure(
        name="Figure 4",
        paper="OPSNet",
        says="Cosines of all pairs of classes, times 100, and the shares of pairs above 0.5 in percent: CLIP's text "
        "embeddings against prototypes: rows of a softmax layer that learned from frozen CLIP features of true masks "
        "(a probe), mean query embeddings of a class, and the class layer of a closed-set Mask2Former, the paper's "
        "own. Nearest: the mean over classes of the cosine to the most similar one; centred: after the mean row is "
        "taken off, to which a softmax is blind. A learned softmax layer has rows that sum to about zero, and a mean "
        "cosine about zero, from whatever it learned: how near the nearest class is tells more.",
        unit=PROTOTYPES,
        arms=prototypes.ARMS,
        columns=tuple(f"{data} {name}" for data in _FOUR for name in _ALIKE),
    ),
    PaperFigure(
        name="Figure 5",
        paper="OPSNet",
        says="Paths down a tree of categories. The paper compares a segment with the names of inner nodes, level by "
        "level, and shows examples; here is also counted how often a path is right down to each level, against paths "
        "by sums of the concepts' own probabilities, and the place of the single best name.",
        unit=DESCENT,
        arms=descent.ARMS,
        columns=tuple(f"{data} {level}" for data in _BOTH for level in descent.LEVELS),
    ),
)


def _more_than_half(says: str, arm: str, figure: str) -> Contrast:
    return Contrast(says=says, terms=((1.0, arm, figure),), margin=-50.0)


_OWN_MANY = many_words.arm("own masks", "many words")

CLAIMS = (
    Claim(
        name="O16",
        says="Text embeddings are much less discriminative than trained class prototypes, and their similarities "
        "differ between data sets (Figure 4, a histogram without numbers).",
        contrasts=(
            # Not by means: those of a softmax layer are about zero whatever it learned.
            *(above(f"{data} nearest, centred", prototypes.TEXT, prototypes.PROBE) for data in _FOUR),
            Contrast(
                says="mean cosines of text embeddings: the greatest of the data sets above the least",
                terms=((1.0, prototypes.TEXT, prototypes.SPREAD),),
            ),
            above("COCO nearest, centred", prototypes.TEXT, prototypes.LAYER),
            *(above(f"{data} mean cosine", prototypes.TEXT, prototypes.PROBE, kind="control") for data in _FOUR),
            # Queries learned from the words themselves: are they less alike?
            *(above(f"{data} nearest, centred", prototypes.TEXT, prototypes.QUERIES, kind="control") for data in _FOUR),
        ),
    ),
    Claim(
        name="O17",
        says="Asked for the names of ImageNet-21K, the five best are sensible for regions that no annotation names, "
        "too (Figure 3, examples); a tree of categories gives every segment a path (Figure 5, examples).",
        contrasts=(
            _more_than_half(
                "unannotated things of COCO: the true name is among five of thousands for more than half",
                _OWN_MANY,
                "COCO unannotated top-5",
            ),
            *(
                _more_than_half(
                    f"{data}: the path by names of nodes ends at the true name for more than half",
                    descent.BY_NAMES,
                    f"{data} name",
                )
                for data in _BOTH
            ),
            # A CLIP that never read the names of inner nodes: do the means of their concepts' names do better?
            *(above(f"{data} name", descent.BY_MEANS, descent.BY_NAMES, kind="control") for data in _BOTH),
            *(above(f"{data} name", descent.BY_NAMES, descent.BEST, kind="control") for data in _BOTH),
        ),
    ),
)
