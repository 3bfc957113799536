"""The source keeps the house's rules (tests/house_rules.py), and importing it stays cheap."""

import json
import statistics
import subprocess
import sys

import pytest

from support import house_rules
from support.house_rules import PACKAGES, RULES, Module

HEAVY = (
    "gymnax",
    "gymnasium",
    "mujoco",
    "orbax",
    "tyro",
    "rich",
    "matplotlib",
    "seaborn",
    "pandas",
)
MAX_IMPORT_SECONDS = 0.5


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_the_rule(rule, package):
    modules = house_rules.load_modules(package)
    assert modules, f"expected source files in {PACKAGES[package]}, found none"
    broken = [f"{module.name}: {what}" for module in modules for what in rule(module)]
    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)


def test_every_floor_is_inhabited_by_modules_that_exist():
    names = {module.name.split(".")[1] for module in house_rules.load_modules("metarl_jax")[1:]}
    assert set(house_rules.FLOORS) == names


DESIGN = house_rules.ROOT.parent / "shared" / "DESIGN.md"


def test_the_readme_draws_the_house_that_stands():
    drawn = house_rules.layout_of((house_rules.ROOT / "README.md").read_text(), "metarl_jax")
    assert [name.removesuffix(".py") for name in drawn] == list(house_rules.FLOORS)
    folder = PACKAGES["metarl_jax"]
    files = {path.name for path in folder.iterdir()} - {"__init__.py", "__pycache__", "py.typed"}
    assert set(drawn) == files


@pytest.mark.skipif(not DESIGN.exists(), reason="the design is not beside this checkout")
def test_the_design_and_the_readme_draw_one_house():
    designed = house_rules.layout_of(DESIGN.read_text(), "metarl_jax")
    drawn = house_rules.layout_of((house_rules.ROOT / "README.md").read_text(), "metarl_jax")
    assert set(designed) == set(drawn)


def test_a_layout_is_read_from_its_block():
    page = """The house

    top.toml
    house/        where we live
      a.py b.py     two rooms
      attic/        cold
    garden/       green
      tree.py
    """
    assert house_rules.layout_of(page, "house") == ["a.py", "b.py", "attic"]
    assert house_rules.layout_of(page, "garden") == ["tree.py"]


def test_no_module_imports_itself_through_others():
    modules = [module for package in PACKAGES for module in house_rules.load_modules(package)]
    assert house_rules.circles(modules) == []


SPECIMENS = (
    ("floors", "metarl_jax.policy.policy", "from metarl_jax.rollout import Rollout"),
    ("floors", "metarl_jax.tasks.distribution", "from metarl_jax.memory import Memory"),
    ("floors", "metarl_jax.memory.gru", "def f():\n    import metarl_jax.rollout"),
    ("floors", "metarl_jax.memory.gru", "from ..learning.losses import entropy_bonus"),
    ("floors", "metarl_jax.rollout", "from metarl_jax import tasks, Policy"),
    ("floors", "metarl_jax.newcomer", ""),
    ("floors", "metarl_envs.bandit", "from metarl_jax.rollout import collect"),
    ("floors", "metarl_envs.bandit", "from metarl_jax import collect"),
    ("confined_imports", "metarl_jax.learning.losses", "from flax import linen as nn"),
    ("confined_imports", "metarl_jax.learning.losses", "import flax\nlayer = flax.linen.Dense(3)"),
    ("confined_imports", "metarl_jax.training.train", "import optax"),
    ("confined_imports", "metarl_jax.training.train", "import orbax.checkpoint as ocp"),
    ("confined_imports", "metarl_envs.mouse", "from matplotlib import pyplot"),
    ("confined_imports", "metarl_jax.evaluation.evaluation", "import rich.console"),
    ("confined_imports", "metarl_jax.report.console", "import tyro"),
    ("environment_free", "metarl_jax.tasks.distribution", "from gymnax.environments import spaces"),
    ("environment_free", "metarl_jax.experiment.registry", "import metarl_envs.bandit"),
    ("environment_free", "metarl_jax.training.train", "from metarl_experiments import cli"),
    ("environment_free", "metarl_envs.mouse", "from metarl_experiments import cli"),
    ("forbidden", "metarl_jax.checkpoint.checkpoint", "import pickle"),
    ("forbidden", "metarl_jax.types", "import chex\n@chex.dataclass\nclass A: x: int"),
    ("forbidden", "metarl_jax.types", "from chex import dataclass"),
    ("forbidden", "metarl_jax.rollout", "import jax\nkey = jax.random.PRNGKey(0)"),
    ("forbidden", "metarl_experiments.cli", "x = eval('1')"),
    ("forbidden", "metarl_experiments.cli", "np.load(path, allow_pickle=True)"),
    ("small_files", "metarl_jax.types", "x = 1\n" * 351),
    ("small_functions", "metarl_jax.types", "def f():\n" + "    x = 1\n" * 45),
    ("flat_functions", "metarl_jax.types", "def a():\n def b():\n  def c():\n   def d(): return 1"),
    ("finished", "metarl_jax.types", "class A:\n    pass"),
    ("finished", "metarl_jax.types", "def f():\n    raise NotImplementedError"),
    ("finished", "metarl_jax.types", "def f():\n    '''Later.'''\n    ..."),
    ("finished", "metarl_jax.types", "x = 1  # TODO: two"),
    ("encoded", "metarl_jax.files", "path.read_text()"),
    ("encoded", "metarl_jax.files", "path.write_text(text)"),
    ("encoded", "metarl_jax.files", "with open('below', 'w') as file: file.write('x')"),
    ("encoded", "metarl_jax.files", "with path.open('x') as file: file.write('x')"),
)


