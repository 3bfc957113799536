"""The report in a browser: it loads whole and alone, it plays, it seeks, it can be read.

Screenshots are left in $METARL_SCREENSHOTS, or in pytest's folder for this module.
"""

import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image

from metarl_jax.evaluation.ablated import Ablated
from metarl_jax.evaluation.record import ReferenceTotals
from metarl_jax.report import style
from metarl_jax.report.html import GROUNDS
from metarl_jax.report.replay import replay_data
from metarl_jax.report.run_report import write_report
from support.browser import chromium, screenshots_folder
from support.invented_runs import (
    EPISODES,
    MOVES,
    REFERENCES,
    STEPS,
    bare,
    body,
    choices,
    empty,
    evaluation,
    family,
    field,
    plane,
    recording,
    series,
    write_run,
)

SCENES = {"plane": plane, "body": body, "choices": choices}
PLAIN_SCENES = {"series": series, "empty": empty, "bare": bare, "field": field}
FRAMES = {"plane": EPISODES * (STEPS + 1), "body": EPISODES * (STEPS + 1), "choices": 13}
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 720}


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A report for each kind of scene, with everything that a report can hold."""
    found = {}
    widths = [0.1, 0.2, 0.3]
    ablations = {
        "fresh memory every episode": Ablated(
            evaluation("adaptive", [1.9, 1.8, 1.8], widths), -3.0, 0.1
        ),
        "rewards withheld": Ablated(evaluation("adaptive", [1.9, 2.2, 2.4], widths), -2.0, 0.2),
    }
    known = ReferenceTotals(random=-1.5, optimal=9.0)
    record = evaluation(
        "adaptive", [1.9, 3.2, 3.4], widths, references=known, normalized_score=0.95
    )
    baselines = [evaluation("memoryless", [2.0, 2.0, 2.0], [0.1, 0.1, 0.1])]
    others = {"baselines": baselines, "ablations": ablations}
    for name, scene in (SCENES | PLAIN_SCENES).items():
        folder = tmp_path_factory.mktemp(name)
        write_run(folder)
        replay = replay_data(family(scene), recording())
        found[name] = write_report(folder, record, REFERENCES, replay=replay, **others)
    return found


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    return screenshots_folder(tmp_path_factory.mktemp("screenshots"))


@pytest.fixture
def opened(browser, reports):
    """Opens a report, offline; at the end nothing was asked for and nothing complained."""
    contexts, said, asked = [], [], []

    def look(name, viewport=DESK, **options):
        context = browser.new_context(viewport=viewport, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(reports[name].as_uri())
        return page

    yield look
    for context in contexts:
        context.close()
    assert said == []
    own = {path.as_uri() for path in reports.values()}
    assert [url for url in asked if url not in own and not url.startswith("data:")] == []


@pytest.mark.parametrize("name", PLAIN_SCENES)
def test_a_scene_may_hold_little(opened, name):
    page = opened(name)
    page.keyboard.press("End")
    assert words(page) == f"episode {EPISODES} of {EPISODES}, step {STEPS} of {STEPS}"
    assert page.locator("#stage").is_visible() == (name != "series")
    assert page.locator("#timeline").is_visible()


def stage(page):
    """The stage's pixels, as text."""
    return page.evaluate("document.getElementById('stage').toDataURL()")


def timeline(page):
    return page.evaluate("document.getElementById('timeline').toDataURL()")


def position(page):
    return int(page.locator("#position").input_value())


def wait_until_beyond(page, frame):
    """The page's policy forbids what playwright would wait with: evaluated strings."""
    for _ in range(500):
        if position(page) > frame:
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"still at {position(page)}, not beyond {frame}")


def words(page):
    return page.locator("#position").get_attribute("aria-valuetext")


def now(page):
    """What is told of the moment, by name."""
    names = page.locator("#now dt").all_inner_texts()
    return dict(zip(names, page.locator("#now dd").all_inner_texts(), strict=True))


