"""Folders of pairs: written whole or not at all, resumed, joined, read in any process; damage is told."""

import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from lexiseg.core.errors import FormatError
from lexiseg.data.pairs.format import PairDataset, PairRecord, from_bytes, to_bytes
from lexiseg.data.pairs.writer import PairWriter

SIZE = 12
PLAN = {"model": "a model"}


def pair(word: str = "cat", *, seed: int = 0, score: float | None = 0.25, size: int = SIZE) -> PairRecord:
    rng = np.random.default_rng(seed)
    return PairRecord(
        crop=rng.integers(0, 256, (size, size, 3), dtype=np.uint8),
        mask=rng.random((size, size)) < 0.5,
        word=word,
        picture=f"{seed}.jpg",
        score=score,
        box=(1, 2, 3 + seed, 4),
        source="a test",
    )


SHARDS = ([pair("cat"), pair("dog", seed=1)], [], [pair("猫", seed=2, score=None), pair("cat", seed=3, score=-0.5)])


def write(
    folder: Path, shards: Sequence[Sequence[PairRecord]] = SHARDS, order: Sequence[int] | None = None, **how: Any
) -> Path:
    writer = PairWriter(folder, crop_size=how.pop("crop_size", SIZE), plan=how.pop("plan", PLAN))
    writer.begin(**how)
    for number in order or range(len(shards)):
        writer.write(number, shards[number], {"pictures": number})
    writer.close(len(shards))
    return folder


def same(one: PairRecord, other: PairRecord) -> bool:
    fields = ("word", "picture", "score", "box", "source")
    values = all(getattr(one, field) == getattr(other, field) for field in fields)
    return values and np.array_equal(one.crop, other.crop) and np.array_equal(one.mask, other.mask)


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    pairs = PairDataset(write(tmp_path / "pairs"))

    written = [record for shard in SHARDS for record in shard]
    assert len(pairs) == len(written) == 4
    assert all(same(pairs[index], record) for index, record in enumerate(written))
    assert same(pairs[-1], written[-1])
    assert pairs.crop_size == SIZE
    assert pairs.words == ("cat", "dog", "猫")
    assert [pairs.words[row] for row in pairs.word_ids] == ["cat", "dog", "猫", "cat"]
    assert np.array_equal(pairs.scores, np.float32([0.25, 0.25, np.nan, -0.5]), equal_nan=True)
    assert list(pairs.counts().items()) == [("cat", 2), ("dog", 1), ("猫", 1)]
    assert pairs.about == ({"pictures": 0}, {"pictures": 1}, {"pictures": 2})
    with pytest.raises(IndexError):
        pairs[4]


@given(
    word=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    mask=st.lists(st.booleans(), min_size=9, max_size=9),
    score=st.none() | st.floats(-1, 1),
)
def test_a_pair_survives_its_bytes(word: str, mask: list[bool], score: float | None) -> None:
    record = PairRecord(
        crop=np.arange(27, dtype=np.uint8).reshape(3, 3, 3),
        mask=np.array(mask).reshape(3, 3),
        word=word,
        picture=word,
        score=score,
        box=(0, 0, 3, 3),
        source=word,
    )

    assert same(from_bytes(*to_bytes(record)), record)


def test_a_shard_is_a_tar_that_other_programs_read(tmp_path: Path) -> None:
    write(tmp_path / "pairs")

    with tarfile.open(tmp_path / "pairs" / "000000.tar") as tar:
        names = tar.getnames()
        about = json.load(tar.extractfile("000000-00001.json"))  # type: ignore[arg-type]
        owners = {(member.uid, member.uname, member.mtime) for member in tar}

    assert names == [f"000000-0000{n}.{kind}" for n in (0, 1) for kind in ("crop.png", "mask.png", "json")]
    assert about == {"word": "dog", "picture": "1.jpg", "score": 0.25, "box": [1, 2, 4, 4], "source": "a test"}
    assert owners == {(0, "", 0)}  # nothing of the machine goes into the bytes


