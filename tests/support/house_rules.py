"""The house's rules, each a function from a module of the source to what breaks it there.

They read the source and import none of it, so that a rule holds for an import inside a function, or
under `TYPE_CHECKING`, as for one at the top.
"""

import ast
import dataclasses
import functools
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = {
    "metarl_jax": ROOT / "metarl_jax",
    "metarl_envs": ROOT / "envs" / "metarl_envs",
    "metarl_experiments": ROOT / "experiments" / "metarl_experiments",
}
PACKAGES = SHIPPED | {
    "benchmarks": ROOT / "experiments" / "benchmarks",
    "system_checks": ROOT / "experiments" / "system_checks",
}

# A folder of metarl_jax (or a file beside them) imports only from those named before it. `__init__`
# of metarl_jax is the front door: it may import everything, and nothing inside uses it.
FLOORS = (
    "types",
    "trees",
    "files",
    "checks",
    "parallel",
    "tasks",
    "memory",
    "policy",
    "rollout",
    "learning",
    "evaluation",
    "checkpoint",
    "training",
    "experiment",
    "agent",
    "report",
    "run",
)
TASK_FAMILY_FLOORS = FLOORS[: FLOORS.index("rollout")]  # what metarl_envs may import

# What may be imported in one place only, and that place.
OUTSIDE_THE_FRAMEWORK = ("metarl_experiments", "benchmarks", "system_checks")
CONFINED = {
    "flax.linen": ("metarl_jax.memory", "metarl_jax.policy"),
    "matplotlib": ("metarl_jax.report", "metarl_jax.training", *OUTSIDE_THE_FRAMEWORK),
    "optax": ("metarl_jax.learning",),
    "orbax": ("metarl_jax.checkpoint",),
    "rich": ("metarl_jax.report", "metarl_jax.training", *OUTSIDE_THE_FRAMEWORK),
    "tyro": ("metarl_jax.training", *OUTSIDE_THE_FRAMEWORK),
}
# What a package must not know of.
UNKNOWN = {
    "metarl_jax": (
        *("metarl_envs", *OUTSIDE_THE_FRAMEWORK),
        *("gymnax", "gymnasium", "mujoco", "brax"),
    ),
    "metarl_envs": OUTSIDE_THE_FRAMEWORK,
    "metarl_experiments": ("benchmarks", "system_checks"),
}
PICKLES = "metarl_envs.adapters.ruleset_files"
"""The one module that reads a file of pickles, and lets nothing but arrays through."""
FORBIDDEN_MODULES = ("pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib")
FORBIDDEN_NAMES = ("chex.dataclass", "jax.pmap", "jax.random.PRNGKey")

MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 45
MAX_DEFS_AROUND_A_DEF = 2
NOTE_TO_SELF = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


@dataclasses.dataclass(frozen=True)
class Module:
    """One source file.

    Attributes:
        name: its import name, "metarl_jax.memory.gru"; that of the package for an `__init__.py`.
        is_package: whether it is an `__init__.py`.
        source: its text.
    """

    name: str
    is_package: bool
    source: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.source)

    @property
    def package(self) -> str:
        """The name of the distribution's package it belongs to, such as "metarl_jax"."""
        return self.name.split(".")[0]

    @functools.cached_property
    def imports(self) -> tuple[tuple[str, int], ...]:
        """Every (imported dotted name, line); `from a import b` gives "a.b"."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(alias.name, node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                found += [(f"{base}.{alias.name}", node.lineno) for alias in node.names]
        return tuple(found)

    def _absolute(self, node: ast.ImportFrom) -> str:
        """The dotted name after `from`, a relative one made absolute."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join(parts + ([node.module] if node.module else []))


