"""A film: a frame for every step, of what each kind of scene shows at it; refused in words."""

import numpy as np
import pytest
from PIL import Image

from metarl_jax.report.video import Play, film_format, play_of, write_video
from metarl_jax.types import ConfigurationError
from support.invented_runs import (
    EPISODES,
    STEPS,
    body,
    choices,
    family,
    field,
    plane,
    recording,
    series,
)

SCENES = {"plane": plane, "field": field, "body": body, "choices": choices, "series": series}


def frames(path):
    with Image.open(path) as film:
        number = getattr(film, "n_frames", 1)
        found = []
        for i in range(number):
            film.seek(i)
            found.append(np.asarray(film.convert("RGB"), np.int16))
        return found, film.info["duration"]


@pytest.mark.parametrize("name", SCENES)
def test_a_film_shows_every_step_of_every_kind_of_scene(name, tmp_path):
    play = play_of(family(SCENES[name]), recording(), 4)
    path = tmp_path / "film.gif"
    write_video(path, [play], title="probe", fps=5)
    found, milliseconds = frames(path)
    assert milliseconds == 200
    # What rests at the end of an episode is one frame after another, which the file may join.
    assert len(found) + EPISODES * 2 >= EPISODES * (STEPS + 1)
    assert all(frame.shape == found[0].shape for frame in found)
    assert len({frame.tobytes() for frame in found}) > EPISODES * STEPS
    # The words above change in any case; below, the steps of the first episode leave their mark.
    start, end = (found[i][len(found[i]) // 3 :] for i in (0, STEPS))
    assert np.count_nonzero(np.abs(end - start).max(axis=-1) > 60) > 300


def test_several_tasks_stand_beside_each_other(tmp_path):
    plays = [play_of(family(plane), recording(), task) for task in (0, 4)]
    for number in (1, 2):
        write_video(tmp_path / f"{number}.gif", plays[:number], title="probe", fps=10)
    (one, *_), _ = frames(tmp_path / "1.gif")
    (two, *_), _ = frames(tmp_path / "2.gif")
    assert two.shape[1] > 1.5 * one.shape[1] and two.shape[0] == one.shape[0]


def test_what_is_told_of_a_moment_is_what_was_earned_until_then():
    play = play_of(family(plane), recording(), 4)
    assert play.moments[: STEPS + 2] == [*((0, t) for t in range(STEPS + 1)), (1, 0)]
    assert play.return_until(0, 0) == 0.0
    assert play.return_until(1, 2) == pytest.approx(STEPS * 4 + 2 * 4.1)
    assert isinstance(play, Play) and len(play.actions[2]) == STEPS


def test_a_film_of_another_format_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"\.gif or \.mp4, got .*film\.avi.*ending"):
        film_format(tmp_path / "film.avi")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"ffmpeg.*film\.mp4.*write a \.gif"):
        film_format(tmp_path / "film.mp4")
