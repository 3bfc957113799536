"""The report's page without a browser: its data, its words, its tables, and that it is closed."""

import base64
import dataclasses
import hashlib
import html
import json
import re

import numpy as np
import pytest

from metarl_jax.evaluation.population_record import PopulationRecord
from metarl_jax.evaluation.record import ReferenceTotals
from metarl_jax.report import charts, style, tables
from metarl_jax.report.html import Report, Section, report_page
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
ABLATIONS = {
    "rewards withheld": evaluation(
        "adaptive", [1.9, 1.8, 1.8], [0.1, 0.1, 0.1], total_return_ci95=0.5
    )
}


def page_of(tmp_path, record=RECURRENT, scene=plane, **more):
    write_run(tmp_path)
    replay = replay_data(family(scene), recording())
    path = write_report(tmp_path, record, REFERENCES, replay=replay, **more)
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
        assert f"--{charts.COLOURS[light]}: light-dark({light}, #" in page


def test_what_a_name_holds_stays_a_name():
    evil = '</script><script>alert("1")</script><!--'
    line = charts.curve(evil, [1.0, 2.0], None, "accent")
    drawn = charts.chart("a", evil, charts.EPISODE_AXES, [line], {evil: 1.0})
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
    assert line["ys"] == line["low"] == line["high"] == [1.0, 2.0]
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
    assert levels == {"task told": 3.5}  # a policy without memory is there: no line says it twice
    trained, tested = drawn["learning"]["lines"]
    assert trained["pale"] and trained["xs"] == [1000 * i for i in range(1, 41)]
    np.testing.assert_allclose(trained["ys"], 0.2 * np.arange(1, 41), rtol=1e-4)
    np.testing.assert_allclose(tested["ys"], 0.03 * np.arange(4, 41, 4) + 3, rtol=1e-4)
    totals = {level["name"]: level["y"] for level in drawn["learning"]["levels"]}
    assert totals == {"Bayes-optimal": 9.0, "no memory": 6.0, "task told": 10.5}


def test_a_curve_is_said_in_words():
    words = charts.adaptation_chart(RECURRENT, [], REFERENCES)["words"]
    assert "return of each episode against episode" in words
    assert "adaptive: from 1.90 at 1.00 to 3.40 at 3.00" in words
    assert "no memory: 2.00." in words
    learning, *_ = charts.learning_charts(rows(), REFERENCES)
    assert "meta-test tasks: from 3.12 at 4 k to 4.20 at 40 k" in learning["words"]


def test_a_logarithm_is_taken_of_what_has_one():
    """A small number beside a large one is not rounded to 0."""
    some = [MetricsRow(update=i, env_steps=i, value_error=v) for i, v in enumerate((1e6, 1e-7))]
    value_error = charts.diagnostic_charts(some)[1]
    assert value_error["log"] and value_error["lines"][0]["ys"] == [1e6, 1e-7]
    some[1] = MetricsRow(update=1, env_steps=1, value_error=0.0)
    assert not charts.diagnostic_charts(some)[1]["log"]


def test_long_curves_are_thinned_and_keep_their_ends():
    many = [MetricsRow(update=i, env_steps=i, entropy=float(i)) for i in range(5000)]
    line = charts.diagnostic_charts(many)[0]["lines"][0]
    assert len(line["xs"]) == charts.MOST_POINTS
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
        assert tables.with_interval(mean, width) == text
    assert tables.between(7.0, (6.5, 7.2)) == "7.00, 6.50 to 7.20"
    of_one_task = (float("nan"), float("nan"))
    assert tables.between(7.0, of_one_task) == "7.00"


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
    page = page_of(tmp_path, record, ablations=ABLATIONS)
    found = cells(page)
    assert ["Bayes-optimal", "9.00", "\N{MINUS SIGN}0.50 ± 0.25"] in found
    assert ["a fifth of the tasks get less than", "8.70, 8.60 to 8.80", ""] in found
    assert ["adaptive", "8.50", ""] in found
    assert ["random actions", "\N{MINUS SIGN}1.50", "10.00 ± 0.25"] in found
    assert ["rewards withheld", "5.50 ± 0.50", "\N{MINUS SIGN}3.00"] in found
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
    facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert facts["task family"] == "probe: arms 3, step cost 0.5"
    assert facts["policy"] == "adaptive, GRU of 8 units"
    assert facts["trained for"] == "40.0 k environment steps, 40 updates"
    assert facts["in"] == "40 s on 1 × cpu"
    assert facts["versions"] == "jax 1.2.3"


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
    assert [line["ys"] for line in lines] == [[2.0], [None]]


def test_four_agents_have_an_interquartile_mean_and_fewer_none():
    of_agents = {"total_return_iqm": 3.25, "total_return_iqm_interval95": (3.0, 3.5)}
    four = point({"learning_rate": 0.1}, range(4), [1.0, 2.0], 0.5, **of_agents)
    two = point({"learning_rate": 0.2}, [4, 5], [1.0, 2.0], 0.5)
    drawn = cells(tables.points_table([four, two]))
    assert drawn[0][-1] == "interquartile mean"
    assert [line[-1] for line in drawn[1:]] == ["3.25, 3.00 to 3.50", ""]
    assert "interquartile mean" not in tables.points_table([two])