@functools.cache
def load_modules(name: str) -> tuple[Module, ...]:
    """All modules of one of the distribution's packages."""
    modules = []
    for path in sorted(PACKAGES[name].rglob("*.py")):
        parts = [name, *path.relative_to(PACKAGES[name]).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        dotted = ".".join(parts[:-1] if is_package else parts)
        modules.append(Module(dotted, is_package, path.read_text(encoding="utf-8")))
    return tuple(modules)


def _within(name: str, places: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the places or lies inside one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def floors(module: Module) -> Iterator[str]:
    """metarl_jax imports downwards only; metarl_envs sees what lies below `rollout`."""
    if module.package not in ("metarl_jax", "metarl_envs") or module.name == "metarl_jax":
        return
    own = module.name.split(".")[1] if module.package == "metarl_jax" else None
    if own is not None and own not in FLOORS:
        yield f"'{own}' is on no floor: give it one in FLOORS of tests/support/house_rules.py"
        return
    visible = TASK_FAMILY_FLOORS if own is None else FLOORS[: FLOORS.index(own) + 1]
    for imported, line in module.imports:
        if not _within(imported, ("metarl_jax",)):
            continue
        other = (imported.split(".") + [""])[1]
        if other not in visible:
            yield f"line {line}: imports {imported}: expected one of {', '.join(visible)}"


def circles(modules: Sequence[Module]) -> list[tuple[str, ...]]:
    """Groups of modules that import each other, directly or through others of the group.

    An import inside a function counts as one at the top does.
    """
    names = {module.name for module in modules}
    imports = {module.name: _imported_modules(module, names) for module in modules}
    reached = {name: _reachable(name, imports) for name in names}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in names
        if name in reached[name]
    }
    return sorted(groups)


def _reachable(name: str, imports: Mapping[str, set[str]]) -> set[str]:
    """What a module imports, directly or through others."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        new = imports[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def _imported_modules(module: Module, names: set[str]) -> set[str]:
    """The modules that one imports, of those named."""
    found = set()
    for imported, _ in module.imports:
        while imported and imported not in names:
            imported = imported.rpartition(".")[0]
        found.add(imported)
    return found - {"", module.name}


def layout_of(text: str, package: str) -> list[str]:
    """The names that an indented block of a page gives to the inside of a package, in its order.

    Args:
        text: the page; a line `PACKAGE/` opens the block, and deeper lines are its inside. A line
            may name several, as in `trees.py files.py checks.py    what they are`.
        package: the folder's name.
    """
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{package}/ "))
    outer = _indent(lines[start])
    names: list[str] = []
    for line in lines[start + 1 :]:
        if not line.strip() or _indent(line) <= outer:
            break
        named = re.split(r"\s{2,}", line.strip())[0]
        names += [name.rstrip("/") for name in named.split()]
    return names


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def confined_imports(module: Module) -> Iterator[str]:
    """A library that is confined to one place is imported there only."""
    for library, places in CONFINED.items():
        lines = [line for imported, line in module.imports if _within(imported, (library,))]
        lines += [n.lineno for n in _attributes(module.tree) if _dotted(n) == library]
        if lines and not _within(module.name, places):
            yield f"line {lines[0]}: {library} is for {', '.join(places)} only"


def environment_free(module: Module) -> Iterator[str]:
    """The framework knows no environment; task families know no experiment."""
    for imported, line in module.imports:
        if _within(imported, UNKNOWN.get(module.package, ())):
            yield f"line {line}: {module.package} imports {imported}"


def forbidden(module: Module) -> Iterator[str]:
    """No pickles, no evaluated strings, no mutable dataclasses, no pmap, no untyped keys."""
    for imported, line in module.imports:
        if module.name == PICKLES and imported == "pickle":
            continue
        if _within(imported, FORBIDDEN_MODULES + FORBIDDEN_NAMES):
            yield f"line {line}: {imported}"
    for attribute in _attributes(module.tree):
        if _dotted(attribute) in FORBIDDEN_NAMES:
            yield f"line {attribute.lineno}: {_dotted(attribute)}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("eval", "exec"):
            yield f"line {node.lineno}: {ast.unparse(node.func)}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield f"line {node.value.lineno}: allow_pickle"


def small_files(module: Module) -> Iterator[str]:
    """A file is read in one sitting."""
    lines = len(module.source.splitlines())
    if lines > MAX_FILE_LINES:
        yield f"{lines} lines, at most {MAX_FILE_LINES}: split it"


def small_functions(module: Module) -> Iterator[str]:
    """A function fits a screen, its docstring not counted."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _body_lines(node)
            if lines > MAX_FUNCTION_LINES:
                yield f"line {node.lineno}: {node.name} has {lines} of {MAX_FUNCTION_LINES} lines"


def flat_functions(module: Module) -> Iterator[str]:
    """A `def` has at most two others around it."""

    def visit(node: ast.AST, around: int) -> Iterator[str]:
        is_def = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_def and around > MAX_DEFS_AROUND_A_DEF:
            yield f"line {node.lineno}: {node.name} has {around} defs around it"
        for child in ast.iter_child_nodes(node):
            yield from visit(child, around + is_def)

    yield from visit(module.tree, 0)


def finished(module: Module) -> Iterator[str]:
    """Nothing is left for later: no stub, no `pass`, no note to oneself."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Pass):
            yield f"line {node.lineno}: pass"
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            yield f"line {node.lineno}: NotImplementedError"
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type == tokenize.COMMENT and NOTE_TO_SELF.search(token.string):
            yield f"line {token.start[0]}: {token.string}"
    yield from _empty_functions(module.tree, in_protocol=False)


def _empty_functions(node: ast.AST, in_protocol: bool) -> Iterator[str]:
    """Functions that consist of `...`, but for what a Protocol or an abstract class declares."""
    if isinstance(node, ast.ClassDef):
        bases = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        in_protocol = any(ast.unparse(base).endswith("Protocol") for base in bases)
    if isinstance(node, ast.FunctionDef) and not (in_protocol or _is_abstract(node)):
        body = node.body[1:] if ast.get_docstring(node) else node.body
        if all(isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in body):
            yield f"line {node.lineno}: {node.name} has no body"
    for child in ast.iter_child_nodes(node):
        yield from _empty_functions(child, in_protocol)


def encoded(module: Module) -> Iterator[str]:
    """Text files are UTF-8, whatever the locale of the process."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or _dotted(node.func) in ("os.open", "Image.open"):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = [a.value for a in node.args if isinstance(a, ast.Constant)]
        binary = any(re.fullmatch("[rwxa+]*b[rwxa+]*", str(value)) for value in given)
        named = "encoding" in {keyword.arg for keyword in node.keywords}
        if name in ("open", "read_text", "write_text") and not binary and not named:
            yield f"line {node.lineno}: {name} without an encoding"


def _is_abstract(node: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator) == "abstractmethod" for decorator in node.decorator_list)


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, docstring not counted."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node):
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def _attributes(tree: ast.AST) -> Iterator[ast.Attribute]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def _dotted(node: ast.AST) -> str:
    """ "jax.random.key" of that expression; "" of one that is no dotted name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and _dotted(node.value):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    floors,
    confined_imports,
    environment_free,
    forbidden,
    small_files,
    small_functions,
    flat_functions,
    finished,
    encoded,
)
