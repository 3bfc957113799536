"""Figures: what is drawn equals what was given; behaviour: episodes are cut where they end."""

import dataclasses
import itertools
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Circle, FancyArrowPatch

from metarl_jax import meta_test_tasks
from metarl_jax.report.behaviour import Behaviour, as_numpy, behaviour_of, record, spread_out
from metarl_jax.report.figures import adaptation_figure, learning_figure
from metarl_jax.report.panels import behaviour_figure
from metarl_jax.report.planes import separate_laps
from metarl_jax.report.style import DPI, ROLE_COLOURS, save_figure, spread
from metarl_jax.tasks.distribution import References
from metarl_jax.tasks.scene import Rectangle, Scene
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.trees import take
from metarl_jax.types import ConfigurationError
from support.invented_runs import EPISODES, REFERENCES, evaluation, family, field, recording, rows
from support.probes import counter, scripted_policy, tiny_bandit

NAN = float("nan")


def drawn(axes):
    """Every line's data, [n, 2] each."""
    return [np.asarray(line.get_xydata(), np.float64) for line in axes.get_lines()]


def assert_drawn(axes, xs, ys):
    wanted = np.column_stack([xs, ys]).astype(np.float64)
    assert any(line.shape == wanted.shape and np.allclose(line, wanted) for line in drawn(axes))


def levels(axes):
    """Heights of the lines that run across the whole axes."""
    across = [line for line in drawn(axes) if len(line) == 2 and tuple(line[:, 0]) == (0, 1)]
    return {round(float(line[0, 1]), 6) for line in across}


def texts(owner):
    return [text.get_text() for text in owner.texts]


def assert_png(path, width, height):
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    size = struct.unpack(">II", content[16:24])
    assert size == (round(width * DPI), round(height * DPI))
    assert 5_000 < len(content) < 150_000


def test_learning_figure_draws_the_rows(tmp_path):
    figure = learning_figure(rows(), title="a run", references=REFERENCES)
    total, episodes, entropy, value_error, gradient_norm = figure.axes
    steps, tested = 1000 * np.arange(1, 41), 1000 * np.arange(4, 41, 4)
    i = np.arange(1, 41)
    assert_drawn(total, steps, 0.2 * i)
    assert_drawn(total, tested, 0.03 * i[3::4] + 3)
    assert_drawn(episodes, steps, 0.05 * i)
    assert_drawn(episodes, steps, 0.1 * i)
    assert_drawn(episodes, tested, 0.01 * i[3::4])
    assert_drawn(episodes, tested, 0.01 * i[3::4] + 2)
    assert_drawn(entropy, steps, 2 / i)
    assert_drawn(value_error, steps, 0.1 + i)
    assert_drawn(gradient_norm, steps, i % 3)
    assert levels(total) == {9.0, 6.0, 10.5}
    assert levels(episodes) == {2.0, 3.5}
    assert {"meta-test tasks: 4.20", "Bayes-optimal: 9.00"} <= set(texts(total))
    assert {"episode 1: 0.400", "episode 3: 2.40", "Bayes-optimal: 3.50"} <= set(texts(episodes))
    assert "a run" in texts(figure)
    save_figure(figure, tmp_path / "learning.png")
    assert_png(tmp_path / "learning.png", 9.0, 6.0)


def test_learning_curves_stand_in_their_intervals():
    """In rows that tell one; a row of an older file has none, and is drawn all the same."""
    tested = {"meta_test_episode_returns": (1.0, 2.0)}
    widths = {"meta_test_episode_returns_ci95": (0.5, 0.25), "meta_test_total_return_ci95": 1.5}
    told = [
        MetricsRow(update=1, env_steps=10, **tested, **widths),
        MetricsRow(update=2, env_steps=20, **tested),
    ]
    total, episodes, *_ = learning_figure(told, title="a run").axes

    def reach(band):
        heights = band.get_paths()[0].vertices
        return [np.ptp(heights[heights[:, 0] == at, 1]) for at in (10, 20)]

    assert [reach(band) for band in total.collections] == [[3.0, 0.0]]
    assert sorted(reach(band) for band in episodes.collections) == [[0.5, 0.0], [1.0, 0.0]]
    before, *_ = learning_figure(told[1:], title="a run").axes
    assert len(before.collections) == 0 and len(drawn(before)) == 2