def test_the_bytes_depend_on_neither_the_order_of_shards_nor_an_interruption(tmp_path: Path) -> None:
    write(tmp_path / "one")
    write(tmp_path / "other", order=[2, 0, 1])
    stopped = PairWriter(tmp_path / "resumed", crop_size=SIZE, plan=PLAN)
    stopped.begin()
    stopped.write(1, SHARDS[1], {"pictures": 1})
    stopped.write(0, SHARDS[0], {"pictures": 0})

    writer = PairWriter(tmp_path / "resumed", crop_size=SIZE, plan=PLAN)
    assert not writer.begin(resume=True)
    assert [writer.finished(number) for number in range(3)] == [{"pictures": 0}, {"pictures": 1}, None]
    writer.write(2, SHARDS[2], {"pictures": 2})
    writer.close(3)

    assert files_in(tmp_path / "one") == files_in(tmp_path / "other") == files_in(tmp_path / "resumed")
    assert set(files_in(tmp_path / "one")) == {"000000.tar", "000001.tar", "000002.tar", "index.json"}


def test_a_shard_that_fails_leaves_none_behind(tmp_path: Path) -> None:
    writer = PairWriter(tmp_path / "pairs", crop_size=SIZE, plan=PLAN)
    writer.begin()

    def broken() -> Any:
        yield pair()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write(0, broken(), {})

    assert writer.finished(0) is None
    with pytest.raises(ValueError, match="lacks shard 0"):
        writer.close(1)
    writer.begin(resume=True)
    assert set(files_in(tmp_path / "pairs")) == {"plan.json"}


def test_a_cut_shard_is_written_again(tmp_path: Path) -> None:
    writer = PairWriter(tmp_path / "pairs", crop_size=SIZE, plan=PLAN)
    writer.begin()
    writer.write(0, SHARDS[0], {})
    shard = tmp_path / "pairs" / "000000.tar"
    shard.write_bytes(shard.read_bytes()[:-1])

    assert writer.finished(0) is None


def test_a_folder_of_pairs_is_neither_lost_nor_mixed(tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs")
    (folder / "notes.txt").write_text("mine")
    before = files_in(folder)

    with pytest.raises(ValueError, match="already holds pairs"):
        write(folder)
    with pytest.raises(ValueError, match="another model, data or settings"):
        write(folder, plan={"model": "another"}, resume=True)
    assert PairWriter(folder, crop_size=SIZE, plan=PLAN).begin(resume=True)  # nothing left to do
    assert files_in(folder) == before

    write(folder, SHARDS[:1], plan={"model": "another"}, overwrite=True)
    assert set(files_in(folder)) == {"000000.tar", "index.json", "notes.txt"}
    assert len(PairDataset(folder)) == 2


@pytest.mark.parametrize("name", ["000000.tar", "000003.json", "index.json", "plan.json"])
def test_files_of_others_are_not_written_over_unasked_and_never_deleted(tmp_path: Path, name: str) -> None:
    for other in (name, "000009.tar", "000009.json"):
        (tmp_path / other).write_text('{"format": "of others"}')
    before = files_in(tmp_path)

    for how in ({}, {"resume": True}):
        with pytest.raises(ValueError, match=r"already holds 0000.*: choose another --out, or pass --overwrite"):
            write(tmp_path, **how)
    assert files_in(tmp_path) == before

    write(tmp_path, overwrite=True)
    assert len(PairDataset(tmp_path)) == 4
    write(tmp_path, SHARDS[:1], overwrite=True)
    kept = {"000009.tar", "000009.json"} | ({name} if name == "000003.json" else set())
    assert set(files_in(tmp_path)) == {"000000.tar", "index.json"} | kept
    assert all(files_in(tmp_path)[other] == before[other] for other in kept)


def test_an_interrupted_run_is_replaced_as_a_whole(tmp_path: Path) -> None:
    stopped = PairWriter(tmp_path, crop_size=SIZE, plan=PLAN)
    stopped.begin()
    stopped.write(2, SHARDS[2], {})
    (tmp_path / ".partial-000001.tar").write_bytes(b"half a shard")

    with pytest.raises(ValueError, match="already holds pairs"):
        write(tmp_path)
    write(tmp_path, SHARDS[:1], overwrite=True)

    assert set(files_in(tmp_path)) == {"000000.tar", "index.json"}


def test_an_empty_mask_is_refused(tmp_path: Path) -> None:
    empty = replace(pair("cat"), mask=np.zeros((SIZE, SIZE), bool))

    with pytest.raises(ValueError, match=r"region 'cat' of '0\.jpg' has an empty mask"):
        write(tmp_path / "pairs", [[empty]])


def test_crops_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="crops must be 12 pixels wide, got 9"):
        write(tmp_path / "pairs", [[pair(size=9)]])


