"""Files: one sentence for whatever is wrong, and written whole or not at all."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lexiseg.core.errors import FormatError, ModelError
from lexiseg.core.files import (
    STAGED,
    StagingFolder,
    lock,
    open_regular,
    read_json_object,
    read_lines,
    read_text,
    real,
    replacing,
    write_atomically,
    writing,
)


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


def content_of(folder: Path) -> dict[str, str | None]:
    """What a folder holds at any depth, hidden things as well: texts by path, None for a folder."""
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None for path in folder.rglob("*")}


def gather(staging: StagingFolder, text: str) -> None:
    (staging.path / "pictures").mkdir()
    (staging.path / "pictures" / f"{text}.png").write_text(text)
    (staging.path / "list.json").write_text(text)


def test_staged_files_and_folders_take_the_place_of_earlier_ones_together(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "set"

    for text in ("first", "second"):
        with StagingFolder(folder) as staging:
            gather(staging, text)
            (staging.path / "scratch").write_text("not published")
            assert staging.path.parent == folder
            assert staging.path.name.startswith(STAGED)
            staging.publish("pictures", "list.json")
        (folder / "notes.txt").write_text("mine")

    assert content_of(folder) == {
        "pictures": None,
        "pictures/second.png": "second",
        "list.json": "second",
        "notes.txt": "mine",
    }
    assert (folder / "pictures").stat().st_mode == (tmp_path / "new").stat().st_mode


@pytest.mark.parametrize("is_new", [True, False])
def test_what_was_not_published_leaves_nothing_behind(is_new: bool, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    if not is_new:
        folder.mkdir()

    def stop_halfway() -> None:
        with StagingFolder(folder) as staging:
            gather(staging, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()

    assert content_of(tmp_path) == ({} if is_new else {"set": None})


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_a_publication_that_fails_puts_everything_back(
    failing: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StagingFolder(tmp_path) as staging:
        gather(staging, "first")
        staging.publish("pictures", "list.json")
    before = content_of(tmp_path)
    rename, moved = Path.rename, []

    def one_fails(self: Path, target: Path) -> Path:
        moved.append(self.name)
        if len(moved) == failing:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", one_fails)

    def publish() -> None:
        with StagingFolder(tmp_path) as staging:
            gather(staging, "second")
            staging.publish("pictures", "list.json")

    with pytest.raises(type(error)):
        publish()

    assert content_of(tmp_path) == before
    # where the list stands, its pictures stand
    assert moved[:failing] == ["list.json", "pictures", "pictures", "list.json"][:failing]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "list.json").mkdir()
    (tmp_path / "list.json" / "notes.txt").write_text("mine")
    before = content_of(tmp_path)

    def publish() -> None:
        with StagingFolder(tmp_path) as staging:
            gather(staging, "first")
            staging.publish("pictures", "list.json")

    with pytest.raises(IsADirectoryError, match=r"a folder is called list\.json"):
        publish()

    assert content_of(tmp_path) == before


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "null byte"])
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    if kind == "pipe":
        os.mkfifo(path)  # whoever opens it waits for ever
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    path = {"device": Path("/dev/zero"), "null byte": tmp_path / "a\0b"}.get(kind, path)

    for read in (read_text, read_json_object, read_lines):
        with pytest.raises(FormatError, match=r"cannot be read \(.+\)\.$"):
            read(path)
    with pytest.raises(OSError, match=r".+"):
        open_regular(path)


def test_the_real_place_of_a_path_in_a_circle_of_links_is_the_path(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    assert real(tmp_path / "a" / "x").name == "x"
    assert real(tmp_path / "c" / "..") == real(tmp_path)


HOLDER = """
import sys, time
from pathlib import Path
from lexiseg.core.files import StagingFolder, lock
staging = StagingFolder(Path(sys.argv[1]))
(staging.path / "half").write_text("half")
held = lock(Path(sys.argv[1]) / "file")
print(held is not None, flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that gathers files in a folder, and holds a lock there."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.communicate()


def test_what_a_killed_run_left_goes_with_the_next_and_what_a_live_one_gathers_stays(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    with StagingFolder(tmp_path):
        assert lock(tmp_path / "file") is None
    (theirs,) = tmp_path.glob(f"{STAGED}*")
    assert (theirs / "half").read_text() == "half"

    holder.kill()
    holder.wait()
    inherited: list[str] = []
    with StagingFolder(tmp_path, inherit=lambda left, own: inherited.append((left / "half").read_text())) as staging:
        assert list(tmp_path.glob(f"{STAGED}*")) == [staging.path]

    assert inherited == ["half"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    held = lock(tmp_path / "file")
    assert held is not None
    os.close(held)


def test_a_full_disk_is_told_in_the_words_of_the_system(tmp_path: Path) -> None:
    def write() -> None:
        with writing(tmp_path / "x.pt", ModelError, RuntimeError):
            try:
                raise OSError(28, "No space left on device")
            except OSError:
                raise RuntimeError("[enforce fail] unexpected pos 832 vs 726")  # noqa: B904 - as torch does

    with pytest.raises(ModelError, match=r"x\.pt' can't be written \(No space left on device\)"):
        write()


def test_files_in_folders_arrive_before_the_last_names_and_others_only_leave(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old/1", "old/2", "list"):
        (tmp_path / name).write_text("first")
    with StagingFolder(tmp_path) as staging:
        (staging.path / "new").mkdir()
        for name in ("new/1", "new/2", "list"):
            (staging.path / name).write_text("second")

        staging.publish("list", before=lambda: iter(["new/1", "new/2"]), without=lambda: iter(["old/1", "old/2"]))

    found = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*")}
    assert found.keys() == {"new", "new/1", "new/2", "list"}
    assert found["list"].read_text() == "second"


def test_of_what_can_not_be_moved_whole_nothing_is_moved(tmp_path: Path) -> None:
    for name in ("old", "list"):
        (tmp_path / name).write_text("first")
    with StagingFolder(tmp_path) as staging:
        (staging.path / "new").mkdir()
        for name in ("new/1", "list"):
            (staging.path / name).write_text("second")

        with pytest.raises(FileNotFoundError):
            staging.publish("list", before=lambda: iter(["new/1", "missing"]), without=lambda: iter(["old"]))
        assert (staging.path / "new/1").read_text() == (staging.path / "list").read_text() == "second"

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old": "first", "list": "first"}
