"""The report's page without a browser: its data, its words, its tables, and that it is closed."""

import base64
import dataclasses
import hashlib
import html
import json
import re

import numpy as np
import pytest

from metarl_jax.evaluation.ablated import Ablated
from metarl_jax.evaluation.population_record import PopulationRecord
from metarl_jax.evaluation.record import ReferenceTotals
from metarl_jax.report import charts, facts, style, tables, units
from metarl_jax.report.chart import MOST_POINTS, Chart, Level, page_data
from metarl_jax.report.html import Report, Section, report_page
from metarl_jax.report.population import sweep_chart
from metarl_jax.report.replay import replay_data
from metarl_jax.report.run_report import write_points_report, write_report
from metarl_jax.tasks.distribution import References
from metarl_jax.training.metrics_row import MetricsRow
from support.invented_runs import (
    REFERENCES,
    body,
    choices,
    evaluation,
    family,
    plane,
    point,
    recording,
    rows,
    write_run,
)

RECURRENT = evaluation("adaptive", [1.9, 3.2, 3.4], [0.1, 0.2, 0.3], adaptation_gain=1.5)
MEMORYLESS = evaluation("memoryless", [2.0, 2.0, 2.0], [0.1, 0.1, 0.1])
WITHHELD = evaluation("adaptive", [1.9, 1.8, 1.8], [0.1, 0.1, 0.1], total_return_ci95=0.5)
ABLATIONS = {"rewards withheld": Ablated(WITHHELD, -3.0, 0.04)}


def page_of(tmp_path, record=RECURRENT, scene=plane, references=REFERENCES, **more):
    write_run(tmp_path)
    replay = replay_data(family(scene), recording())
    path = write_report(tmp_path, record, references, replay=replay, **more)
    return path.read_text(encoding="utf-8")


def data_of(page):
    found = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert len(found) == 1
    return json.loads(found[0])


def cells(page):
    """Every row of every table, as texts."""
    lines = re.findall(r"<tr>(.*?)</tr>", page, re.S)
    return [[html.unescape(x) for x in re.findall(r"<t[hd][^>]*>(.*?)</t", x)] for x in lines]