def test_folders_are_joined_in_their_order(tmp_path: Path) -> None:
    one = write(tmp_path / "one", [[pair("cat"), pair("dog", seed=1)]])
    other = write(tmp_path / "other", [[pair("ant", seed=2), pair("dog", seed=3)]])

    joined = PairDataset(one, other)

    assert [joined[index].word for index in range(4)] == ["cat", "dog", "ant", "dog"]
    assert joined.words == ("ant", "cat", "dog")
    assert joined.counts()["dog"] == 2
    small = write(tmp_path / "small", [[pair(size=8)]], crop_size=8)
    with pytest.raises(FormatError, match="crops of one size, got 8 and 12 pixels"):
        PairDataset(one, small)
    with pytest.raises(FormatError, match="lexiseg mine"):
        PairDataset()


def test_a_worker_that_knows_nothing_but_the_data_set_reads_the_same(tmp_path: Path) -> None:
    pairs = PairDataset(write(tmp_path / "pairs"))

    loader: Any = DataLoader(pairs, num_workers=1, multiprocessing_context="spawn", collate_fn=itemgetter(0))

    assert all(same(read, pairs[index]) for index, read in enumerate(loader))


def test_damage_is_told_in_a_sentence(tmp_path: Path) -> None:
    folder = write(tmp_path / "pairs")
    shard, index = folder / "000000.tar", folder / "index.json"
    whole, document = shard.read_bytes(), index.read_text()
    pairs = PairDataset(folder)

    shard.write_bytes(whole[:600] + bytes(100) + whole[700:])
    with pytest.raises(FormatError, match=r"000000\.tar'?: pair 0 is damaged"):
        PairDataset(folder)[0]
    shard.write_bytes(whole[:5000])
    with pytest.raises(FormatError, match=r"000000\.tar'? is missing or cut off"):
        PairDataset(folder)
    with pytest.raises(FormatError, match="pair 1 is damaged"):
        pairs[1]
    shard.unlink()
    with pytest.raises(FormatError, match="pair 0 is damaged"):
        pairs[0]
    shard.write_bytes(whole)
    index.write_text(document.replace('"cat","dog"', '"cow","dog"'))
    with pytest.raises(FormatError, match="another pair than the index says"):
        PairDataset(folder)[0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "holds no finished pairs"),
        ("{", r"index\.json: this is no JSON"),
        ("[]", "is no index of pairs"),
        ('{"format": "lexiseg pairs 1"}', "is no index of pairs"),
        ('{"format": "lexiseg pairs 1", "shards": [{"name": "a", "bytes": 1, "words": [0]}]}', "is no index of pairs"),
        ('{"format": "lexiseg pairs 9"}', "of another version"),
    ],
)
def test_what_is_no_folder_of_pairs_is_told_in_a_sentence(tmp_path: Path, content: str | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "index.json").write_text(content)

    with pytest.raises(FormatError, match=complaint):
        PairDataset(tmp_path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("crop_size",), None),
        (("crop_size",), "12"),
        (("words",), None),
        (("words",), []),
        (("words",), ["cat", 7, "猫"]),
        (("shards",), None),
        (("shards", 0), 7),
        (("shards", 0, "about"), None),
        (("shards", 0, "words"), None),
        (("shards", 0, "words"), [7, 0]),
        (("shards", 0, "words"), [-1, 0]),
        (("shards", 0, "words"), [0.5, 0]),
        (("shards", 0, "words"), [0]),
        (("shards", 0, "scores"), ["high", 1]),
        (("shards", 0, "spans"), [[0, 1], [2]]),
        (("shards", 0, "spans"), [[[512, 9], [0, 9], [1024, 9]]] * 2),
        (("shards", 0, "spans", 1, 2), [10**9, 5]),
        (("shards", 0, "spans", 0, 0), [-512, 9]),
        (("shards", 0, "bytes"), "many"),
    ],
)
def test_a_damaged_index_is_told_in_a_sentence(tmp_path: Path, keys: tuple[Any, ...], value: Any) -> None:
    index = write(tmp_path / "pairs") / "index.json"
    document = json.loads(index.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    assert place[keys[-1]] != value
    place[keys[-1]] = value
    index.write_text(json.dumps(document))

    with pytest.raises(FormatError, match="is no index of pairs; make the pairs anew"):
        PairDataset(index.parent)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")

    with pytest.raises(ValueError, match="can't be written"):
        PairWriter(tmp_path / "a file" / "pairs", crop_size=SIZE, plan=PLAN).begin()