@pytest.mark.parametrize(("rule", "name", "source"), SPECIMENS)
def test_rule_catches_what_breaks_it(rule, name, source):
    assert list(getattr(house_rules, rule)(Module(name, is_package=False, source=source)))


CIRCLES = (
    {"a": "import b", "b": "import a"},
    {"a": "import b", "b": "def f():\n    from c import x", "c": "from a import x"},
    {"a.b": "from a.c import x", "a.c": "from a import b"},
)


@pytest.mark.parametrize("sources", CIRCLES)
def test_circles_are_found(sources):
    modules = [Module(name, is_package=False, source=source) for name, source in sources.items()]
    assert house_rules.circles(modules) == [tuple(sources)]


def test_a_chain_is_no_circle():
    sources = {"a": "import b", "b": "import c", "c": "import jax"}
    modules = [Module(name, is_package=False, source=source) for name, source in sources.items()]
    assert house_rules.circles(modules) == []


KEPT = (
    ("floors", "metarl_jax.policy.policy", "from metarl_jax.memory.gru import gru"),
    ("floors", "metarl_jax.memory.gru", "from metarl_jax.memory.base import Memory"),
    ("floors", "metarl_jax.learning.losses", "from metarl_jax import rollout"),
    ("floors", "metarl_envs.bandit", "from metarl_jax.policy.policy import Policy"),
    ("floors", "benchmarks", "from metarl_jax import collect"),
    ("confined_imports", "metarl_jax.memory.gru", "import flax.linen as nn"),
    ("confined_imports", "metarl_jax.learning.losses", "from flax import struct"),
    ("confined_imports", "metarl_jax.report.live_view", "import rich.console"),
    ("forbidden", "metarl_jax.types", "import dataclasses\n@dataclasses.dataclass\nclass A: x = 1"),
    ("small_files", "metarl_jax.types", "x = 1\n" * 350),
    ("small_functions", "metarl_jax.types", "def f():\n  '''A.\n\n  B.'''\n" + "  x = 1\n" * 44),
    ("flat_functions", "metarl_jax.types", "def a():\n def b():\n  def c(): return 1"),
    ("finished", "metarl_jax.types", "class A(Protocol):\n    def f(self): ..."),
    ("finished", "metarl_jax.types", "class A(Protocol[T]):\n    def f(self):\n        '''F.'''"),
)


@pytest.mark.parametrize(("rule", "name", "source"), KEPT)
def test_rule_lets_the_lawful_pass(rule, name, source):
    assert not list(getattr(house_rules, rule)(Module(name, is_package=False, source=source)))


# The three are imported first: what is measured is what metarl_jax adds to them, in seconds of
# processor time, which other processes do not lengthen.
MEASURE_IMPORT = """
import json, sys, time
import flax, jax, optax
before = set(sys.modules)
start = time.process_time()
import metarl_jax
seconds = time.process_time() - start
print(json.dumps([seconds, sorted({name.split(".")[0] for name in set(sys.modules) - before})]))
"""


def test_import_is_cheap():
    runs = []
    for _ in range(3):
        command = [sys.executable, "-c", MEASURE_IMPORT]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        runs.append(json.loads(output.stdout))
    loaded = [library for library in HEAVY if library in runs[0][1]]
    assert not loaded, f"`import metarl_jax` imports {loaded}: import them where they are used"
    seconds = statistics.median(seconds for seconds, _ in runs)
    assert seconds <= MAX_IMPORT_SECONDS, f"`import metarl_jax` adds {seconds:.2f} s"
