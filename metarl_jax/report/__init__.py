"""What a person sees of a run: lines and a live view on the console, figures, and a page.

matplotlib and rich are imported by what draws with them, when it does. `page/` holds the page's
template, its style, and the scripts that draw the data written into it.
"""

from metarl_jax.report.figures import adaptation_figure, learning_figure
from metarl_jax.report.panels import behaviour_figure
from metarl_jax.report.replay import replay_data
from metarl_jax.report.run_report import write_points_report, write_report
from metarl_jax.report.style import save_figure
from metarl_jax.report.verdict import verdict

__all__ = [
    "adaptation_figure",
    "behaviour_figure",
    "learning_figure",
    "replay_data",
    "save_figure",
    "verdict",
    "write_points_report",
    "write_report",
]