@pytest.mark.parametrize("scene", [plane, body, choices])
def test_the_page_is_closed_and_runs_nothing_but_its_own(tmp_path, scene):
    page = page_of(tmp_path, scene=scene)
    assert len(page.encode()) < 3_000_000
    outside = re.findall(r"""(?:src|href|action)\s*=\s*["']([^"']*)|url\(([^)]*)|@import""", page)
    assert [found for found in outside if found[0] != "data:,"] == []
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None and "default-src 'none'" in policy[1] and "unsafe" not in policy[1]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    (look,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    for kind, text in (("script", script), ("style", look)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]
    assert not re.search(r'\sstyle="', page.replace(script, ""))  # the policy would drop it


def test_colours_are_those_of_the_other_figures():
    page = report_page(Report(title="", lead="", headline={}, sections=[]))
    for light in (style.INK, style.BLUE, style.GREEN, style.VERMILION, style.MUTED):
        assert f"--{style.NAMED_COLOURS[light]}: light-dark({light}, #" in page


def test_what_a_name_holds_stays_a_name():
    evil = '</script><script>alert("1")</script><!--'
    line = charts.episodes_line(evil, [1.0, 2.0], None, style.BLUE)
    level = Level(name=evil, y=1.0, colour=style.INK, look="dotted")
    axes = {"x": charts.EPISODES, "y": charts.RETURN}
    drawn = Chart(name="a", title=evil, lines=(line,), levels=(level,), **axes)
    table = tables.table([evil], [[evil, evil]])
    section = Section(name="a", title=evil, note=evil, charts=[drawn], tables={evil: table})
    replay = {"recorded": 1, "tasks": [{"task": evil}]}
    page = report_page(
        Report(title=evil, lead=evil, headline={evil: evil}, sections=[section], replay=replay)
    )
    assert page.count("<script") == 2 and page.count("</script") == 2
    assert "<!--" not in page
    data = data_of(page)
    assert data["charts"]["a"]["title"] == evil and data["replay"] == replay


def test_what_json_lacks_is_null(tmp_path):
    nan = float("nan")
    record = evaluation("adaptive", [1.0, 2.0], [nan, nan], total_return_ci95=nan, num_tasks=1)
    data = data_of(page_of(tmp_path, record))
    (line, *_) = data["charts"]["adaptation"]["lines"]
    assert line["ys"] == [1.0, 2.0] and "low" not in line
    assert ["episode 2", "2.00", "3.50"] in cells((tmp_path / "report.html").read_text())


def test_curves_are_those_of_the_rows(tmp_path):
    drawn = data_of(page_of(tmp_path, baselines=[MEMORYLESS]))["charts"]
    assert {"adaptation", "learning", "episodes", "entropy", "value_error"} <= set(drawn)
    adaptation = {line["name"]: line for line in drawn["adaptation"]["lines"]}
    assert adaptation["adaptive"]["ys"] == [1.9, 3.2, 3.4]
    assert adaptation["adaptive"]["high"] == pytest.approx([2.0, 3.4, 3.7])
    assert adaptation["memoryless"]["ys"] == [2.0] * 3
    assert adaptation["Bayes-optimal"]["ys"] == [2.0, 3.5, 3.5]
    levels = {level["name"]: level["y"] for level in drawn["adaptation"]["levels"]}
    assert levels == {"oracle": 3.5}  # a policy without memory is there: no line says it twice
    tested, trained = drawn["learning"]["lines"]
    assert trained["look"] == "pale" and trained["xs"] == [1000 * i for i in range(1, 41)]
    np.testing.assert_allclose(trained["ys"], 0.2 * np.arange(1, 41), rtol=1e-4)
    totals = 0.03 * np.arange(4, 41, 4) + 3
    np.testing.assert_allclose(tested["ys"], totals, rtol=1e-4)
    np.testing.assert_allclose(tested["high"], totals + 0.5, rtol=1e-4)
    assert drawn["learning"]["named"] == ["meta-test tasks"]
    totals = {level["name"]: level["y"] for level in drawn["learning"]["levels"]}
    assert totals == {"Bayes-optimal": 9.0, "best without memory": 6.0, "oracle": 10.5}


def test_a_curve_is_said_in_words():
    words = charts.adaptation_chart(RECURRENT, [], REFERENCES).words()
    assert "return of each episode against episode" in words
    assert "adaptive: from 1.90 at 1.00 to 3.40 at 3.00" in words
    assert "best without memory: 2.00." in words
    learning, *_ = charts.learning_charts(rows(), REFERENCES)
    assert "meta-test tasks: from 3.12 at 4 k to 4.20 at 40 k" in learning.words()


def test_a_logarithm_is_taken_of_what_has_one():
    """A small number beside a large one is not rounded to 0."""
    some = [MetricsRow(update=i, env_steps=i, value_error=v) for i, v in enumerate((1e6, 1e-7))]
    value_error = page_data(charts.diagnostic_charts(some)[1])
    assert value_error["y"]["logarithmic"] and value_error["lines"][0]["ys"] == [1e6, 1e-7]
    some[1] = MetricsRow(update=1, env_steps=1, value_error=0.0)
    assert not charts.diagnostic_charts(some)[1].y.logarithmic


def test_long_curves_are_thinned_and_keep_their_ends():
    many = [MetricsRow(update=i, env_steps=i, entropy=float(i)) for i in range(5000)]
    line = page_data(charts.diagnostic_charts(many)[0])["lines"][0]
    assert len(line["xs"]) == MOST_POINTS
    assert (line["xs"][0], line["xs"][-1]) == (0, 4999) and line["ys"][-1] == 4999


def test_a_run_of_which_little_is_known(tmp_path):
    """No rows, no references, no baselines, no replay."""
    write_run(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "run.json").unlink()
    page = write_report(tmp_path, RECURRENT, References()).read_text(encoding="utf-8")
    assert data_of(page)["replay"] is None and 'id="replay"' not in page
    assert 'id="ablations"' not in page and "Beside other ways" not in page
    assert "<h1>probe</h1>" in page


def test_tables_hold_the_numbers_with_their_intervals(tmp_path):
    found = cells(page_of(tmp_path, baselines=[MEMORYLESS]))
    assert ["episode 1", "1.90 ± 0.10", "2.00 ± 0.10", "2.00"] in found
    assert ["whole meta-episode", "8.50 ± 0.25", "6.00 ± 0.25", "9.00"] in found
    assert ["last episode less the first", "1.50", "", ""] in found


def test_a_mean_is_told_to_the_second_digit_of_its_interval():
    for mean, width, text in (
        (16.1609, 0.0536, "16.161 ± 0.054"),
        (-115.72, 7.33, "\N{MINUS SIGN}115.7 ± 7.3"),
        (1234.5, 120.0, "1,234 ± 120"),
        (-0.00001, 0.0004, "0.0000 ± 0.0004"),
        (2.0, None, "2.00"),
        (2.0, float("nan"), "2.00"),
    ):
        assert units.with_interval(mean, width) == text
    assert units.between(7.0, (6.5, 7.2)) == "7.00, 6.50 to 7.20"
    of_one_task = (float("nan"), float("nan"))
    assert units.between(7.0, of_one_task) == "7.00"


def test_of_many_episodes_round_numbers_are_shown():
    assert tables.shown_episodes(4) == [1, 2, 3, 4]
    assert tables.shown_episodes(120) == [1, 2, 3, 5, 10, 20, 50, 100, 120]


def test_what_is_held_against_it_is_shown_where_it_is_known(tmp_path):
    known = ReferenceTotals(random=-1.5, optimal=9.0)
    measures = {"success_rate": (0.25, 0.5, 0.75), "speed": 2.0}
    record = dataclasses.replace(
        RECURRENT,
        references=known,
        normalized_score=0.952,
        normalized_score_ci95=0.041,
        regret=0.5,
        total_return_p20=8.7,
        total_return_p20_interval95=(8.6, 8.8),
        measures=measures,
    )
    page = page_of(
        tmp_path,
        record,
        references=dataclasses.replace(REFERENCES, random_total=-1.5),
        ablations=ABLATIONS,
    )
    found = cells(page)
    assert ["Bayes-optimal", "9.00", "\N{MINUS SIGN}0.50 ± 0.25"] in found
    assert ["a fifth of the tasks get less than", "8.70, 8.60 to 8.80", ""] in found
    assert "20th percentile of the return over the tasks" in page
    assert ["adaptive", "8.50", ""] in found
    assert ["random actions", "\N{MINUS SIGN}1.50", "10.00 ± 0.25"] in found
    assert ["rewards withheld", "5.50 ± 0.50", "\N{MINUS SIGN}3.000 ± 0.040"] in found
    assert ["success rate", "0.250", "0.500", "0.750"] in found
    assert "<dt>normalized score</dt><dd>0.952 ± 0.041</dd>" in page
    assert "<dt>regret</dt><dd>0.50 ± 0.25</dd>" in page
    drawn = data_of(page)["charts"]
    assert [line["name"] for line in drawn["ablations"]["lines"]] == [
        "nothing taken away",
        "rewards withheld",
    ]
    assert {"name": "random actions", "y": -0.5} in [
        {"name": level["name"], "y": level["y"]} for level in drawn["adaptation"]["levels"]
    ]


def test_what_was_trained_is_told(tmp_path):
    page = page_of(tmp_path)
    told = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert told["task family"] == "probe: arms 3, step cost 0.5"
    assert told["policy"] == "adaptive, GRU of 8 units"
    assert told["trained for"] == "40.0 k environment steps, 40 updates, in 40 s on 1 × cpu"
    assert told["versions"] == "jax 1.2.3, Python 3.99"
    assert (told["seed"], told["commit"]) == ("0", "0123abc")
    assert html.unescape(told["command line"]) == "metarl train probe --out 'my runs'"


def test_every_setting_and_every_version_is_folded_in(tmp_path):
    page = page_of(tmp_path)
    folded = re.findall(r"<details><summary>([^<]*)</summary>(.*?)</details>", page, re.S)
    assert [title for title, _ in folded] == ["All settings", "Versions and machine"]
    settings, machine = (dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", x)) for _, x in folded)
    tree = json.loads((tmp_path / "config.json").read_text())
    leaves = {f"{branch}.{name}" for branch, x in tree["settings"].items() for name in x or ()}
    assert leaves <= settings.keys() and len(leaves) > 20
    assert settings["memory.hidden_size"] == "8" and settings["budget.num_tasks"] == "16"
    assert settings["family.num_arms"] == "3" and settings["budget.task_chunk"] == "none"
    assert machine == {"python": "3.99", "devices": "cpu", "jax": "1.2.3", "flax": "4.5.6"}


def test_a_run_that_tells_nothing_of_its_origin_has_a_page_all_the_same(tmp_path):
    write_run(tmp_path)
    assert facts.machine({}) == {}
    assert facts.machine({"versions": [1], "devices": "cpu"}) == {}  # of somebody else's making
    (tmp_path / "run.json").unlink()
    page = write_report(tmp_path, RECURRENT, REFERENCES).read_text(encoding="utf-8")
    assert "All settings" in page and "Versions and machine" not in page
    assert "command line" not in page and "commit" not in page


def test_ablations_stand_before_replay_and_learning(tmp_path):
    page = page_of(tmp_path, ablations=ABLATIONS)
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == ["trained", "adaptation", "ablations", "replay", "learning", "numbers"]
    assert '<h2 id="ablations-title">Ablations</h2>' in page


def test_the_change_of_an_ablation_is_taken_pair_by_pair():
    """Tasks differ by 100, and each loses 1 or 3: the interval is that of the losses."""
    plain = np.arange(0.0, 800.0, 100.0).reshape(4, 2)
    ablated = Ablated.of(WITHHELD, RECURRENT, plain - np.array([[0.5], [1.5]] * 2), plain)
    assert ablated.change == -2.0
    assert ablated.change_ci95 == pytest.approx(1.96 * np.std([1, 3, 1, 3], ddof=1) / 2)
    alone = Ablated.of(WITHHELD, RECURRENT, plain[:2], plain)
    assert alone.change == pytest.approx(5.5 - 8.5) and np.isnan(alone.change_ci95)


def test_several_agents_have_a_line_for_each_value(tmp_path):
    write_run(tmp_path)
    points = [
        point({"learning_rate": value}, [2 * i, 2 * i + 1], [1.0, 2.0 + i], 0.5)
        for i, value in enumerate((0.1, 0.2))
    ]
    tested = [
        {"env_steps": 100, "update": 1, "meta_test_total_return_members": [1.0, 3.0, 5.0, None]}
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, tested)))
    path = write_points_report(tmp_path, PopulationRecord.of(RECURRENT, points), REFERENCES)
    page = path.read_text(encoding="utf-8")
    assert ["learning rate 0.2", "2", "1.00 ± 0.50", "3.00 ± 0.50", "4.00 ± 0.50"] in cells(page)
    lines = data_of(page)["charts"]["learning"]["lines"]
    assert [line["ys"] for line in lines if line["look"] == "solid"] == [[2.0], [None]]
    pale = [line["ys"] for line in lines if line["look"] == "pale"]
    assert pale == [[1.0], [3.0], [5.0], [None]]