@pytest.mark.parametrize("high", [0.13, 0.3, 0.9, 5.0, 70.0, 1e9])
def test_ticks_of_a_logarithmic_axis_are_few_and_at_least_three(high):
    """No smaller ticks between them, whose labels would overlap."""
    some = [MetricsRow(update=i, env_steps=i, value_error=v) for i, v in enumerate((0.1, high))]
    axes = learning_figure(some, title="a run").axes[-2]
    low, high = axes.get_ylim()
    shown = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 3 <= len(shown) <= 8
    assert list(axes.yaxis.get_minorticklocs()) == []
    axes.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(a.y1 <= b.y0 for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize("values", [(1.0, 1.0), (0.30, 0.31), (-5.0, 1e6)])
def test_diagnostics_have_at_least_three_ticks(values):
    some = [MetricsRow(update=i, env_steps=9 * i, entropy=v) for i, v in enumerate(values)]
    axes = learning_figure(some, title="a run").axes[-3]
    (low, high), ticks = axes.get_ylim(), axes.get_yticks()
    assert sum(low <= tick <= high for tick in ticks) >= 3


def test_rows_of_another_shape_are_not_drawn():
    """Of another run: what does not fit the last row is left out."""
    strange = [
        MetricsRow(update=1, env_steps=10, meta_test_episode_returns=(1.0,)),
        MetricsRow(update=2, env_steps=20, total_return=0.5),
        MetricsRow(update=3, env_steps=30, total_return=NAN, meta_test_episode_returns=(1.0, 2.0)),
    ]
    total, *_ = learning_figure(strange, title="a run").axes
    assert [line.tolist() for line in drawn(total)] == [[[20, 0.5]], [[30, 3.0]]]


def test_learning_figure_of_what_little_there_is(tmp_path):
    """One row, no evaluation, a row without the metric, a single episode, nothing."""
    for some in (rows(1), [*rows(1), MetricsRow(update=2, env_steps=2000)], []):
        figure = learning_figure(some, title="a run")
        assert [len(line) for line in drawn(figure.axes[-3])] == [min(len(some), 1)]
    save_figure(figure, tmp_path / "learning.png")
    assert_png(tmp_path / "learning.png", 9.0, 6.0)
    total, *diagnostics = learning_figure(rows(40, 1), title="a run").axes
    assert texts(total) == ["meta-test tasks: 0.400"] and len(diagnostics) == 3


def test_adaptation_figure_of_few_episodes_has_bars(tmp_path):
    means = {"adaptive": [1.9, 3.2, 3.4], "memoryless": [2, 2, 2], "contextual": [3.5, 3.4, 3.5]}
    records = {name: evaluation(name, mean, [0.1, 0.2, 0.3]) for name, mean in means.items()}
    figure = adaptation_figure(
        records["adaptive"],
        baselines=[records["memoryless"], records["contextual"]],
        references=REFERENCES,
    )
    (axes,) = figure.axes
    for mean in means.values():
        assert_drawn(axes, [1, 2, 3], mean)
    assert_drawn(axes, [1, 2, 3], [2.0, 3.5, 3.5])
    bars = [np.array(line) for c in axes.collections for line in c.get_segments()]
    assert any(np.allclose(bar, [[2, 3.0], [2, 3.4]]) for bar in bars)
    assert levels(axes) == set()  # both are trained: their exact lines would say it twice
    assert "adaptive: 3.40" in texts(axes)
    assert any("256 tasks, sampled actions; total 8.50 ± 0.250" in text for text in texts(figure))
    save_figure(figure, tmp_path / "adaptation.png")
    assert_png(tmp_path / "adaptation.png", 7.2, 4.4)


def test_a_bound_is_drawn_and_named_as_such():
    bound = References(return_upper_bound=12.0)
    record = evaluation("adaptive", [2, 2, 2], [0.1, 0.1, 0.1])
    (axes,) = adaptation_figure(record, references=bound).axes
    assert levels(axes) == {4.0}
    assert "upper bound, mean: 4.00" in texts(axes)
    totals = learning_figure(rows(), title="a run", references=bound).axes[0]
    assert levels(totals) == {12.0} and "upper bound: 12.00" in texts(totals)


def test_adaptation_figure_of_many_episodes_has_a_band(tmp_path):
    episodes = np.arange(1, 501)
    mean, half_width = 1 - 0.5 / episodes, 0.1 / episodes
    known = References(optimal_total=450.0, memoryless_total=250.0, oracle_total=480.0)
    figure = adaptation_figure(evaluation("adaptive", mean, half_width), references=known)
    (axes,) = figure.axes
    assert_drawn(axes, episodes, mean)
    assert levels(axes) == {0.9, 0.5, 0.96}
    assert "Bayes-optimal mean: 0.900" in texts(axes)
    (band,) = axes.collections
    edge = band.get_paths()[0].vertices
    assert edge[:, 1].min() == pytest.approx((mean - half_width).min())
    assert edge[:, 1].max() == pytest.approx((mean + half_width).max())
    save_figure(figure, tmp_path / "adaptation.png")
    assert_png(tmp_path / "adaptation.png", 7.2, 4.4)


def test_adaptation_figure_of_one_task_has_no_interval(tmp_path):
    nan = float("nan")
    record = evaluation("adaptive", [1.0, 2.0], [nan, nan], total_return_ci95=nan, num_tasks=1)
    save_figure(adaptation_figure(record), tmp_path / "adaptation.png")
    assert_png(tmp_path / "adaptation.png", 7.2, 4.4)


def plane_scene(path, **more):
    shapes = (Rectangle(0, 0, 3, 3, "floor"), Rectangle(2, 2, 1, 1, "goal"))
    return Scene(bounds=(0, 0, 3, 3), shapes=shapes, path=np.asarray(path, np.float64), **more)


def hex_of(patch):
    return to_hex(patch.get_facecolor()).upper()


def test_behaviour_figure_of_a_plane(tmp_path):
    paths = [[[0.5, 0.5], [1.5, 0.5]], [[0.5, 0.5], [0.5, 1.5], [0.5, 2.5]]]
    task = tuple(plane_scene(path, task="goal at the upper right") for path in paths)
    behaviour = Behaviour("probe", (task, task), np.array([[0.0, 1.0], [2.0, 3.0]]))
    figure = behaviour_figure(behaviour, title="what it does")
    assert len(figure.axes) == 4
    for panel, axes in enumerate(figure.axes):
        segments = np.array(axes.collections[0].get_segments())
        path = np.array(paths[panel % 2])
        np.testing.assert_allclose(segments, np.stack([path[:-1], path[1:]], axis=1))
        assert axes.get_xlabel() == f"return {panel:.2f}"
        assert [hex_of(x) for x in axes.patches] == [ROLE_COLOURS[x] for x in ("seen", "goal")]
        assert axes.get_ylabel() == ("" if panel % 2 else "goal at the upper\nright")
    assert [axes.get_title() for axes in figure.axes] == ["episode 1", "episode 2", "", ""]
    save_figure(figure, tmp_path / "behaviour.png")
    assert_png(tmp_path / "behaviour.png", *figure.get_size_inches())


def test_floor_is_seen_from_the_episode_on_that_enters_it():
    cells = tuple(Rectangle(x, 0, 1, 1, "floor") for x in range(3))
    paths = ([[0.5, 0.5], [1.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [2.5, 0.5]])
    task = tuple(Scene(bounds=(0, 0, 3, 1), shapes=cells, path=np.array(path)) for path in paths)
    figure = behaviour_figure(Behaviour("probe", (task,), np.zeros((1, 3))), title="seen")
    names = {colour: name for name, colour in ROLE_COLOURS.items()}
    seen = [[names[hex_of(patch)] for patch in axes.patches] for axes in figure.axes]
    assert seen == [["seen", "seen", "floor"], ["seen", "seen", "floor"], ["seen"] * 3]


def test_a_continuous_plane_shows_its_shapes_its_scale_and_what_was_seen(tmp_path):
    tasks, of = family(field), recording(4)
    behaviour = behaviour_of(tasks, of, [2])
    figure = behaviour_figure(behaviour, title="a field")
    first, *_, last = figure.axes
    (circle,) = [patch for patch in first.patches if isinstance(patch, Circle)]
    assert circle.center == (2.5, 2.5) and circle.radius == 0.35
    assert hex_of(circle) == ROLE_COLOURS["goal"]
    (arrow,) = [patch for patch in first.patches if isinstance(patch, FancyArrowPatch)]
    assert arrow._posA_posB == [(0.3, 2.6), (1.1, 2.6)]
    assert "1 m" in texts(first)
    assert_drawn(first, [1.85, 2.85], [0.18, 0.18])
    assert "field 2" in first.get_ylabel()
    for axes, number in ((first, 1), (last, EPISODES)):
        discs = axes.collections[0]
        assert set(discs._widths * 2) == {0.9}  # matplotlib keeps half of them
        places = np.asarray(discs.get_offsets())
        walked = [scene.path for scene in behaviour.scenes[0][:number]]
        for path in walked:  # each place of it and the middle of each of its ways was seen
            for place in (*path, *((path[1:] + path[:-1]) / 2)):
                assert np.linalg.norm(places - place, axis=1).min() < 0.12
        ways = np.concatenate(walked)
        assert np.abs(places[:, None] - ways).max(axis=-1).min(axis=1).max() <= 0.5
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["seen so far", "goal", "force", "first position", "last position"]
    save_figure(figure, tmp_path / "behaviour.png")
    assert_png(tmp_path / "behaviour.png", *figure.get_size_inches())


def test_behaviour_figure_of_many_planes_shows_the_first_and_the_last():
    scenes = tuple(
        tuple(plane_scene([[0.5, 0.5], [1.5, 0.5]]) for _ in range(20)) for _ in range(9)
    )
    returns = np.arange(180.0).reshape(9, 20)
    figure = behaviour_figure(Behaviour("probe", scenes, returns), title="what it does")
    shown = [float(axes.get_xlabel().split()[1]) for axes in figure.axes]
    assert shown == [20.0 * task + e for task in (0, 3, 5, 8) for e in (0, 1, 2, 3, 4, 19)]


def test_behaviour_figure_of_time_series(tmp_path):
    """Episodes of 3 and 2 steps: the second begins at step 4."""
    first = Scene(
        series={"speed": np.array([1.0, 2, 3]), "target": np.full(3, 2.0)},
        unit="m/s",
        task="run at 2 m/s",
    )
    second = Scene(series={"speed": np.array([4.0, 5]), "target": np.full(2, 2.0)}, unit="m/s")
    behaviour = Behaviour("probe", ((first, second),) * 3, np.array([[-6.0, -1.5]] * 3))
    figure = behaviour_figure(behaviour, title="what it does")
    for axes in figure.axes[:3]:
        assert_drawn(axes, [1, 2, 3], [1, 2, 3])
        assert_drawn(axes, [4, 5], [4, 5])
        assert_drawn(axes, [4, 5], [2, 2])
        boundaries = [line for line in axes.get_lines() if list(line.get_xdata()) == [3.5, 3.5]]
        assert len(boundaries) == 1
        assert texts(axes) == ["episode 1: return -6.00", "episode 2: return -1.50"]
        assert axes.get_title(loc="left") == "run at 2 m/s"
    five = Behaviour("probe", ((first,) * 5,), np.arange(5.0)[None])
    assert texts(behaviour_figure(five, title="five").axes[0])[1] == "2: 1.00"
    assert not figure.axes[3].get_visible()  # three tasks in a grid of four
    assert figure.axes[0].get_ylabel() == "speed, m/s"
    save_figure(figure, tmp_path / "behaviour.png")
    assert_png(tmp_path / "behaviour.png", *figure.get_size_inches())


def test_a_scene_with_nothing_in_it_is_refused():
    behaviour = Behaviour("probe", ((Scene(),),), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="probe: a scene must have bounds .* or series"):
        behaviour_figure(behaviour, title="nothing")


def test_a_path_that_never_returns_is_not_moved():
    for path in ([[0, 0], [1, 0], [1, 1]], [[0, 0], [0, 0], [1, 0]], [[0, 0]], [[2, 1], [2, 1]]):
        np.testing.assert_array_equal(separate_laps(np.array(path, float)), np.array(path, float))


def test_revisits_stand_apart_and_straight_ways_stay_straight():
    right, up, left, down = [1, 0], [0, 1], [-1, 0], [0, -1]
    moves = np.array([right, right, up, left, left, down] * 2, float)
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    moved = separate_laps(path)
    assert np.abs(moved - path).max() < 0.25
    distances = np.linalg.norm(moved[:7] - moved[6:], axis=1)  # the second round from the first
    assert distances.min() > 0.05
    np.testing.assert_array_equal(np.diff(moved, axis=0)[moves == 0], 0)
    there_and_back = separate_laps(np.array([[0, 0], [1, 0], [0, 0]], float))
    assert there_and_back[0, 1] != there_and_back[2, 1]


def test_labels_are_moved_no_more_than_they_must():
    assert spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    np.testing.assert_allclose(spread([0.5, 0.5], 0.1), [0.45, 0.55])
    np.testing.assert_allclose(
        spread([0.1, 0.5, 0.52, 0.54, 0.9], 0.1), [0.1, 0.42, 0.52, 0.62, 0.9]
    )
    np.testing.assert_allclose(spread([0.5, 0.5, 0.6], 0.1), [13 / 30, 16 / 30, 19 / 30])


def traced(ends_early):
    """A counter whose scenes hand out the task and the states they were given."""

    def scene(task, states):
        identity = np.full(len(states.step), task.identity)
        return Scene(series={"step": states.step, "mark": states.mark, "identity": identity})

    return dataclasses.replace(counter(ends_early=ends_early), scene=scene)


# Action 1 ends an episode where that is allowed; H = 3, E = 3. One row for each of 8 tasks.
SCRIPT = np.array(
    [[0] * 6, [1] * 6, [0, 1, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1]] + [[0, 0, 1, 1, 1, 1]] * 4
)
LENGTHS = [(3, 3, 3), (1, 1, 1), (2, 1, 3), (3, 2, 1)] + [(3, 1, 1)] * 4


@pytest.mark.parametrize(("ends_early", "lengths"), [(False, [(3, 3, 3)] * 8), (True, LENGTHS)])
def test_states_of_an_episode_run_from_its_reset_to_its_end(ends_early, lengths):
    tasks, key = traced(ends_early), jax.random.key(0)
    candidates = meta_test_tasks(tasks, key, 64)
    # The tasks shown span the range of the one number that tells them apart.
    shown = take(candidates, spread_out(tasks, candidates, 8))
    recording = record(tasks, scripted_policy(SCRIPT), (), shown, key)
    behaviour = behaviour_of(tasks, recording, range(8))
    assert [task[0].series["identity"][0] for task in behaviour.scenes] == list(range(8))
    marks = []
    for n, task in enumerate(behaviour.scenes):
        assert len(task) == 3
        for e, scene in enumerate(task):
            steps, mark = scene.series["step"], scene.series["mark"]
            np.testing.assert_array_equal(steps, np.arange(lengths[n][e] + 1))
            assert len(np.unique(mark)) == 1
            marks.append(float(mark[0]))
            # Rewards are identity + step/8, for the steps led to.
            assert behaviour.returns[n, e] == lengths[n][e] * n + np.sum(steps) / 8
    assert len(set(marks)) == len(marks)  # each episode has a reset of its own


def test_states_may_hold_keys_which_numpy_does_not_know():
    key, step = as_numpy((jax.random.key(7), jnp.arange(2)))
    np.testing.assert_array_equal(key, np.array([0, 7], np.uint32))
    assert isinstance(step, np.ndarray)


def test_a_picture_that_cannot_be_is_refused():
    tasks, key = tiny_bandit(), jax.random.key(0)
    shown = meta_test_tasks(tasks, key, 2)
    recording = record(tasks, scripted_policy([[0, 0]]), (), shown, jax.random.key(1))
    with pytest.raises(ConfigurationError, match="tiny_bandit has no scene to draw: expected"):
        behaviour_of(tasks, recording, [0])
