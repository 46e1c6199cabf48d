"""Figure 4: how alike the classes of a vocabulary are, as CLIP's words and as what a closed-set head learns.

The paper compares the rows of a closed-set Mask2Former's last layer with text embeddings, by the cosines of all pairs
of classes. A softmax is blind to what its rows have in common: a gradient leaves their sum where it began, and the best
ridge-regularised rows sum to zero, so that prototypes have a mean cosine about zero whatever they were learned from,
while nothing takes from words what they share. Beside the raw cosines stand those of centred rows, without the mean row
of the vocabulary, which tell how far the classes are apart for the softmax.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from lexiseg.core.vocabulary import Vocabulary
from lexiseg.data.categories import match_vocabulary
from lexiseg.data.dataset import Dataset
from lexiseg.encoders.segmenters.mask2former_weights import read_mask2former
from lexiseg.encoders.text import embed_names
from lexiseg.layers.heads import AssembledHead
from lexiseg.models.opsnet import OPSNet
from lexiseg.studies.figures.charts import Histogram, chart
from lexiseg.studies.figures.drawing import Drawing
from lexiseg.studies.figures.segments import Shown, look, show_all
from lexiseg.studies.verdicts import with_blocks
from lexiseg.studies.worlds import MOST_BLOCKS, load_network, open_pictures

TEXT, PROBE, QUERIES, LAYER = (
    "Figure 4: text embeddings",
    "Figure 4: prototypes of a probe",
    "Figure 4: mean queries",
    "Figure 4: class layer of Mask2Former",
)
"""The arms: words; a softmax layer on frozen features; means of OPSNet's queries; the paper's own prototypes."""
SPREAD = "range of mean cosines"
"""Between the vocabularies; its name as a figure."""
ARMS = (TEXT, PROBE, QUERIES, LAYER)
SHORT = {
    TEXT: "text embeddings of the names",
    PROBE: "prototypes that a layer learned",
    LAYER: "Mask2Former's class layer",
}
RIDGE = 1e-4
"""Weight of the squared norm of a probe's rows: of five tried, the best on held out pictures of train."""
FEWEST_CLASSES = 3
"""With fewer there are no pairs left where a block of classes is taken out."""
Rows = Float[Tensor, "K D"]


def cosines(rows: Rows) -> Float[np.ndarray, " pairs"]:
    """The cosines of all pairs of rows."""
    unit = F.normalize(rows.double(), dim=-1)
    places = torch.triu_indices(len(rows), len(rows), offset=1)
    return (unit @ unit.T)[places[0], places[1]].numpy()


def alikeness(rows: Rows) -> dict[str, float]:
    """How alike classes are: cosines of their rows times 100.

    Returns:
        "mean cosine" and its "deviation" over the pairs, the share of pairs "above 0.5" in percent, and "nearest": the
        mean over classes of the cosine to the most similar other class; the last one of centred rows, too.
    """
    pairs = cosines(rows)
    return {
        "mean cosine": 100 * float(pairs.mean()),
        "deviation": 100 * float(pairs.std()),
        "above 0.5": 100 * float((pairs > 0.5).mean()),
        "nearest": 100 * _nearest(rows),
        "nearest, centred": 100 * _nearest(rows - rows.mean(0)),
    }


def _nearest(rows: Rows) -> float:
    unit = F.normalize(rows.double(), dim=-1)
    return (unit @ unit.T).fill_diagonal_(-1).amax(1).mean().item()


