"""What there is of a run to look at, what is chosen of it, its time and its frames: all without a screen."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tui import clips as drawn
from vflow.tui.pixels import Unreadable
from vflow.tui.run import film as films
from vflow.tui.run.choosing import Choice
from vflow.tui.run.clock import Clock, drawn_rate
from vflow.tui.run.film import Films, decode, still
from vflow.tui.run.samples import Gallery, Sample, Stage, gather

RED, BLUE, GREEN = drawn.ROWS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return drawn.write_run(tmp_path_factory.mktemp("runs") / "run-1", frames=6)


@dataclass
class Said:
    path: str


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


# what there is


def test_samples_are_found_by_prompt_and_by_step(run):
    gallery = gather(run)
    assert gallery.prompts == (RED, BLUE, "strip")
    assert [stage.label for stage in gallery.stages(RED)] == ["step 100", "step 200", "step 300", "videos"]
    assert [stage.label for stage in gallery.stages("strip")] == ["strip"]
    assert gallery.at(BLUE, Stage("samples", 200)).path == run / f"samples/step-000200/{BLUE}.mp4"
    assert gallery.samples["strip", Stage("strip")].kind == "image"


def test_prompts_are_said_in_full(run):
    gallery = gather(run)
    assert gallery.said(BLUE) == "a blue ball rolls to the right, slowly"
    assert Gallery().said("07-a-dog-runs") == "a dog runs"


def test_prompts_that_begin_alike_are_told_apart_by_their_number(tmp_path):
    begin = "a woman walks through a field of tall grass"
    (tmp_path / "graph.yaml").write_text(f'nodes: {{p: {{prompts: ["{begin} at noon", "{begin} at night"]}}}}\n')
    touch(tmp_path / "samples/step-000001/02-a-woman-walks-through-a-field-of-tall.mp4")
    gallery = gather(tmp_path)
    assert gallery.said(gallery.prompts[0]) == f"{begin} at night"


def test_checkpoints_of_an_output_are_steps_of_it(tmp_path):
    for name in ("videos/step-000100/a.mp4", "videos/step-000200/a.mp4", "images/cat/image.png"):
        touch(tmp_path / "outputs" / name)
    gallery = gather(tmp_path)
    assert [stage.label for stage in gallery.stages("a")] == ["videos 100", "videos 200"]
    assert [stage.label for stage in gallery.stages("cat")] == ["images"]


def test_what_a_run_said_it_wrote_is_there_though_it_is_gone(tmp_path):
    gallery = gather(tmp_path, [Said("samples/step-000100/a.mp4"), Said("checkpoints/step-000100/x.safetensors")])
    assert list(gallery.samples) == [("a", Stage("samples", 100))]


def test_what_is_no_sample_is_left_out(tmp_path):
    for name in ("outputs/v/.a.mp4.12.part", "outputs/v/.a.mp4", "outputs/lora/README.md", "logs/a.mp4", "a.mp4"):
        touch(tmp_path / name)
    assert gather(tmp_path, [Said("../../etc/a.mp4"), Said("/a/b.mp4")]).samples == {}


def test_a_folder_that_is_gone_has_nothing(tmp_path):
    assert gather(tmp_path / "gone").prompts == ()


# what is chosen


def gallery_of(name, steps, prompts=("a", "b")):
    stages = [Stage("samples", step) for step in steps]
    samples = {(p, s): Sample(Path(name, f"{s.step}/{p}.mp4"), p, s, "clip") for p in prompts for s in stages}
    return Gallery(name, samples)


def chosen(choice):
    return [sample and (sample.prompt, sample.stage.step) for sample in map(choice.sample, range(choice.sides))]


def test_the_newest_stays_the_newest_and_an_older_one_stays_too():
    choice = Choice()
    choice.show(gallery_of("run", [1, 2]))
    choice.show(gallery_of("run", [1, 2, 3]))
    assert chosen(choice) == [("a", 3)]
    choice.move_stage(-1)
    choice.show(gallery_of("run", [1, 2, 3, 4]))
    assert chosen(choice) == [("a", 2)]
    choice.show(gallery_of("run", [3, 4]))
    assert chosen(choice) == [("a", 4)]


def test_steps_end_and_prompts_go_round():
    choice = Choice()
    choice.show(gallery_of("run", [1, 2]))
    choice.move_stage(1)
    assert chosen(choice) == [("a", 2)]
    choice.move_stage(-5)
    assert chosen(choice) == [("a", 1)]
    choice.move_prompt(-1)
    assert chosen(choice) == [("b", 1)]
    choice.move_prompt(1)
    assert chosen(choice) == [("a", 1)]


def test_two_steps_side_by_side_move_one_at_a_time():
    choice = Choice()
    choice.show(gallery_of("run", [1, 2, 3]))
    assert choice.beside()
    assert chosen(choice) == [("a", 1), ("a", 3)]
    choice.move_stage(-1)
    assert chosen(choice) == [("a", 1), ("a", 2)]
    assert choice.swap()
    choice.move_stage(1)
    assert chosen(choice) == [("a", 2), ("a", 2)]
    choice.move_prompt(1)
    assert chosen(choice) == [("b", 2), ("b", 2)]
    assert choice.beside()
    assert chosen(choice) == [("b", 2)]


def test_one_step_has_nothing_beside_it():
    choice = Choice()
    choice.show(gallery_of("run", [1]))
    assert not choice.beside()
    assert not choice.swap()


def test_of_two_runs_each_shows_the_newest_up_to_the_step():
    choice = Choice()
    choice.show(gallery_of("one", [100, 200]), gallery_of("other", [150, 300], prompts=("a", "c")))
    assert chosen(choice) == [("a", 200), ("a", 300)]
    choice.move_stage(-2)
    assert chosen(choice) == [("a", 100), ("a", 150)]
    choice.move_stage(-1)
    assert chosen(choice) == [("a", 100), ("a", 150)]  # there is none before
    choice.move_prompt(-1)
    assert chosen(choice) == [None, ("c", 300)]


def test_nothing_to_choose_from_is_no_mistake():
    choice = Choice()
    for act in (choice.beside, choice.swap, lambda: choice.move_stage(1), lambda: choice.move_prompt(1)):
        act()
    assert choice.sample(0) is None
    choice.show(Gallery())
    assert choice.words == ""


# time


def test_time_passes_while_it_plays_and_begins_again():
    clock = Clock()
    clock.start(10.0)
    clock.tick(10.4, 1.0, whole=True)
    assert clock.at == pytest.approx(0.4)
    clock.tick(11.2, 1.0, whole=True)
    assert clock.at == pytest.approx(0.2)


def test_time_waits_where_frames_are_still_to_come():
    clock = Clock()
    clock.start(0.0)
    clock.tick(0.4, 0.5, whole=False)
    clock.tick(0.8, 0.5, whole=False)
    assert clock.at == pytest.approx(0.4)


def test_frames_are_stepped_from_the_first_to_the_last():
    clock = Clock()
    clock.start(0.0)
    for frames, place in ((1, 1), (1, 2), (-1, 1), (-9, 0), (99, 11)):
        clock.step(frames, 8.0, 12 / 8)
        assert round(clock.at * 8) == place
    assert not clock.playing


@pytest.mark.parametrize(
    ("fps", "cost", "drawn"), [(8, 100, 8), (24, 100, 12), (24, 5000, 5), (24, 10**6, 1), (0, 0, 12)]
)
def test_at_most_twelve_frames_a_second_are_drawn_and_fewer_costly_ones(fps, cost, drawn):
    assert drawn_rate(fps, cost) == drawn


# frames


def frames_of(path, room=(80, 40), stopped=lambda: False):
    return decode(path, room, lambda film: None, stopped)


def test_a_clip_is_decoded_at_the_size_that_is_shown(run):
    film = frames_of(run / f"samples/step-000100/{RED}.mp4")
    assert (film.size, film.fps, len(film.frames), film.whole, film.note) == ((96, 64), 8.0, 6, True, "")
    assert {(frame.width, frame.height, len(frame.rgb)) for frame in film.frames} == {(60, 40, 7200)}
    assert film.seconds == pytest.approx(0.75)


def test_frames_come_in_order_with_their_colours(run):
    film = frames_of(run / f"outputs/videos/{RED}.mp4", (96, 64))

    def reddest(frame):
        columns = [frame.rgb[3 * column] for column in range(38 * 96, 39 * 96)]
        return columns.index(max(columns))

    places = [reddest(frame) for frame in film.frames]
    assert places == sorted(places)
    assert places[0] < 20 < 60 < places[-1]


def test_a_picture_is_a_film_of_one_frame(run):
    film = frames_of(run / "outputs/strip/picture.png")
    assert (len(film.frames), film.fps, film.seconds, film.whole) == (1, 0.0, 0.0, True)


def test_the_first_frame_is_told_before_the_others(run):
    seen = []
    decode(run / f"outputs/videos/{RED}.mp4", (80, 40), lambda film: seen.append(len(film.frames)), lambda: False)
    assert seen == [1, 6]


def test_decoding_stops_when_nobody_wants_it(run):
    film = frames_of(run / f"outputs/videos/{RED}.mp4", stopped=lambda: True)
    assert film.frames == []
    assert not film.whole


def test_frames_of_a_long_clip_take_no_more_than_they_may(run, monkeypatch):
    path = run / f"outputs/videos/{RED}.mp4"
    monkeypatch.setattr(films, "MOST_BYTES", 30_000)
    film = frames_of(path)
    assert len(film.frames) == 6
    assert film.bytes <= 30_000
    monkeypatch.setattr(films, "MOST_BYTES", 4_000)
    film = frames_of(path)
    assert film.note == f"only its first {len(film.frames)} frames are shown"
    assert film.bytes <= 4_000


def test_films_are_kept_until_they_take_too_much_or_change(run, tmp_path):
    path = drawn.write_clip(tmp_path / "a.mp4", frames=2)
    other = run / f"outputs/videos/{RED}.mp4"
    film, more = frames_of(path), frames_of(other)
    kept = Films(most=film.bytes + more.bytes - 1)
    kept.keep(film, (80, 40))
    assert kept.get(path, (80, 40)) is film
    assert kept.get(path, (40, 40)) is None
    kept.keep(more, (80, 40))
    assert kept.get(path, (80, 40)) is None
    assert kept.get(other, (80, 40)) is more
    kept.keep(film, (80, 40))
    drawn.write_clip(path, frames=3)
    assert kept.get(path, (80, 40)) is None


def test_one_frame_can_be_had_as_the_file_has_it(run):
    path = run / f"outputs/videos/{RED}.mp4"
    assert still(path, 3, 1000).size == (96, 64)
    assert still(path, 3, 48).size == (48, 32)
    with pytest.raises(Unreadable, match="has no frame 99"):
        still(path, 98, 48)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is gone"),
        (b"", "is no clip, or is damaged or not whole yet"),
        (b"no clip at all", "is no clip, or is damaged or not whole yet"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is no clip, or is damaged or not whole yet"),
    ],
)
def test_what_is_wrong_with_a_clip_is_said(tmp_path, content, words):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=words):
        frames_of(path)


def test_half_a_clip_is_said_to_be_one(run, tmp_path):
    whole = (run / f"outputs/videos/{RED}.mp4").read_bytes()
    path = tmp_path / "a.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unreadable, match="not whole yet"):
        frames_of(path)


def test_of_a_damaged_clip_what_is_whole_is_shown(tmp_path):
    path = drawn.write_clip(tmp_path / "a.mkv", frames=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    film = frames_of(path)
    assert 0 < len(film.frames) < 40
