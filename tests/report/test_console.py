"""What the console prints: the right numbers, one line each off a terminal, a live view on one."""

import dataclasses
import io

import pytest
from rich.console import Console as RichConsole

from metarl_jax.report.console import LINE_EVERY, Console, progress_line
from metarl_jax.report.live_view import LiveView, sparkline
from metarl_jax.report.progress import Progress
from metarl_jax.report.units import count, duration, quantity, roughly, round_count
from metarl_jax.training.metrics_row import MetricsRow

ROW = MetricsRow(
    update=100,
    env_steps=2_400_000,
    seconds=140.0,
    env_steps_per_second=17_200.0,
    total_return=-498.7,
    return_first_episode=-261.4,
    return_last_episode=-237.3,
    entropy=5.512,
    value_error=0.1234,
    gradient_norm=0.4567,
    skipped=0.0,
)
EVALUATED = dataclasses.replace(ROW, meta_test_episode_returns=(-98.2, -47.9))
TOTALS = {"num_updates": 1000, "total_env_steps": 24_000_000}


def row(update, **changes):
    return dataclasses.replace(ROW, update=update, env_steps=24_000 * update, **changes)


def after(row, now=0.0, total_env_steps=24_000_000, before=None):
    """The progress after a row of a run of so many steps."""
    return (before or Progress()).after(row, now, total_env_steps)


def plain(width=80, encoding="utf-8"):
    """A console that writes to a file, and the bytes it wrote."""
    file = io.BytesIO()
    stream = io.TextIOWrapper(file, encoding=encoding, write_through=True)
    return Console(RichConsole(file=stream, width=width)), file


def printed(file):
    return file.getvalue().decode()


def terminal():
    """A console that writes to what it takes for a terminal, and its stream."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    rich = RichConsole(file=stream, force_terminal=True, width=100, height=40, _environ={})
    return Console(rich), stream.buffer


def drawn(view, width=100):
    """The live view's text, without colours."""
    console = RichConsole(file=io.StringIO(), width=width, record=True)
    console.print(view)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (950, "950"),
        (999.6, "1.00 k"),
        (17_234, "17.2 k"),
        (999_600, "1.00 M"),
        (2_400_000, "2.40 M"),
        (3.21e9, "3.21 G"),
    ],
)
def test_count(value, text):
    assert count(value) == text


def test_ticks_have_no_trailing_zeros():
    assert [round_count(x) for x in (0, 100, 5e5, 2.4e6, 2e7)] == [
        *("0", "100", "500 k", "2.4 M", "20 M")
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-98.25, "-98.2"),
        (6.6599, "6.66"),
        (0.9998, "1.00"),
        (0.0412, "0.041"),
        (3e-5, "3.0e-5"),
        (-12345.6, "-12,346"),
        (-0.0, "0.00"),
        (float("nan"), "nan"),
    ],
)
def test_quantity(value, text):
    assert quantity(value) == text


def test_durations():
    seconds = (8.2, 432, 3900, 2 * 86400 + 4 * 3600)
    assert [duration(s) for s in seconds] == ["8 s", "7 min 12 s", "1 h 05 min", "2 d 04 h"]
    assert [roughly(s) for s in seconds] == ["8 s", "7.2 min", "1.1 h", "2.2 d"]
    assert [roughly(s) for s in (59.8, 1100)] == ["1.0 min", "18 min"]
    assert duration(float("inf")) == roughly(float("inf")) == "?"


def test_progress_line_tells_the_row():
    line = progress_line(after(ROW))
    expected = " 10% 2.40 M steps  17.2 k/s  21 min left  return -498.7"
    assert line == f"{expected}  entropy 5.51"
    skipped = progress_line(after(dataclasses.replace(ROW, skipped=3.0)))
    assert skipped.endswith("entropy 5.51  skipped 3")


def test_no_plain_line_is_longer_than_100_characters():
    long = dataclasses.replace(
        ROW,
        update=1000,
        env_steps=999_000_000,
        total_return=-1234.567,
        entropy=-9.8765,
        value_error=1e-7,
        gradient_norm=123.4,
        meta_test_episode_returns=(-1234.5,) * 500,
    )
    assert len(progress_line(after(long, total_env_steps=10**12))) <= 100


def test_progress_line_has_the_first_and_the_last_episode_of_the_newest_evaluation():
    assert progress_line(after(EVALUATED)).endswith("  meta-test -98.2 -> -47.9")
    later = after(ROW, before=after(EVALUATED))
    assert progress_line(later).endswith("  meta-test -98.2 -> -47.9")
    one = after(dataclasses.replace(ROW, meta_test_episode_returns=(0.5,)))
    assert progress_line(one).endswith("  meta-test 0.500")


def test_a_file_gets_plain_lines_and_few_of_them():
    console, file = plain(width=40)  # narrower than a line: lines are not broken all the same
    console.start({"task family": "cheetah_vel [17]", "policy": "adaptive"})
    console.compiling("10 updates")
    console.compiled(12.34)
    for update in range(1, 1001):
        console.progress(row(update), **TOTALS)
    console.warn("the disk is full")
    console.finish("finished")
    lines = printed(file).splitlines()
    assert lines[:4] == [
        "task family  cheetah_vel [17]",
        "policy       adaptive",
        "compiling 10 updates ...",
        "compiled in 12.3 s",
    ]
    assert lines[-2:] == ["warning: the disk is full", "finished"]
    assert "\x1b" not in printed(file)
    rows = lines[4:-2]
    assert len(rows) == 1 + 1 / LINE_EVERY <= 6
    assert rows[-1].startswith("100% 24.0 M steps")
    assert "left" not in rows[-1]


