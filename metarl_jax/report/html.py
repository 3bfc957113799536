"""A run's report as one page that needs nothing beside it: data in, HTML out.

The page's own script draws the curves and the replay from the data within it. Its content security
policy lets nothing be loaded, and nothing run but that script and that style, told by their hashes.
"""

import base64
import dataclasses
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from metarl_jax.files import jsonable
from metarl_jax.report import style
from metarl_jax.report.chart import Chart, page_data
from metarl_jax.report.style import ROLE_COLOURS

SCRIPTS = ("marks.js", "charts.js", "stage.js", "timeline.js", "replay.js", "main.js")
DARK = {
    "ink": "#E6EAEE",
    "muted": "#98A3AC",
    "accent": "#5CB3EE",
    "sky": "#4A8FBF",
    "green": "#2EC196",
    "vermilion": "#F0854A",
    "purple": "#DE97BF",
}
"""The style's colours on a dark ground."""
GROUNDS = {
    "ground": ("#F7F8F9", "#101418"),
    "card": ("#FFFFFF", "#181D22"),
    "faint": (style.FAINT, "#2B333A"),
    "wall": (ROLE_COLOURS["wall"], "#8B969E"),
    "goal": (ROLE_COLOURS["goal"], ROLE_COLOURS["goal"]),
    "start": (ROLE_COLOURS["start"], "#4A555E"),
    "seen": (ROLE_COLOURS["seen"], "#26394A"),
    "unseen": (ROLE_COLOURS["floor"], "#20262C"),
    "hollow": ("#C3CBD1", "#4A555E"),
}
"""What curves have no part in, light and dark."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes:
        name: its anchor.
        title: its heading.
        note: a sentence or two below it, "" for none.
        charts: large ones.
        small_charts: beside each other.
        tables: HTML by title; those without HTML are left out.
        facts: names and texts.
        folded: more of these by title, each shown when that is opened.
    """

    name: str
    title: str
    note: str = ""
    charts: Sequence[Chart] = ()
    small_charts: Sequence[Chart] = ()
    tables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    folded: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a page tells of a run.

    Attributes:
        title: whose it is.
        lead: a sentence below it.
        headline: the few numbers that a reader wants first.
        sections: in their order.
        replay: of `replay_data`; None for none. It stands before the section "learning".
    """

    title: str
    lead: str
    headline: Mapping[str, str]
    sections: Sequence[Section]
    replay: Mapping[str, Any] | None = None


def report_page(report: Report) -> str:
    """The whole page, HTML in UTF-8 without a reference to anything outside."""
    sections = []
    for section in report.sections:
        if section.name == "learning" and report.replay is not None:
            recorded = str(report.replay["recorded"])
            sections.append(Template(_read("replay.html")).substitute(recorded=recorded))
        sections.append(_section(section))
    look = _palette() + _read("style.css")
    script = "(() => {\n'use strict';\n" + "\n".join(map(_read, SCRIPTS)) + "})();"
    return Template(_read("template.html")).substitute(
        policy=_policy(script, look),
        title=html.escape(report.title),
        lead=html.escape(report.lead),
        headline=_facts(report.headline, "headline"),
        main="\n".join(sections),
        style=look,
        data=_data(report),
        script=script,
    )


def _section(section: Section) -> str:
    parts = [
        f'<section id="{section.name}" aria-labelledby="{section.name}-title">',
        f'<h2 id="{section.name}-title">{html.escape(section.title)}</h2>',
    ]
    if section.note:
        parts.append(f'<p class="note">{html.escape(section.note)}</p>')
    if section.facts:
        folded = "".join(
            f"<details><summary>{html.escape(title)}</summary>{_facts(facts, 'facts')}</details>"
            for title, facts in section.folded.items()
            if facts
        )
        parts.append(f'<div class="card">{_facts(section.facts, "facts")}{folded}</div>')
    for charts, kind in ((section.charts, "charts"), (section.small_charts, "charts small")):
        if charts:
            parts.append(f'<div class="{kind}">{"".join(map(_figure, charts))}</div>')
    for title, table in section.tables.items():
        if table:
            heading = f"<h3>{html.escape(title)}</h3>" if title else ""
            parts.append(f"{heading}{table}")
    return "\n".join([*parts, "</section>"])


def _figure(chart: Chart) -> str:
    return (
        f'<figure class="chart card"><figcaption>{html.escape(chart.title)}</figcaption>'
        f'<div class="plot" role="img" aria-label="{html.escape(chart.words())}" '
        f'data-chart="{chart.name}"></div></figure>'
    )


def _facts(facts: Mapping[str, str], kind: str) -> str:
    entries = (
        f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>"
        for name, text in facts.items()
    )
    return f'<dl class="{kind}">{"".join(entries)}</dl>'


def _data(report: Report) -> str:
    """The page's data; no `<` in it can end its element."""
    drawn = [chart for s in report.sections for chart in (*s.charts, *s.small_charts)]
    content = {"charts": {chart.name: page_data(chart) for chart in drawn}, "replay": report.replay}
    text = json.dumps(jsonable(content), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _palette() -> str:
    """The colours as variables, each in its light and its dark version."""
    pairs = {name: (light, DARK[name]) for light, name in style.NAMED_COLOURS.items()} | GROUNDS
    lines = (f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in pairs.items())
    return f":root {{ {' '.join(lines)} }}\n"


def _policy(script: str, look: str) -> str:
    """The content security policy: nothing but this script and this style."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(look)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    return files("metarl_jax.report").joinpath("page", name).read_text(encoding="utf-8")
