import logging
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from fake_text import HashedTextEncoder, write_often
from lexiseg.core.vocabulary import Vocabulary
from lexiseg.encoders import text
from lexiseg.encoders.text import Memory, TextEncoder, TextMemory, default_cache_dir, embed_names, text_embed

TEMPLATES = ("a photo of a {}.", "There is a {} in the scene")
WORDS = Vocabulary.of("cat|kitten, 狗, sky:stuff", templates=TEMPLATES)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_the_hashed_encoder_is_a_text_encoder():
    assert isinstance(HashedTextEncoder(), TextEncoder)


@given(
    st.lists(st.sampled_from(["cat", "dog", "{0}", "猫", "a {b}", "%s"]), min_size=1, max_size=9),
    st.integers(1, 5),
)
def test_embedding_equals_the_loop_anyone_would_write_first(names: list[str], num_templates: int):
    templates = tuple(f"{index} {{}}." for index in range(num_templates))
    encoder = HashedTextEncoder()

    found = embed_names(encoder, names, templates)

    for name, row in zip(names, found, strict=True):
        vectors = [encoder.encode_text([template.replace("{}", name)])[0] for template in templates]
        mean = torch.stack([vector / vector.norm() for vector in vectors]).mean(0)
        torch.testing.assert_close(row, mean / mean.norm())


def test_more_names_than_one_batch_keep_their_order():
    names = [f"word {index}" for index in range(700)]
    encoder = HashedTextEncoder(dim=8)

    found = embed_names(encoder, names, ("{}",))

    assert found.shape == (700, 8)
    torch.testing.assert_close(found, F.normalize(encoder.encode_text(names), dim=-1))
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_a_name_that_stands_twice_is_encoded_once():
    encoder = HashedTextEncoder()

    found = embed_names(encoder, ["cat", "dog", "cat"], TEMPLATES)

    assert torch.equal(found[0], found[2])
    assert len(encoder.prompts) == len(set(encoder.prompts)) == 4


def test_no_names_and_vectors_of_nan_are_refused():
    class Broken(HashedTextEncoder):
        def _noise(self, text: str) -> torch.Tensor:
            return torch.full((self.dim,), torch.nan)

    with pytest.raises(ValueError, match="at least one name"):
        embed_names(HashedTextEncoder(), [], TEMPLATES)
    with pytest.raises(ValueError, match="damaged"):
        embed_names(Broken(), ["cat"], TEMPLATES)


def test_the_second_call_reads_the_same_numbers_without_encoding(tmp_path: Path):
    first = text_embed(HashedTextEncoder(), WORDS, cache_dir=tmp_path / "new" / "folder")
    encoder = HashedTextEncoder()

    second = text_embed(encoder, WORDS, cache_dir=tmp_path / "new" / "folder")

    assert torch.equal(first, second)
    assert torch.equal(first, text_embed(HashedTextEncoder(), WORDS, cache_dir=None))
    assert encoder.prompts == []


def test_the_key_is_the_content_weights_templates_and_names(tmp_path: Path):
    others = [
        (HashedTextEncoder(), Vocabulary.of(WORDS, templates=TEMPLATES[:1])),
        (HashedTextEncoder(), Vocabulary.of("cat", templates=TEMPLATES)),
        (HashedTextEncoder(fingerprint="other weights"), WORDS),
    ]
    text_embed(HashedTextEncoder(), WORDS, cache_dir=tmp_path)

    for encoder, vocabulary in others:
        text_embed(encoder, vocabulary, cache_dir=tmp_path)
        assert encoder.prompts != []

    assert len(list(tmp_path.iterdir())) == 4


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))


def text_instead(path: Path) -> None:
    path.write_text("not a tensor" * 99)


def change(path: Path, **tensors: torch.Tensor) -> None:
    content = load_file(path)
    save_file({**{name: value.clone() for name, value in content.items()}, **tensors}, path)


def drop_a_row(path: Path) -> None:
    change(path, text_embed=load_file(path)["text_embed"][:-1].clone())


def change_a_number(path: Path) -> None:
    change(path, text_embed=load_file(path)["text_embed"].neg())