def test_a_learning_rate_is_swept_over_a_logarithmic_axis_with_ticks_at_its_values():
    for name, values, logarithmic in (
        ("learning_rate", (1e-3, 2e-3), True),
        ("entropy_coefficient", (0.01, 0.02), False),
        ("entropy_coefficient", (0.01, 0.1), True),
        ("learning_rate", (0.0, 1e-3), False),
    ):
        points = [point({name: value}, [i], [1.0], 0.5) for i, value in enumerate(values)]
        chart = sweep_chart(points, REFERENCES)
        assert chart.x.logarithmic == logarithmic, (name, values)
        assert [text for _, text in chart.x.ticks or ()] == [f"{value:g}" for value in values]
        agents, means = page_data(chart)["lines"]
        assert means["xs"] == agents["xs"] == list(values) and agents["look"] == "dots"
        assert page_data(chart)["named"] == []


def test_four_agents_have_an_interquartile_mean_and_fewer_none():
    of_agents = {"total_return_iqm": 3.25, "total_return_iqm_interval95": (3.0, 3.5)}
    four = point({"learning_rate": 0.1}, range(4), [1.0, 2.0], 0.5, **of_agents)
    two = point({"learning_rate": 0.2}, [4, 5], [1.0, 2.0], 0.5)
    drawn = cells(tables.points_table([four, two]))
    assert drawn[0][-1] == "interquartile mean"
    assert "mean of the middle half of the agents" in tables.points_table([four, two])
    assert [line[-1] for line in drawn[1:]] == ["3.25, 3.00 to 3.50", ""]
    assert "interquartile mean" not in tables.points_table([two])
