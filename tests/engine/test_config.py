"""The user's own settings: read strictly, told with their source, written without touching anything else."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vflow.engine import config
from vflow.engine.amounts import parse_duration, parse_size
from vflow.engine.cli import main
from vflow.engine.problems import GraphError
from vflow.engine.store import default_folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("VFLOW_HOME", raising=False)
    return tmp_path / "vflow"


@pytest.fixture
def write(folder):
    def call(text):
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(text, encoding="utf-8")

    return call


@pytest.fixture
def text(folder):
    return lambda: (folder / "config.yaml").read_text(encoding="utf-8")


@pytest.fixture
def vflow(capsys):
    def call(*words):
        code = main(["config", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


WRITTEN = """\
# my settings: größer ist besser
cache: /data/vflow    # the big disk
max_size: 200GB

send:
  # where I have accounts
  - hub
  - wandb
  # no more
keep_runs: 3 # three
"""


def test_without_a_file_the_defaults_count(folder):
    found = config.load()
    assert (found.cache, found.max_size, found.auto_collect, found.keep_runs, found.remote) == (
        None,
        None,
        False,
        0,
        None,
    )
    assert not folder.exists()


def test_a_file_is_read(write):
    write(WRITTEN)
    found = config.load()
    assert (found.cache, found.max_size, found.send, found.keep_runs) == (
        "/data/vflow",
        200 * 10**9,
        ("hub", "wandb"),
        3,
    )
    write("# nothing yet\n")
    assert config.load() == config.Config()
    write("cache:\n")
    assert config.load().cache is None


def test_every_mistake_is_told_at_once_with_its_line_and_what_to_write(write):
    write("max_sise: 3\nauto_collect: yes\nkeep_runs: -1\nmax_size: much\nsend: hub\n")
    with pytest.raises(GraphError) as told:
        config.load()
    lines = {problem.line: str(problem) for problem in told.value.problems}
    assert sorted(lines) == [1, 2, 3, 4, 5]
    assert "did you mean 'max_size'?" in lines[1]
    assert "as in 200GB" in lines[4]
    for broken in (
        "- a\n- b\n",
        "cache: [\n",
        "cache: a\ncache: b\n",
        "max_size: .inf\n",
        "max_size: -4\n",
        "cache: ''\n",
    ):
        write(broken)
        with pytest.raises(GraphError):
            config.load()


def test_setting_changes_one_value_and_nothing_else(write, text, vflow):
    write(WRITTEN)
    assert vflow("set", "max_size", "1.5 TB")[0] == 0
    assert text() == WRITTEN.replace("200GB", '"1.5 TB"')
    assert config.load().max_size == 1_500_000_000_000
    vflow("set", "max_size", "200GB")
    assert text() == WRITTEN
    vflow("set", "keep_runs", "5")
    assert text() == WRITTEN.replace("keep_runs: 3 #", "keep_runs: 5 #")
    vflow("set", "keep_runs", "3")
    vflow("set", "send", "hub", "webhook:example.org")
    assert config.load().send == ("hub", "webhook:example.org")
    assert "# no more\nkeep_runs: 3 # three\n" in text()
    vflow("set", "auto_collect", "true")
    assert text().endswith("keep_runs: 3 # three\nauto_collect: true\n")


def test_unsetting_takes_out_its_lines_and_nothing_else(write, text, vflow):
    write(WRITTEN)
    vflow("unset", "send")
    assert text() == WRITTEN.replace("send:\n  # where I have accounts\n  - hub\n  - wandb\n", "")
    vflow("unset", "cache")
    assert text().startswith("# my settings: größer ist besser\nmax_size")
    code, _, err = vflow("unset", "cache")
    assert (code, "is not set" in err) == (0, True)
    for name in ("max_size", "keep_runs"):
        vflow("unset", name)
    assert config.load() == config.Config()


def test_a_first_setting_makes_the_file(vflow, text):
    assert vflow("set", "remote", "s3://bucket/a folder: b")[0] == 0
    assert text() == 'remote: "s3://bucket/a folder: b"\n'
    assert config.load().remote == "s3://bucket/a folder: b"
    assert vflow("get", "remote")[1] == "s3://bucket/a folder: b\n"


def test_what_does_not_fit_is_refused_and_the_file_stays(write, text, vflow):
    write(WRITTEN)
    for words, told in (
        (("keep_rnus", "3"), "did you mean 'keep_runs'?"),
        (("keep_runs", "three"), "keep_runs"),
        (("keep_runs", "1.5"), "keep_runs"),
        (("max_size", "12 potatoes"), "as in 200GB"),
        (("auto_collect", "on"), "auto_collect"),
        (("cache",), "one value"),
        (("cache", "a", "b"), "one value"),
        (("remote", ""), "unset"),
    ):
        code, _, err = vflow("set", *words)
        assert (code, told in err) == (2, True), err
    assert vflow("get", "nothing")[0] == vflow("unset", "nothing")[0] == 2
    assert text() == WRITTEN


def test_a_file_written_otherwise_is_refused_nicely_or_changed_rightly(write, text, vflow):
    write("{cache: /a, keep_runs: 2}\n")
    code, _, err = vflow("set", "remote", "file:///b")
    assert (code, "change it by hand" in err) == (2, True)
    assert vflow("unset", "cache")[0] == 2
    assert text() == "{cache: /a, keep_runs: 2}\n"
    assert vflow("set", "keep_runs", "4")[0] == 0
    assert text() == "{cache: /a, keep_runs: 4}\n"
    write("broken: [\n")
    assert vflow("set", "keep_runs", "4")[0] == 2
    assert text() == "broken: [\n"


def test_every_setting_is_listed_with_its_value_its_source_and_what_it_is_for(write, vflow, monkeypatch, folder):
    write(WRITTEN)
    code, out, _ = vflow()
    assert code == 0
    assert f"cache: /data/vflow  ({folder / 'config.yaml'}:2)" in out
    assert "send: hub, wandb" in out
    assert "auto_collect: false  (default)" in out
    assert all(name in out and (field.description or "") in out for name, field in config.Config.model_fields.items())
    assert all(field.description for field in config.Config.model_fields.values())
    monkeypatch.setenv("VFLOW_HOME", "/elsewhere")
    assert "cache: /elsewhere  ($VFLOW_HOME)" in vflow("list")[1]


def test_the_store_lies_where_flag_environment_or_settings_say_in_this_order(write, monkeypatch):
    assert default_folder() == Path("~/.cache/vflow").expanduser()
    write("cache: ~/big\n")
    assert default_folder() == Path("~/big").expanduser()
    monkeypatch.setenv("VFLOW_HOME", "/elsewhere")
    assert default_folder() == Path("/elsewhere")


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    assert config.config_file() == tmp_path / "vflow/config.yaml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert config.user_folder() == Path("~/.config/vflow").expanduser()
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert config.user_folder() == Path("~/.config/vflow").expanduser()


def test_a_linked_file_stays_a_link_and_keeps_its_rights(folder, tmp_path, vflow):
    real = tmp_path / "dotfiles.yaml"
    real.write_text("keep_runs: 1\n")
    real.chmod(0o600)
    folder.mkdir()
    (folder / "config.yaml").symlink_to(real)
    vflow("set", "keep_runs", "2")
    assert (folder / "config.yaml").is_symlink()
    assert real.read_text() == "keep_runs: 2\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["dotfiles.yaml", "vflow"]


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.tuples(st.just("remote"), st.lists(words, min_size=1, max_size=1)),
                          st.tuples(st.just("cache"), st.lists(words, min_size=1, max_size=1)),
                          st.tuples(st.just("send"), st.lists(words, max_size=3)),
                          st.tuples(st.just("keep_runs"), st.integers(0, 99).map(lambda n: [str(n)])),
                          st.tuples(st.just("send"), st.none())), max_size=6))  # fmt: skip
def test_whatever_is_set_is_read_back(write, text, changes):
    write(WRITTEN)
    expected = config.load().model_dump()
    for name, value in changes:
        if value is None:
            config.unset(name)
            expected[name] = ()
            continue
        try:
            config.assign(name, value)
        except GraphError:
            continue
        expected[name] = tuple(value) if name == "send" else int(value[0]) if name == "keep_runs" else value[0]
    assert config.load().model_dump() == expected
    assert text().startswith("# my settings: größer ist besser\n")
    assert "max_size: 200GB\n" in text()


def test_sizes_and_times_are_read_as_people_write_them():
    assert [parse_size(t) for t in ("0", "12", "1kB", "1.5 GB", "2TiB", "3mb")] == [
        0, 12, 1000, 1_500_000_000, 2 * 2**40, 3_000_000,
    ]  # fmt: skip
    assert [parse_duration(t) for t in ("0", "90s", "45min", "2m", "1.5h", "30d", "2w")] == [
        0, 90, 2700, 120, 5400, 30 * 86400, 14 * 86400,
    ]  # fmt: skip
    for wrong in ("", "GB", "1 2", "-1GB", "1PB?", "1e9", "nan"):
        with pytest.raises(ValueError, match="as in 200GB"):
            parse_size(wrong)
    for wrong in ("", "d", "7", "1 month", "-1d"):
        with pytest.raises(ValueError, match="as in 30d"):
            parse_duration(wrong)


def test_keys_of_the_ui_are_a_mapping_that_is_set_shown_and_unset(write, text, vflow):
    write("# mine\nkeys:\n  # my fingers\n  graph.next: n\nkeep_runs: 3\n")
    assert config.load().keys == {"graph.next": "n"}
    assert vflow("set", "keys", "graph.add=a:b", "edit.undo=u,ctrl+z")[0] == 0
    assert config.load().keys == {"graph.add": "a:b", "edit.undo": "u,ctrl+z"}
    assert text().startswith("# mine\nkeys:\n  # my fingers\n")
    assert "graph.add=a:b, edit.undo=u,ctrl+z" in vflow("get", "keys")[1]
    assert vflow("unset", "keys")[0] == 0
    assert config.load().keys == {}
    assert vflow("set", "keys", "graph.add")[0] == 2


def test_a_key_that_is_no_text_is_told_with_its_line(write):
    write("keys:\n  graph.add: a\n  graph.run: 5\n")
    with pytest.raises(GraphError, match=r":3:3: keys.graph.run: should be a valid string; not 5"):
        config.load()
    write("keys: [a]\n")
    with pytest.raises(GraphError, match="ACTION: KEY"):
        config.load()