def another_type(path: Path) -> None:
    change(path, text_embed=load_file(path)["text_embed"].double(), checksum=torch.zeros(32))


def another_checksum_type(path: Path) -> None:
    change(path, checksum=torch.zeros(32))


def no_checksum(path: Path) -> None:
    save_file({"text_embed": load_file(path)["text_embed"].clone()}, path)


def a_folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        empty,
        flip_a_bit,
        text_instead,
        drop_a_row,
        change_a_number,
        another_type,
        another_checksum_type,
        no_checksum,
        a_folder_instead,
    ],
)
def test_a_damaged_file_is_rebuilt_with_a_warning(tmp_path: Path, damage, caplog: pytest.LogCaptureFixture):
    first = text_embed(HashedTextEncoder(), WORDS, cache_dir=tmp_path)
    damage(only_file(tmp_path))

    with caplog.at_level(logging.WARNING):
        second = text_embed(HashedTextEncoder(), WORDS, cache_dir=tmp_path)

    assert torch.equal(first, second)
    assert "is rebuilt" in caplog.text
    if damage is not a_folder_instead:
        encoder = HashedTextEncoder()
        assert torch.equal(first, text_embed(encoder, WORDS, cache_dir=tmp_path))
        assert encoder.prompts == []


def test_a_file_of_another_question_under_this_name_is_not_trusted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    first = text_embed(HashedTextEncoder(), WORDS, cache_dir=tmp_path)
    mine = only_file(tmp_path)
    text_embed(HashedTextEncoder(fingerprint="other"), WORDS, cache_dir=tmp_path)
    (other,) = set(tmp_path.iterdir()) - {mine}
    other.replace(mine)

    assert torch.equal(first, text_embed(HashedTextEncoder(), WORDS, cache_dir=tmp_path))
    assert "is rebuilt" in caplog.text


LONG = Vocabulary.of([f"word {index}" for index in range(7)], templates=TEMPLATES)


class Interrupted(HashedTextEncoder):
    """Does something else before it encodes a word."""

    def __init__(self, word: str, act: Callable[[], object]) -> None:
        super().__init__()
        self.word, self.act = word, act

    def encode_text(self, prompts: Sequence[str]) -> torch.Tensor:
        if any(self.word in prompt for prompt in prompts):
            self.act()
        return super().encode_text(prompts)


