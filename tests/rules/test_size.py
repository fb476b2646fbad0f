"""Short functions, short files, few parameters, flat code: the measures of the architecture, counted in the syntax tree."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("server", "compiler", "schema", "resolvers", "models", "migrations")
MODULES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
LARGEST_FILE, USUAL_FILE = 400, 250
LONGEST_FUNCTION, USUAL_FUNCTION = 50, 25
MOST_PARAMETERS = 5
DEEPEST = 3
# They take the arguments of a connection, which are fixed by Relay.
MANY_PARAMETERS = {("models/page.py", "Page.read")}

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


@dataclass(frozen=True)
class Measured:
    """A function, where it stands, and its full name."""

    path: Path
    name: str
    node: Function

    @property
    def lines(self) -> int:
        """From its `def` (or the end of its signature's decorators) to its last line, inner functions included."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1

    @property
    def parameters(self) -> int:
        """What a caller passes: without self, cls, and an implementation's **rest."""
        given = self.node.args
        names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        return len([name for name in names if name not in ("self", "cls")])

    def __str__(self) -> str:
        return f"{self.path}:{self.node.lineno} {self.name}"


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), str(path))


def functions_in(path: Path, node: ast.AST, *names: str) -> Iterator[Measured]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield Measured(path, ".".join((*names, child.name)), child)
        named = isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        yield from functions_in(path, child, *names, *([child.name] if named else []))  # type: ignore[attr-defined]


FUNCTIONS = [function for path in MODULES for function in functions_in(path, tree(path))]


def depth(node: ast.AST) -> int:
    """How deep blocks stand in blocks; `elif` stands beside its `if`, and an inner function begins anew."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, depth(child) + (isinstance(child, BLOCKS) and not is_elif))
    return deepest


def usual(sizes: list[int]) -> int:
    """What nine of ten do not exceed."""
    return sorted(sizes)[ceil(len(sizes) * 0.9) - 1]


def test_there_is_something_to_measure() -> None:
    assert {path.parts[0] for path in MODULES} == set(FOLDERS)
    assert len(FUNCTIONS) > 100


def test_files_are_short() -> None:
    sizes = {str(path): len((ROOT / path).read_text().splitlines()) for path in MODULES}

    assert {path: size for path, size in sizes.items() if size > LARGEST_FILE} == {}
    assert usual(list(sizes.values())) <= USUAL_FILE


def test_functions_are_shorter() -> None:
    assert {str(each): each.lines for each in FUNCTIONS if each.lines > LONGEST_FUNCTION} == {}
    assert usual([each.lines for each in FUNCTIONS]) <= USUAL_FUNCTION


def takes_the_arguments_of_a_field(each: Measured) -> bool:
    """Whether it is the function of a field of Query, or of a part of it: its parameters are the field's arguments."""
    owner = each.name.rpartition(".")[0]
    return each.path.parent.name == "schema" and owner.endswith("Query") and each.node.decorator_list != []


def test_functions_take_few_parameters() -> None:
    exempt = {(str(each.path), each.name) for each in FUNCTIONS if takes_the_arguments_of_a_field(each)}

    many = {(str(each.path), each.name): each.parameters for each in FUNCTIONS if each.parameters > MOST_PARAMETERS}

    assert {where: count for where, count in many.items() if where not in exempt | MANY_PARAMETERS} == {}
    assert many.keys() >= MANY_PARAMETERS, "an exception that nobody needs"


def test_code_is_flat() -> None:
    assert {str(each): depth(each.node) for each in FUNCTIONS if depth(each.node) > DEEPEST} == {}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_says_first_what_lives_in_it(path: Path) -> None:
    module = tree(path)
    said = ast.get_docstring(module)

    if not module.body:
        return
    assert said is not None
    first, *rest = said.splitlines()
    assert first[0].isupper()
    assert first.endswith(".")
    assert not rest or rest[0] == ""


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_at_its_top_and_hides_no_cycle(path: Path) -> None:
    module = tree(path)

    imports = [node for node in ast.walk(module) if isinstance(node, (ast.Import, ast.ImportFrom))]
    hidden = [node for node in imports if node not in module.body]
    names = {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(module)
        if isinstance(node, (ast.Name, ast.Attribute))
    }

    assert [f"{path}:{node.lineno}" for node in hidden] == []
    assert "TYPE_CHECKING" not in names
    assert "import_module" not in names


def test_nobody_is_called_utils() -> None:
    refused = {"utils", "helpers", "common", "core", "manager", "base"}

    named = {part.removesuffix(".py") for path in MODULES for part in path.parts}

    assert named & refused == set()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f():\n if a:\n  pass\n elif b:\n  pass\n elif c:\n  pass", 1),
        ("def f():\n if a:\n  pass\n else:\n  if b:\n   x = 1\n  y = 2", 2),
        ("def f():\n for a in b:\n  with c:\n   try:\n    if d:\n     pass\n   finally:\n    pass", 4),
        ("def f():\n if a:\n  def g():\n   if b:\n    pass", 1),
    ],
)
def test_depth_is_what_a_reader_sees(source: str, found: int) -> None:
    (function,) = (
        functions_in(Path("f.py"), ast.parse(source))
        if source.count("def") == 1
        else [next(functions_in(Path("f.py"), ast.parse(source)))]
    )

    assert depth(function.node) == found


def test_nine_of_ten_is_counted_exactly() -> None:
    sizes = [*range(1, 11)]

    assert usual(sizes) == 9
    assert all(usual(sizes) >= usual(shorter) for shorter, sizes in pairwise([sizes[:n] for n in range(1, 11)]))
