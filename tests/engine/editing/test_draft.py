"""A file that is being edited: steps back and forth, saving, what others do to the file, and crashes."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vflow.engine.editing import ChangedOnDisk, Draft, EditError, edits
from vflow.engine.problems import Failure, GraphError

TEXT = "vflow: 1\nparams: {rank: 16}  # of it\n"


@pytest.fixture(autouse=True)
def a_users_place(tmp_path, monkeypatch):
    monkeypatch.setenv("VFLOW_HOME", str(tmp_path / "home"))


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "g.yaml"
    found.write_bytes(TEXT.encode())
    return found


def rank(value):
    return lambda text: edits.set_param(text, "rank", value)


def drafts(tmp_path):
    folder = tmp_path / "home" / "drafts"
    return sorted(folder.iterdir()) if folder.exists() else []


# --- the text --------------------------------------------------------------------------------------------------------


def test_edits_are_taken_back_and_done_again_by_their_labels(path):
    draft = Draft.open(path)
    assert (draft.text, draft.saved_text, draft.dirty, draft.history, draft.can_undo) == (TEXT, TEXT, False, [], False)
    draft.apply("rank = 8", rank(8))
    draft.replace("another text", "vflow: 1\n")
    assert (draft.dirty, draft.history, draft.can_redo) == (True, ["rank = 8", "another text"], False)
    assert draft.undo() == "another text"
    assert draft.text == TEXT.replace("16", "8")
    assert draft.undo() == "rank = 8"
    assert (draft.text, draft.dirty, draft.undo(), draft.can_redo) == (TEXT, False, None, True)
    assert [draft.redo(), draft.redo(), draft.redo()] == ["rank = 8", "another text", None]
    assert draft.text == "vflow: 1\n"
    draft.undo()
    draft.apply("rank = 4", rank(4))
    assert (draft.can_redo, draft.history) == (False, ["rank = 8", "rank = 4"])


def test_an_edit_that_fails_or_changes_nothing_is_none(path):
    draft = Draft.open(path)
    with pytest.raises(EditError):
        draft.apply("wrong", lambda text: edits.rename_param(text, "gone", "x"))
    draft.apply("the same", rank(16))
    assert (draft.text, draft.history, draft.dirty) == (TEXT, [], False)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab\n", max_size=12), max_size=12), st.data())
def test_any_texts_are_come_back_to(texts, data):
    with tempfile.TemporaryDirectory() as folder:
        draft = Draft.open(Path(folder, "g.yaml"), Path(folder, "drafts"))
        states, at = [""], 0
        for number, text in enumerate(texts):
            if data.draw(st.booleans()):
                if text != states[at]:
                    del states[at + 1 :]
                    states.append(text)
                    at += 1
                draft.replace(str(number), text)
            elif data.draw(st.booleans()):
                assert (draft.undo() is None) == (at == 0)
                at = max(0, at - 1)
            else:
                assert (draft.redo() is None) == (at == len(states) - 1)
                at = min(len(states) - 1, at + 1)
            assert draft.text == states[at]
            assert len(draft.history) == at


def test_a_text_that_replaces_another_gets_the_lines_ends_of_the_file(path):
    path.write_bytes(b"a: 1\r\nb: 2\r\n")
    draft = Draft.open(path)
    draft.replace("typed", "a: 3\nb: 2\n")
    draft.save()
    assert path.read_bytes() == b"a: 3\r\nb: 2\r\n"


# --- opening ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_yet_begins_empty_and_is_made_by_saving(tmp_path):
    draft = Draft.open(tmp_path / "new.yaml")
    assert (draft.text, draft.dirty, draft.disk()) == ("", False, "same")
    draft.apply("add a", lambda text: edits.add_node(text, "a", "X"))
    draft.save()
    assert (tmp_path / "new.yaml").read_text() == "vflow: 1\n\nnodes:\n  a:\n    type: X\n"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new.yaml").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.mkdir(), "this is a folder"),
        (lambda path: path.write_bytes(b"a: \xff"), "the byte 0xff is not UTF-8"),
        (lambda path: path.write_bytes(b"#" * (5 << 20)), "larger than 4 MiB"),
        (lambda path: path.symlink_to(path), "cannot be read"),
        (os.mkfifo, "this is no file"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(tmp_path, make, words):
    make(tmp_path / "x.yaml")
    with pytest.raises(GraphError, match=words) as caught:
        Draft.open(tmp_path / "x.yaml")
    assert str(tmp_path / "x.yaml") in str(caught.value)


def test_a_file_in_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(GraphError, match="there is no folder"):
        Draft.open(tmp_path / "no" / "g.yaml")
    with pytest.raises(GraphError):
        Draft.open(tmp_path / ("x" * 300))


# --- saving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"a: 1\r\nb: 2\r\n", b"\xef\xbb\xbfa: 1\nb: 2\n", b"a: 1\nb: 2", b"a: 1\rb: 2\r"])
def test_line_ends_byte_order_mark_and_a_missing_last_break_are_kept(path, raw):
    path.write_bytes(raw)
    draft = Draft.open(path)
    draft.apply("b = 3", lambda text: text.replace("2", "3"))
    draft.save()
    assert path.read_bytes() == raw.replace(b"2", b"3")
    draft.undo()
    assert draft.dirty
    draft.save()
    assert path.read_bytes() == raw


def test_rights_are_kept_and_no_other_file_is_left(path):
    path.chmod(0o640)
    draft = Draft.open(path)
    draft.apply("rank = 8", rank(8))
    draft.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in path.parent.iterdir() if one.name != "home"] == ["g.yaml"]


def test_a_link_is_followed(path, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link.yaml").symlink_to("../second.yaml")
    (tmp_path / "second.yaml").symlink_to("g.yaml")
    draft = Draft.open(tmp_path / "sub" / "link.yaml")
    draft.apply("rank = 8", rank(8))
    draft.save()
    assert (tmp_path / "sub" / "link.yaml").is_symlink()
    assert (tmp_path / "second.yaml").is_symlink()
    assert path.read_text() == TEXT.replace("16", "8")


def test_what_others_wrote_is_not_written_over_unless_asked_for(path):
    draft = Draft.open(path)
    draft.apply("rank = 8", rank(8))
    then = path.stat()
    path.write_text(TEXT.replace("16", "99"))
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert path.stat().st_size == then.st_size
    assert draft.disk() == "changed"
    with pytest.raises(ChangedOnDisk, match="was changed since it was read"):
        draft.save()
    assert path.read_text() == TEXT.replace("16", "99")
    draft.save(overwrite=True)
    assert path.read_text() == TEXT.replace("16", "8")
    assert draft.disk() == "same"


def test_what_others_write_in_the_last_moment_is_not_written_over_either(path, monkeypatch):
    draft = Draft.open(path)
    draft.apply("rank = 8", rank(8))
    made = os.fsync

    def slow_disk(file):
        made(file)
        path.write_text("theirs")

    monkeypatch.setattr(os, "fsync", slow_disk)
    with pytest.raises(ChangedOnDisk):
        draft.save()
    assert path.read_text() == "theirs"
    assert [one.name for one in path.parent.iterdir() if one.name != "home"] == ["g.yaml"]


def test_a_file_that_is_touched_but_the_same_has_not_changed(path):
    draft = Draft.open(path)
    path.write_text(TEXT)
    os.utime(path, ns=(1, 1))
    assert draft.disk() == "same"


def test_a_file_that_vanished_is_noticed_and_made_again_when_asked_for(path):
    draft = Draft.open(path)
    path.unlink()
    assert draft.disk() == "gone"
    with pytest.raises(ChangedOnDisk, match="was removed") as caught:
        draft.save()
    assert caught.value.state == "gone"
    with pytest.raises(GraphError, match="the file is gone"):
        draft.reload()
    draft.save(overwrite=True)
    assert path.read_text() == TEXT


def test_a_file_that_appeared_where_there_was_none_is_not_written_over(tmp_path):
    draft = Draft.open(tmp_path / "new.yaml")
    draft.replace("typed", "vflow: 1\n")
    (tmp_path / "new.yaml").write_text("theirs")
    with pytest.raises(ChangedOnDisk):
        draft.save()
    assert (tmp_path / "new.yaml").read_text() == "theirs"


def test_reading_again_is_an_edit_that_can_be_taken_back(path):
    draft = Draft.open(path)
    draft.apply("rank = 8", rank(8))
    path.write_text("vflow: 1\n")
    draft.reload()
    assert (draft.text, draft.dirty, draft.disk()) == ("vflow: 1\n", False, "same")
    draft.undo()
    assert (draft.text, draft.dirty) == (TEXT.replace("16", "8"), True)
    draft.save()
    assert path.read_text() == TEXT.replace("16", "8")


def test_a_draft_goes_on_with_the_file_that_it_was_saved_as(path, tmp_path):
    draft = Draft.open(path)
    draft.apply("rank = 8", rank(8))
    (tmp_path / "other.yaml").write_text("something")
    draft.save_as(tmp_path / "other.yaml")
    assert (draft.path, draft.dirty, draft.disk()) == (tmp_path / "other.yaml", False, "same")
    assert path.read_text() == TEXT
    assert (tmp_path / "other.yaml").read_text() == TEXT.replace("16", "8")
    draft.undo()
    draft.save()
    assert (tmp_path / "other.yaml").read_text() == TEXT
    path.write_text("theirs")
    again = Draft.open(tmp_path / "other.yaml")
    (tmp_path / "other.yaml").write_text("theirs")
    with pytest.raises(ChangedOnDisk):
        again.save_as(tmp_path / "other.yaml")


def test_a_protected_file_is_left_alone_and_told_in_words(path):
    draft = Draft.open(path)
    draft.apply("rank = 8", rank(8))
    path.chmod(0o444)
    with pytest.raises(Failure, match=r"is write-protected; allow writing \(chmod u\+w .*g\.yaml\), or save it under"):
        draft.save()
    assert path.read_text() == TEXT
    assert draft.dirty


@pytest.fixture
def a_mere_user():
    """A folder that this process cannot write to, whoever runs the tests."""
    with tempfile.TemporaryDirectory() as found:
        folder = Path(found)
        (folder / "g.yaml").write_text(TEXT)
        (folder / "g.yaml").chmod(0o666)
        folder.chmod(0o555)
        as_root = os.geteuid() == 0
        if as_root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if as_root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_a_read_only_folder_is_told_in_words_and_the_work_is_kept(a_mere_user):
    draft = Draft.open(a_mere_user / "g.yaml", a_mere_user / "drafts")
    draft.apply("rank = 8", rank(8))
    assert "unsaved work is not kept for after a crash: " in draft.journal_problem
    with pytest.raises(Failure, match="its folder cannot be written to; save it under another name"):
        draft.save()
    assert (draft.text, draft.dirty) == (TEXT.replace("16", "8"), True)
    assert (a_mere_user / "g.yaml").read_text() == TEXT


def test_a_folder_that_vanished_is_told_in_words(tmp_path):
    (tmp_path / "sub").mkdir()
    draft = Draft.open(tmp_path / "sub" / "g.yaml")
    draft.replace("typed", "vflow: 1\n")
    (tmp_path / "sub").rmdir()
    with pytest.raises(Failure, match="its folder is gone"):
        draft.save()
    draft.save_as(tmp_path / "g.yaml")
    assert (tmp_path / "g.yaml").read_text() == "vflow: 1\n"


def test_a_full_disk_is_told_in_words_and_leaves_the_old_file(path, monkeypatch):
    draft = Draft.open(path)
    draft.apply("rank = 8", rank(8))

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match="the disk is full"):
        draft.save()
    assert path.read_text() == TEXT
    assert [one.name for one in path.parent.iterdir() if one.name != "home"] == ["g.yaml"]


def test_what_has_no_bytes_is_not_saved(path):
    draft = Draft.open(path)
    draft.replace("typed", "a: \ud800")
    with pytest.raises(Failure, match="the character"):
        draft.save()
    assert path.read_text() == TEXT


# --- crashes ---------------------------------------------------------------------------------------------------------


def crashed(path, texts, *more):
    """Let another process edit a file and die without a word."""
    code = (
        "import os, sys\nfrom vflow.engine.editing import Draft\ndraft = Draft.open(sys.argv[1])\n"
        "for text in sys.argv[2:]:\n    draft.replace('typed', text)\n" + "\n".join(more) + "\nos._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path), *texts], check=False).returncode == 9


def test_unsaved_work_is_offered_after_a_crash_and_can_be_taken_up(path, tmp_path):
    crashed(path, ["first", "second"])
    draft = Draft.open(path)
    assert (draft.text, draft.recovered, draft.dirty) == (TEXT, "second", False)
    draft.replace("take up unsaved work", draft.recovered)
    draft.recovered = None
    assert len(drafts(tmp_path)) == 1
    draft.save()
    assert path.read_text() == "second"
    assert drafts(tmp_path) == []
    assert Draft.open(path).recovered is None


def test_unsaved_work_is_offered_until_the_user_has_answered(path, tmp_path):
    crashed(path, ["first"])
    crashed(path, ["second"])
    Draft.open(path).close()
    draft = Draft.open(path)
    assert draft.recovered == "second"
    draft.recovered = None
    assert (Draft.open(path).recovered, drafts(tmp_path)) == (None, [])


def test_work_that_was_saved_undone_or_given_up_is_not_offered(path, tmp_path):
    crashed(path, ["first"], "draft.save()")
    crashed(path, ["second"], "draft.undo()")
    crashed(path, ["third"], "draft.close()")
    assert (Draft.open(path).recovered, Draft.open(path).text, drafts(tmp_path)) == (None, "first", [])


def test_work_that_is_in_the_file_by_now_is_not_offered(path, tmp_path):
    crashed(path, ["first"])
    path.write_text("first")
    assert (Draft.open(path).recovered, drafts(tmp_path)) == (None, [])


def test_work_of_another_file_or_of_a_process_that_lives_is_not_offered(path, tmp_path):
    (tmp_path / "other.yaml").write_text(TEXT)
    crashed(tmp_path / "other.yaml", ["other"])
    code = (
        "import sys\nfrom vflow.engine.editing import Draft\nDraft.open(sys.argv[1]).replace('typed', 'mine')\n"
        "print('ready', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as living:
        assert living.stdout.readline() == b"ready\n"
        draft = Draft.open(path)
        assert draft.recovered is None
        draft.apply("rank = 8", rank(8))
        draft.save()
        assert len(drafts(tmp_path)) == 2
        living.kill()
    assert Draft.open(path).recovered == "mine"


def test_a_journal_that_is_not_whole_is_passed_over(path, tmp_path):
    crashed(path, ["first"])
    (journal,) = drafts(tmp_path)
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    whole = journal.read_bytes()
    for broken in (b"", whole[:-10], b"[]", b"\xff", json.dumps({"text": 1, "time": 2}).encode()):
        journal.write_bytes(broken)
        assert Draft.open(path).recovered is None
    journal.write_bytes(whole)
    assert Draft.open(path).recovered == "first"


def test_what_a_killed_process_left_of_a_journal_is_removed_some_time_later(path, tmp_path):
    crashed(path, ["first"])
    (journal,) = drafts(tmp_path)
    parts = [journal.with_name(f".{journal.name}.{name}.part") for name in ("old", "new")]
    for part in parts:
        part.write_bytes(b"{")
    os.utime(parts[0], (1, 1))
    assert Draft.open(path).recovered == "first"
    assert sorted(drafts(tmp_path)) == sorted([journal, parts[1]])


def test_work_left_by_this_very_process_can_be_taken_up_too(path, tmp_path):
    Draft.open(path).replace("typed", "first")
    draft = Draft.open(path)
    draft.replace("take up unsaved work", draft.recovered)
    draft.recovered = None
    assert [json.loads(one.read_text())["text"] for one in drafts(tmp_path)] == ["first"]


def test_a_file_reached_by_a_link_has_the_same_journal(path, tmp_path):
    (tmp_path / "link.yaml").symlink_to("g.yaml")
    crashed(tmp_path / "link.yaml", ["first"])
    assert Draft.open(path).recovered == "first"


STATES = ["one", "two" * 5000, "three", TEXT]


def killed_before(point, path):
    """In a process of its own, edit and save, and be killed before its file operation number `point`.

    Returns False when it came to its end before.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    try:
        counted = 0

        def count(event, arguments):
            nonlocal counted
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.chown"):
                counted += 1
                if counted == point:
                    os._exit(9)

        draft = Draft.open(path)
        sys.addaudithook(count)
        for state in STATES[:2]:
            draft.replace("typed", state)
        draft.save()
        draft.replace("typed", STATES[2])
        draft.undo()
    finally:
        os._exit(0)


