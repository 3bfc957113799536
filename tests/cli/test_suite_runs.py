"""An environment of a suite by its name: trained, resumed, evaluated and checked without a file."""

import json
from pathlib import Path

from metarl_jax import Agent
from support.command_line import SMALL, assert_refused, metarl_here

CARTPOLE = ["gymnax:CartPole-v1", "--vary.gravity", "5,15", "--vary.length", "0.3,1.0"]
SHORT = ["--family.episode-length", "6", "--family.num-episodes", "2"]


def test_a_suites_environment_is_trained_resumed_and_evaluated(tmp_path: Path) -> None:
    begin = ["train", *CARTPOLE, *SHORT, *SMALL, "--out", "run"]
    result = metarl_here(*begin, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["experiment"] == "gymnax:CartPole-v1"
    assert config["family"]["vary"]["gravity"] == "5,15"
    again = metarl_here(*begin, "--or-resume", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    evaluated = metarl_here("evaluate", "run", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    assert (tmp_path / "run" / "report.html").exists()
    agent = Agent.load(tmp_path / "run")
    assert agent.interface.specification.observation.shape == (4,)


def test_check_takes_what_is_varied(tmp_path: Path) -> None:
    result = metarl_here("check", *CARTPOLE, *SHORT, cwd=tmp_path)
    assert result.returncode == 0 and "CartPole-v1 keeps the laws" in result.stdout
    wrong = metarl_here("check", "gymnax:CartPole-v1", "--vary.gravity", "15,5", cwd=tmp_path)
    assert_refused(wrong, "a range from low to high for gravity", "swap them")
    derived = metarl_here("check", "gymnax:CartPole-v1", "--vary.total-mass", "1,2", cwd=tmp_path)
    assert derived.returncode == 2