def fit_probe(features: Float[Tensor, "N D"], classes: Int[Tensor, " N"], num_classes: int) -> Rows:
    """The rows of a softmax layer with a bias on frozen features, fitted from zeros until it no longer moves.

    Args:
        features: unit rows.
        classes: of the features.
        num_classes: K; a class without a feature has a row as well, from which all are pushed away.
    """
    weight = torch.zeros(num_classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(features @ weight.T + bias, classes) + RIDGE * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Classes:
    """The classes of one data set, as rows of each kind."""

    names: tuple[str, ...]
    rows: Mapping[str, Rows]
    """By arm; a class without an example has no mean query, and is left out there."""
    accuracy: Mapping[str, float]
    """In percent, of segments of every fifth picture: by the words, and by a probe of the other pictures alone."""


def learn(model: OPSNet, dataset: Dataset, vocabulary: Vocabulary, shown: Iterable[Shown]) -> Classes:
    """Embeds the words of a data set, and learns its classes from true masks.

    The probe reads what CLIP's words are compared with: frozen CLIP, pooled under true masks (E_c). Mean queries are of
    OPSNet's trained embeddings (E_q) of its own masks that match a true one.

    Args:
        model: in eval mode.
        dataset: whose categories are classes.
        vocabulary: a concept for each; its first names are compared.
        shown: its pictures.
    """
    matched, category_ids = match_vocabulary(dataset.categories, model.phrased(vocabulary))
    class_of = {category_id: place for place, category_id in enumerate(category_ids)}
    features: list[Tensor] = []
    queries: list[Tensor] = []
    places: list[tuple[int, int, bool]] = []  # class, picture, whether the model has a mask of it
    for one in shown:
        seen = look(model, one)
        found = [query for query in seen.queries if query is not None]
        features.append(seen.true.regions.clip_embed[0])
        queries.append(seen.own.regions.class_embed[0, found])
        places += [
            (class_of[segment.category_id], one.number, query is not None)
            for segment, query in zip(one.segments, seen.queries, strict=True)
        ]
    classes, pictures, is_found = torch.tensor(places).T
    embed, is_held_out, number = torch.cat(features), pictures % 5 == 4, len(matched)
    text = embed_names(model.text_encoder, matched.names, matched.templates)
    partial = fit_probe(embed[~is_held_out], classes[~is_held_out], number)
    accuracy = {
        name: 100 * ((embed @ rows.T).argmax(1) == classes)[is_held_out].double().mean().item()
        for name, rows in ((TEXT, text), (PROBE, partial))
    }
    of_query = F.one_hot(classes[is_found.bool()], number).float()
    means = (of_query.T @ torch.cat(queries))[of_query.sum(0) > 0]
    rows = {TEXT: text, PROBE: fit_probe(embed, classes, number), QUERIES: means}
    if isinstance(model.head, AssembledHead) and set(matched.names) == set(model.training_vocabulary.names):
        rows[LAYER] = model.head.classify.weight[:-1].detach()
    return Classes(names=matched.names, rows=rows, accuracy=accuracy)


def figures_of(rows: Mapping[str, Rows]) -> dict[str, Any]:
    """The figures of one arm, by data set and all together, with what they are without a twentieth of the classes."""
    rows = {data: one for data, one in rows.items() if len(one) >= FEWEST_CLASSES}
    blocks = [
        tuple((data, place) for data, one in rows.items() for place in range(block, len(one), MOST_BLOCKS))
        for block in range(min(MOST_BLOCKS, max(map(len, rows.values()), default=0)))
    ]

    def figures(kept: tuple[tuple[str, int], ...]) -> dict[str, float]:
        found: dict[str, float] = {}
        for data, one in rows.items():
            places = [place for of, place in kept if of == data]
            found |= {f"{data} {name}": value for name, value in alikeness(one[places]).items()}
        means = [found[f"{data} mean cosine"] for data in rows]
        return found | {SPREAD: max(means) - min(means)} if len(means) > 1 else found

    return with_blocks(blocks, figures) if blocks else {}


def measure(
    files: Path,
    out: Path,
    *,
    model: Mapping[str, Any],
    pictures: Mapping[str, Mapping[str, Any]],
    closed: str | None = None,
) -> Any:
    """Figure 4 of all data sets: the act of a unit.

    Args:
        files: where units leave files.
        out: for the pictures.
        model: of `World.model_settings`.
        pictures: for each data set those of `Pictures.settings`.
        closed: the unit that trained a closed-set Mask2Former on COCO's pictures, if one did.
    """
    network = load_network(files, model, OPSNet)
    learned: dict[str, Classes] = {}
    for data, settings in pictures.items():
        dataset, vocabulary = open_pictures(files, settings)
        learned[data] = learn(network, dataset, vocabulary, show_all(dataset))
    arms = {arm: {data: c.rows[arm] for data, c in learned.items() if arm in c.rows} for arm in ARMS}
    if closed is not None:
        arms[LAYER] = {"COCO": read_mask2former(files / closed / "model").class_weight[:-1]}
    return {
        "arms": {arm: figures_of(rows) for arm, rows in arms.items()},
        "held out": {data: dict(c.accuracy) for data, c in learned.items()},
        "classes": {data: len(c.names) for data, c in learned.items()},
        "pictures": list(draw(arms).write(out / "figure-4")),
    }


def draw(arms: Mapping[str, Mapping[str, Rows]]) -> Drawing:
    """The histograms: one panel for each data set."""
    panels = [
        Histogram(
            title=f"{data}: {len(text)} names",
            series={
                SHORT[arm]: cosines(rows[data]).tolist() for arm, rows in arms.items() if arm in SHORT and data in rows
            },
            limits=(-0.6, 1.0),
            x_label="cosine of two classes",
            y_label="pairs, %",
        )
        for data, text in arms[TEXT].items()
    ]
    return chart(
        "How alike classes are: words and learned prototypes",
        panels,
        columns=2 if len(panels) > 1 else 1,
        panel_height=225,
        says="Cosines of all pairs of classes: CLIP's text embeddings of their names, and the rows of a softmax layer "
        "that learned the same classes from frozen CLIP features of true masks. Dashed: the means.",
        source='Figure 4 of OPSNet, by lexiseg reproduce "Figure 4".',
    )
