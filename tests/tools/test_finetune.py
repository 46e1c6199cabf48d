"""The study of fine-tuning: its scenes show what was asked for, and a finished seed is not run again."""

import sys
from pathlib import Path

import numpy as np
import pytest

from lexiseg.core.vocabulary import Vocabulary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import finetune

sys.path.pop(0)


def test_scenes_show_the_names_alone_under_their_new_words(tmp_path: Path) -> None:
    words = Vocabulary.of("blicket, dax, wug:stuff", ("{}",))

    data = finetune.compose_scenes(("owl", "robot", "snow"), words, "train", 6, 0, tmp_path / "one")

    assert [(c.name, c.is_thing) for c in data.categories] == [("blicket", True), ("dax", True), ("wug", False)]
    segments = [segment for sample in data.samples for segment in sample.segments]
    assert {segment.category_id for segment in segments} == {category.id for category in data.categories}
    for sample in data.samples:
        ids = data.annotation(sample, strict=True).to_segmentation(()).ids
        assert set(np.unique(ids).tolist()) == {0, *(segment.id for segment in sample.segments)}  # 0: other stuff


@pytest.mark.slow
def test_a_finished_seed_is_told_again_and_never_mixed_with_another_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TEST_SCENES", "BASE_SCENES"):
        monkeypatch.setattr(finetune, name, 4)
    trained: list[object] = []

    def train(*asked: object) -> Path:  # it has tests of its own
        trained.append(asked)
        return finetune.find_model("storybook")

    monkeypatch.setattr(finetune, "train", train)
    own = ["--out", str(tmp_path), "--scenes", "4", "--split", "val"]

    tables = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["finetune.py", *own])
        finetune.main()
        tables.append(capsys.readouterr().out)

    assert tables[0] == tables[1]
    assert len(trained) == 1
    _, before, after, base_before, base_after, _ = tables[0].splitlines()[-1].strip("| ").split(" | ")
    assert (before, base_before) == (after, base_after)
    monkeypatch.setattr(sys, "argv", ["finetune.py", *own, "--invented"])
    with pytest.raises(SystemExit, match="holds figures of another recipe"):
        finetune.main()
