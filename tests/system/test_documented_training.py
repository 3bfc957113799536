"""docs/training.md as it stands: a run from Python learns, is drawn and goes on; an agent acts."""

import pathlib
import re
import runpy

import pytest

from metarl_jax import Agent

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "training.md"
FIRST, *OTHERS = re.findall(
    r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL
)


def run_script(code: str, folder: pathlib.Path, **names: object) -> dict[str, object]:
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    return runpy.run_path(str(script), init_globals=names)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, dict[str, object]]:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        return folder, run_script(FIRST, folder)


def test_the_first_script_learns_goal_grid_3_in_fifteen_lines(played) -> None:
    """To 16.0 of the optimum's 16.16, with its curve drawn and a million steps more."""
    folder, names = played
    assert len([line for line in FIRST.splitlines() if line.strip()]) <= 15
    result = names["result"]
    assert result.evaluation.total_return_mean >= 16.0
    assert (folder / "adaptation.png").stat().st_size > 10_000
    assert result.rows[-1].env_steps >= 5_000_000
    assert Agent.load(folder / "runs" / "grid").update == result.rows[-1].update


def test_the_others_build_what_they_say(played, tmp_path: pathlib.Path) -> None:
    _, names = played
    made = run_script("\n".join(OTHERS), tmp_path, **names)
    state = made["algorithm"].init(made["jax"].random.key(0), 500)
    assert state.learner.loss_params[1].shape == (64, 9)  # features, and the goal as one-hot
