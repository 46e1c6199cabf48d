"""Files: one sentence for whatever is wrong, and written whole or not at all."""

from pathlib import Path

import pytest

from lexiseg.core.errors import FormatError, ModelError
from lexiseg.core.files import read_json_object, replacing, write_atomically


def test_a_written_file_replaces_the_earlier_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.json"

    write_atomically(target, "Ä")
    write_atomically(target, b"second")

    assert target.read_bytes() == b"second"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("is_durable", [False, True])
def test_a_block_that_fails_keeps_the_earlier_file(is_durable: bool, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("first")

    def stop_halfway() -> None:
        with replacing(target, is_durable=is_durable) as hidden:
            hidden.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()

    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_what_cannot_be_written_is_one_sentence_of_the_chosen_kind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ModelError, match=r"^'.*file/x' can't be written \(.+\); choose a folder that can\.$"):
        write_atomically(tmp_path / "file" / "x", "text", ModelError)


@pytest.mark.parametrize(("text", "told"), [("{", "no JSON"), ("[1]", "must hold an object, got a list")])
def test_what_is_no_json_object_is_one_sentence_of_the_chosen_kind(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)

    for error in (FormatError, ModelError):
        with pytest.raises(error, match=told):
            read_json_object(tmp_path / "a.json", error)
    with pytest.raises(FormatError, match="cannot be read"):
        read_json_object(tmp_path / "none.json")