@pytest.mark.parametrize("name", SCENES)
def test_it_loads_whole(opened, name, shots):
    page = opened(name)
    assert page.locator("h1").inner_text() == "probe"
    for plot in page.locator("[data-chart]").all():
        assert plot.locator("svg path").count() > 0
        assert "Line chart" in plot.get_attribute("aria-label")
    assert page.locator("[data-chart]").count() == 7
    assert int(page.locator("#position").get_attribute("max")) == FRAMES[name] - 1
    assert page.locator("#stage").bounding_box()["height"] > 100
    page.locator("#position").fill(str(FRAMES[name] // 2))
    page.screenshot(path=shots / f"{name}.png", full_page=True)


@pytest.mark.parametrize("name", ["plane", "choices"])
def test_play_goes_on_and_pause_stops(opened, name):
    page = opened(name)
    first = stage(page), timeline(page)
    page.get_by_label("Speed").select_option("4")
    page.get_by_role("button", name="Play").click()
    wait_until_beyond(page, 2)
    page.get_by_role("button", name="Pause").click()
    stopped = position(page), stage(page)
    assert stage(page) != first[0] and timeline(page) != first[1]
    page.wait_for_timeout(150)
    assert (position(page), stage(page)) == stopped
    page.get_by_role("button", name="Play").click()
    wait_until_beyond(page, FRAMES[name] - 2)
    page.get_by_role("button", name="Play").wait_for()  # it stops by itself
    assert now(page)["return so far"] == "49.2"  # 12 steps of 4, and 0.4, and 0.8


def test_the_slider_seeks(opened):
    page = opened("plane")
    assert words(page) == f"episode 1 of {EPISODES}, step 0 of {STEPS}"
    seen = {stage(page)}
    page.locator("#position").fill(str(STEPS + 3))
    assert words(page) == f"episode 2 of {EPISODES}, step 2 of {STEPS}"
    assert now(page)["return so far"] == "24.2"  # 4 of 4, then 2 of 4.1
    assert now(page)["this episode"] == "8.20"
    seen.add(stage(page))
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 10, box["y"] + 30)
    assert position(page) == FRAMES["plane"] - 1
    seen.add(stage(page))
    assert len(seen) == 3


def picture(page):
    """[height, width, 3] red, green and blue of the stage's pixels."""
    shot = page.locator("#stage").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def rgb(name):
    return [int(name[i : i + 2], 16) for i in (1, 3, 5)]


def colours(drawn, x, y):
    """Of the pixels around a place in a plane of 3 by 3 cells."""
    side = len(drawn) / 3
    row, column = round((3 - y) * side), round(x * side)
    return drawn[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3).tolist()


def test_the_plane_shows_what_was_seen_and_what_was_run_into(opened):
    """Every cell at a corner that no way leads over, and every wall, at each episode's end."""
    page, of, median = opened("plane"), recording(), 4
    unseen, seen = (rgb(GROUNDS[name][0]) for name in ("unseen", "seen"))
    visited, marks = {(0, 0)}, 0
    for episode in range(EPISODES):
        steps = range(episode * STEPS, (episode + 1) * STEPS)
        visited |= {tuple(of.after[t, median].tolist()) for t in steps}
        page.locator("#position").fill(str((episode + 1) * (STEPS + 1) - 1))
        drawn = picture(page)
        for x, y in {(x, y) for x in range(3) for y in range(3)} - {(0, 0), (2, 2)}:
            wanted = seen if (x, y) in visited else unseen
            assert wanted in colours(drawn, x + 0.12, y + 0.2), (x, y)
        for t in steps:
            before, after = of.before[t, median], of.after[t, median]
            if np.array_equal(before, after):
                x, y = before + 0.5 + 0.46 * MOVES[of.actions[t, median]]
                assert rgb(style.VERMILION) in colours(drawn, x, y), (x, y)
                marks += 1
    assert len(visited) > 3 and marks > 0


def test_a_continuous_plane_shows_what_was_seen(opened):
    """Within 0.45 of the way, a goal of radius 0.35 as soon as it is, and an arrow."""
    page, of, median = opened("field"), recording(), 4
    unseen, seen, goal = (rgb(GROUNDS[name][0]) for name in ("unseen", "seen", "goal"))
    drawn = picture(page)
    assert seen in colours(drawn, 0.5, 0.85) and unseen in colours(drawn, 0.5, 1.05)
    assert rgb(style.VERMILION) in colours(drawn, 0.6, 2.6)  # the arrow
    assert unseen in colours(drawn, 2.5, 2.5)  # the goal, not found yet
    page.locator("#position").press("End")
    drawn = picture(page)
    ways = np.concatenate([of.before[:, median], of.after[-1:, median]]) + 0.5
    assert (goal in colours(drawn, 2.5, 2.5)) == bool(np.any(np.all(ways == 2.5, axis=1)))
    for x, y in {tuple(place) for place in ways.tolist()} - {(2.5, 2.5)}:
        assert seen in colours(drawn, x - 0.3, y + 0.2), (x, y)


def test_ticks_do_not_overlap_and_diagnostics_have_three(opened):
    for viewport in (DESK, PHONE):
        page = opened("plane", viewport)
        for plot in page.locator("[data-chart]").all():
            # Ticks of y end left of the chart; those of x stand in one row.
            boxes = [text.bounding_box() for text in plot.locator("text[text-anchor=end]").all()]
            ticks = sorted(box["y"] for box in boxes[:-1])  # the last names the other axis
            assert len(ticks) >= 3 and np.diff(ticks).min() >= 12
            row = [text.bounding_box() for text in plot.locator("text[text-anchor=middle]").all()]
            for before, after in itertools.pairwise(row):
                assert before["x"] + before["width"] <= after["x"]


def test_settings_unfold_and_a_wide_table_shows_that_it_scrolls(opened):
    page = opened("plane", PHONE)
    assert not page.get_by_text("memory.hidden_size").is_visible()
    page.get_by_text("All settings").click()
    assert page.get_by_text("memory.hidden_size").is_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth") == PHONE["width"]
    table = page.locator("#numbers .scrolls").first
    reach = table.evaluate("(table) => [table.scrollWidth, table.clientWidth]")
    assert reach[0] > reach[1]

    def edge():
        """How much darker the right edge is than the card."""
        shot = Image.open(io.BytesIO(table.screenshot())).convert("L")
        middle = np.asarray(shot)[12:-12]
        return int(middle[:, len(middle[0]) // 2].max()) - int(np.median(middle[:, -4]))

    assert edge() > 20
    table.evaluate("(table) => { table.scrollLeft = table.scrollWidth; }")
    assert edge() < 5


def test_choices_are_counted(opened):
    """Heights of the columns of "times chosen", read off the picture, are as the counts."""
    page, of = opened("choices"), recording()
    page.locator("#position").press("End")
    drawn = picture(page)
    width = drawn.shape[1]
    counts = np.bincount(of.actions[:, 4], minlength=4)
    heights = []
    for choice in range(4):
        x = 2 + (width - 4) / 4 * (choice + 0.5) - 18  # beside the number above the column
        column = drawn[206:274, round(x)]
        heights.append(np.count_nonzero(np.any(column != rgb(GROUNDS["card"][0]), axis=-1)))
    np.testing.assert_allclose(heights / np.max(heights), counts / counts.max(), atol=0.05)
    assert len(set(counts)) > 1


def test_the_episodes_begin_at_the_ticks(opened):
    page = opened("plane")
    slider = page.locator("#position").bounding_box()
    ticks = [tick.bounding_box()["x"] for tick in page.locator("#ticks i").all()]
    per_frame = (slider["width"] - 16) / (FRAMES["plane"] - 1)
    wanted = [slider["x"] + 8 + (e * (STEPS + 1) - 0.5) * per_frame for e in (1, 2)]
    assert ticks == pytest.approx(wanted, abs=1.5)


def test_the_choice_changes_the_task(opened):
    page = opened("plane")
    assert page.get_by_label("Task", exact=True).locator("option").all_inner_texts() == [
        "Best: return 97.2",
        "Upper quarter: return 73.2",
        "Median: return 49.2",
        "Lower quarter: return 25.2",
        "Worst: return 1.20",
    ]
    assert page.locator("#task-words").inner_text() == "plane 4"
    page.keyboard.press("End")
    before = stage(page)
    page.get_by_label("Task", exact=True).select_option("0")
    assert page.locator("#task-words").inner_text() == "plane 8"
    assert position(page) == 0
    page.locator("#position").press("End")
    assert stage(page) != before
    assert now(page)["return so far"] == "97.2"


def test_keys_are_enough(opened):
    page = opened("body")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert position(page) == 1
    page.keyboard.press("]")
    assert words(page) == f"episode 2 of {EPISODES}, step 0 of {STEPS}"
    page.keyboard.press("[")
    assert position(page) == 0
    page.locator("#position").focus()
    page.keyboard.press("ArrowRight")  # a key that the slider knows too: one step, not two
    assert position(page) == 1
    page.keyboard.press(" ")
    wait_until_beyond(page, 1)
    page.keyboard.press(" ")
    assert page.get_by_role("button", name="Play").count() == 1
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"play", "step", "step-back", "next-episode", "previous-episode", "speed"} <= reached


def test_dark_and_light(opened, shots):
    def ground(page):
        found = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return [int(x) for x in re.findall(r"\d+", found)]

    pages = {scheme: opened("plane", color_scheme=scheme) for scheme in ("light", "dark")}
    assert min(ground(pages["light"])) > 200 and max(ground(pages["dark"])) < 60
    drawn = {scheme: stage(page) for scheme, page in pages.items()}
    assert drawn["light"] != drawn["dark"]
    pages["dark"].screenshot(path=shots / "dark.png", full_page=True)
    for page, scheme in ((pages["dark"], "light"), (pages["light"], "dark")):
        page.get_by_role("button", name="Change between light and dark").click()
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert min(ground(pages["dark"])) > 200
    assert (stage(pages["dark"]), stage(pages["light"])) == (drawn["light"], drawn["dark"])


@pytest.mark.parametrize("name", SCENES)
def test_a_phone_shows_it_without_sideways_scrolling(opened, name, shots):
    page = opened(name, PHONE, device_scale_factor=2)
    assert page.evaluate("document.scrollingElement.scrollWidth") == PHONE["width"]
    page.locator("#position").fill(str(FRAMES[name] // 2))
    for part in ("#stage", "#timeline", "#position", "#play"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    assert page.locator("#play").bounding_box()["height"] >= 40  # a thumb's width
    page.screenshot(path=shots / f"{name}-phone.png", full_page=True)


def test_motion_is_reduced_where_that_is_wished(opened):
    """Between two steps the picture stands still instead of gliding."""
    pictures = """async () => {
        const [stage, slider] = ['stage', 'position'].map((id) => document.getElementById(id));
        const seen = new Set();
        document.getElementById('play').click();
        while (slider.value < 2) {
            await new Promise(requestAnimationFrame);
            if (slider.value == 1) seen.add(stage.toDataURL());
        }
        return seen.size;
    }"""
    assert opened("body", reduced_motion="reduce").evaluate(pictures) == 1
    assert opened("body").evaluate(pictures) > 1