def test_killed_at_any_point_the_file_and_the_journal_are_the_old_ones_or_the_new_ones(tmp_path):
    from vflow.engine.store import owners

    owners.myself()  # what is looked up once is no file operation of the edits
    path, offered, saved = tmp_path / "g.yaml", set(), set()
    for point in range(1, 200):
        path.write_bytes(TEXT.encode())
        was_killed = killed_before(point, path)
        draft = Draft.open(path)
        assert draft.text in (TEXT, STATES[1])
        assert draft.recovered in (None, *STATES[:3])
        if draft.text == STATES[1]:
            assert draft.recovered in (None, STATES[2])
        offered.add(draft.recovered)
        saved.add(draft.text)
        draft.recovered = None
        if not was_killed:
            break
    assert not was_killed
    assert point > 10
    assert offered == {None, *STATES[:3]}
    assert saved == {TEXT, STATES[1]}


@pytest.mark.long
def test_killed_at_any_moment_no_journal_is_torn(path, tmp_path):
    code = (
        "import sys\nfrom vflow.engine.editing import Draft\ndraft = Draft.open(sys.argv[1])\nnumber = 0\n"
        "print('ready', flush=True)\n"
        "while True:\n    number += 1\n    draft.replace('typed', f'{number} ' * 20_000)\n"
    )
    for moment in range(40):
        with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as editing:
            editing.stdout.readline()
            time.sleep(0.02 + 0.003 * moment)  # any moment will do
            editing.send_signal(signal.SIGKILL)
        draft = Draft.open(path)
        words = (draft.recovered or "").split()
        assert len(words) in (0, 20_000)
        assert len(set(words)) <= 1
        draft.recovered = None