def killed() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("damage", [None, truncate, drop_a_row])
def test_a_long_vocabulary_goes_on_behind_the_parts_that_an_interrupted_run_has_left(
    tmp_path: Path, damage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(text, "PART", 2)
    monkeypatch.setattr(text, "NEWS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        text_embed(Interrupted("word 4", killed), LONG, cache_dir=tmp_path)
    assert "2 of 7 names are embedded; about 1 min left." in caplog.text
    parts = sorted(tmp_path.iterdir())
    assert len(parts) == 2
    if damage is not None:
        damage(parts[0])
    encoder = HashedTextEncoder()

    found = text_embed(encoder, LONG, cache_dir=tmp_path)

    assert torch.equal(found, text_embed(HashedTextEncoder(), LONG, cache_dir=None))
    assert len(encoder.prompts) == len(TEMPLATES) * (3 if damage is None else 5)
    assert ("is rebuilt" in caplog.text) == (damage is not None)
    assert torch.equal(load_file(only_file(tmp_path))["text_embed"], found)


def test_another_process_may_finish_the_same_long_vocabulary_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(text, "PART", 2)
    other = Interrupted("word 4", lambda: text_embed(HashedTextEncoder(), LONG, cache_dir=tmp_path))

    found = text_embed(other, LONG, cache_dir=tmp_path)

    assert torch.equal(found, text_embed(HashedTextEncoder(), LONG, cache_dir=None))
    assert torch.equal(load_file(only_file(tmp_path))["text_embed"], found)


def test_a_folder_that_cannot_be_written_costs_a_warning_only(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").write_text("in the way")

    found = text_embed(HashedTextEncoder(), WORDS, cache_dir=tmp_path / "file" / "cache")

    assert found.shape == (4, 64)
    assert "not remembered" in caplog.text


def test_two_processes_write_the_cache_at_once(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    start, failures = context.Barrier(2), context.Queue()
    writers = [context.Process(target=write_often, args=(tmp_path, WORDS, start, failures)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(timeout=60)

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert failures.empty()
    assert only_file(tmp_path).suffix == ".safetensors"  # and no temporary file is left


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LEXISEG_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_dir() == tmp_path / "own"

    monkeypatch.delenv("LEXISEG_CACHE")
    assert default_cache_dir() == tmp_path / "xdg" / "lexiseg"

    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "lexiseg"


NAMES = [f"word {index}" for index in range(12)]


@given(st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6), min_size=1, max_size=5), st.integers(1, 20))
def test_a_memory_changes_no_row_and_encodes_a_name_once_while_it_is_remembered(asked: list[list[str]], most: int):
    encoder, memory = HashedTextEncoder(), TextMemory(most)

    for names in asked:
        unknown = memory.unknown(encoder, names, TEMPLATES)
        encoder.prompts = []
        found = memory.embed(encoder, names, TEMPLATES)

        torch.testing.assert_close(found, embed_names(HashedTextEncoder(), names, TEMPLATES))
        assert encoder.prompts == [template.replace("{}", name) for template in TEMPLATES for name in unknown]
        assert len(memory.rows) <= most
        if len(set(names)) <= most:
            assert memory.unknown(encoder, names, TEMPLATES) == []


def test_what_was_embedded_otherwise_is_not_remembered():
    memory = TextMemory()
    memory.embed(HashedTextEncoder(), ["cat"], TEMPLATES)

    assert memory.unknown(HashedTextEncoder(), ["cat", "dog", "dog"], TEMPLATES) == ["dog"]
    assert memory.unknown(HashedTextEncoder(fingerprint="other weights"), ["cat"], TEMPLATES) == ["cat"]
    assert memory.unknown(HashedTextEncoder(), ["cat"], TEMPLATES[:1]) == ["cat"]


def test_a_row_holds_no_others():
    memory = TextMemory()
    memory.embed(HashedTextEncoder(), NAMES, TEMPLATES)

    row = memory.rows.get(("hashed", TEMPLATES, NAMES[3]))

    assert row is not None
    assert row.untyped_storage().nbytes() == row.nbytes
    assert memory.rows.bytes == len(NAMES) * row.nbytes


def test_a_file_teaches_the_memory_and_what_is_remembered_needs_none(tmp_path: Path):
    text_embed(HashedTextEncoder(), LONG, cache_dir=tmp_path)
    encoder, memory = HashedTextEncoder(), TextMemory()
    longer = Vocabulary.of([*LONG.names, "cat"], templates=TEMPLATES)

    first = text_embed(encoder, LONG, cache_dir=tmp_path, memory=memory)
    second = text_embed(encoder, longer, cache_dir=tmp_path, memory=memory)
    third = text_embed(encoder, LONG, cache_dir=tmp_path / "other", memory=memory)

    assert torch.equal(first, third)
    assert torch.equal(first, second[:-1])
    assert encoder.prompts == [template.replace("{}", "cat") for template in TEMPLATES]
    assert len(list(tmp_path.iterdir())) == 2
    assert torch.equal(text_embed(encoder, longer, cache_dir=tmp_path), second)


def test_the_least_recently_used_is_forgotten_by_number_and_by_size():
    few, small = Memory[str, int](most=2, most_bytes=100), Memory[str, int](most=9, most_bytes=100)
    for memory in (few, small):
        memory.put("a", 1, 40)
        memory.put("b", 2, 40)
        assert memory.get("a") == 1

    few.put("c", 3, 10)
    small.put("c", 3, 60)
    small.put("c", 4, 50)

    assert ([few.get(key) for key in "abc"], few.bytes) == ([1, None, 3], 50)
    assert ([small.get(key) for key in "abc"], small.bytes) == ([1, None, 4], 90)
    small.put("large", 5, 500)
    assert (len(small), small.get("large"), small.bytes) == (1, 5, 500)