def test_an_evaluation_is_announced_before_it_begins():
    """Once in a file; in the view each time, until the next row."""
    console, file = plain()
    for _ in range(3):
        console.evaluating(10_000)
        console.progress(EVALUATED, **TOTALS)
    assert printed(file).count("evaluating on 10,000 tasks ...") == 1
    live, _ = terminal()
    for _ in range(2):
        live.progress(ROW, **TOTALS)
        live.evaluating(256)
        assert "evaluating on 256 tasks …" in drawn(live._live.get_renderable())
        live.progress(EVALUATED, **TOTALS)
        assert "evaluating" not in drawn(live._live.get_renderable())
    live.close()


def test_an_encoding_without_the_characters_never_stops_a_run():
    console, file = plain(encoding="ascii")
    console.start({"update": "128 tasks × 2 episodes"})
    console.progress(EVALUATED, **TOTALS)
    assert "128 tasks ? 2 episodes" in printed(file)


def test_time_left_counts_down_and_follows_the_mean_speed():
    progress = after(ROW, now=50.0)
    assert progress.seconds_left(50.0) == pytest.approx(21_600_000 / 17_200)
    assert progress.seconds_left(60.0) == pytest.approx(21_600_000 / 17_200 - 10)
    faster = progress.after(dataclasses.replace(ROW, env_steps_per_second=27_200.0), now=60.0)
    assert faster.steps_per_second == pytest.approx(0.3 * 27_200 + 0.7 * 17_200)
    assert Progress().after(MetricsRow(update=1, env_steps=5), now=0.0).seconds_left(1.0) is None


def test_an_evaluation_stays_in_view_until_the_next():
    progress = after(EVALUATED).after(row(101), now=1.0)
    assert progress.meta_test == (-98.2, -47.9)
    assert progress.meta_test_steps == 2_400_000
    assert not progress.just_evaluated
    later = progress.after(
        dataclasses.replace(EVALUATED, meta_test_episode_returns=(-90.0, -40.0)), now=2.0
    )
    assert later.history == pytest.approx((-146.1, -130.0))


def test_live_view_shows_the_numbers():
    text = drawn(LiveView(after(EVALUATED)))
    assert "10%" in text
    assert "2.40 M / 24.0 M steps" in text
    assert "17.2 k/s" in text
    table = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}
    assert table["episode"] == ["1", "2", "total"]
    assert table["meta-test"][:3] == ["-98.2", "-47.9", "-146.1"]
    assert table["training"] == ["-261.4", "-237.3", "-498.7"]
    assert "entropy 5.51" in text
    assert "value error 0.123" in text
    assert "gradient norm 0.457" in text
    assert "skipped updates 0" in text


def test_live_view_of_many_episodes_shows_first_last_and_total():
    returns = [0.25] * 499 + [0.75]
    progress = after(dataclasses.replace(ROW, meta_test_episode_returns=returns))
    text = drawn(LiveView(progress))
    header = next(line for line in text.splitlines() if "episode" in line)
    assert header.split() == ["episode", "1", "500", "total"]
    assert max(map(len, text.splitlines())) <= 100
    line = next(line for line in text.splitlines() if "meta-test" in line)
    assert line.split()[1:4] == ["0.250", "0.750", quantity(sum(returns))]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("num_episodes", [1, 2, 4, 5, 6, 500])
def test_live_view_breaks_no_line(width, num_episodes):
    progress = Progress()
    for _ in range(20):
        tested = dataclasses.replace(ROW, meta_test_episode_returns=(-355.6,) * num_episodes)
        progress = after(tested, before=progress)
    lines = drawn(LiveView(progress), width).splitlines()
    assert len(lines) == 7
    assert max(map(len, lines)) <= min(width, 96)
    table = lines[2:5]
    assert all("…" not in line for line in table)
    assert [line.split()[0] for line in table] == ["episode", "meta-test", "training"]


def test_live_view_before_the_first_evaluation_and_before_the_first_row():
    text = drawn(LiveView(after(ROW)))
    assert "meta-test" not in text
    line = next(line for line in text.splitlines() if "training" in line)
    assert line.split() == ["training", "-261.4", "-237.3", "-498.7"]
    waiting = drawn(LiveView(Progress(), waiting_for="compiling 10 updates …"))
    assert waiting.strip() == "compiling 10 updates …"


def test_a_terminal_gets_the_live_view_and_its_cursor_back():
    console, buffer = terminal()
    console.start({"policy": "adaptive"})
    console.compiling("10 updates")
    console.compiled(12.34)
    assert console._live is not None
    assert "running" in drawn(console._live.get_renderable())
    console.progress(EVALUATED, **TOTALS)
    console.warn("the disk is full")
    console.finish("finished")
    text = printed(buffer)
    for expected in (
        "compiling 10 updates",
        "compiled in 12.3 s",
        "-47.9",
        "the disk is full",
        "finished",
    ):
        assert expected in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # shown after it was hidden
    assert text.rindex("finished") > text.rindex("-47.9")  # the last view stands above


def test_sparkline_runs_from_the_least_to_the_greatest():
    assert sparkline([0, 1, 7, 3.5]) == "▁▂█▅"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline(range(100))) == 16
