"""Nothing of a message becomes code: what could make it so does not occur on its way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import warren
import warren.networks
import worker

ROOT = Path(warren.__file__).parent.parent
FILES = sorted(file for package in (warren, worker) for file in Path(str(package.__file__)).parent.rglob("*.py"))

# Modules that make code or objects of bytes or text.
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "code",
}
# Of them, what starts processes and reads nothing.
HARMLESS_MODULES = {"joblib.parallel"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
# Of any object: NumPy's and pandas' readers, and operators of MongoDB that take JavaScript.
FORBIDDEN_ATTRIBUTES = {"read_pickle", "to_pickle", "literal_eval", "unsafe_load", "full_load", "import_string"}
# The one door between a string and code, which asks the allow-list first; and names that are
# written in our own code.
IMPORTERS = {
    *("warren/safety/allowlist.py", "warren/__init__.py", "warren/testing/__init__.py", "worker/fitting/__init__.py"),
}


def _where(file: Path, node: ast.AST) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def offences(file: Path, tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if found := {one.name.partition(".")[0] for one in names} & FORBIDDEN_MODULES:
                yield f"{_where(file, node)} imports {found}"
            case ast.ImportFrom(module=str(module)) if (
                module.partition(".")[0] in FORBIDDEN_MODULES and module not in HARMLESS_MODULES
            ):
                yield f"{_where(file, node)} imports {module}"
            case ast.Name(id=name) if name in FORBIDDEN_CALLS:
                yield f"{_where(file, node)} names {name}"
            case ast.Attribute(attr=name) if name in FORBIDDEN_ATTRIBUTES:
                yield f"{_where(file, node)} names {name}"
            case ast.Attribute(attr="import_module") if str(file.relative_to(ROOT)) not in IMPORTERS:
                yield f"{_where(file, node)} imports by name"
            case ast.Attribute(attr="load", value=ast.Name(id="np")):
                yield from _loads(file, tree)
            case ast.keyword(arg="allow_pickle", value=value) if getattr(value, "value", None) is not False:
                yield f"{_where(file, node)} allows pickles"
            case ast.Constant(value="$where" | "$function" | "$accumulator" | "$expr"):
                yield f"{_where(file, node)} lets the database run code"
            case ast.keyword(arg="shell", value=value) if getattr(value, "value", None) is not False:
                yield f"{_where(file, node)} starts a shell"


def _loads(file: Path, tree: ast.AST) -> Iterator[str]:
    """Find ``np.load`` without the word that forbids pickles."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="load", value=ast.Name(id="np")), keywords=keywords):
                if not any(one.arg == "allow_pickle" for one in keywords):
                    yield f"{_where(file, node)} may read pickles"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_on_a_message_s_way_makes_code_of_text(file: Path) -> None:
    assert list(offences(file, ast.parse(file.read_text()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "eval(body)",
        "exec(body)",
        "run = eval",
        "pd.read_pickle(path)",
        "ast.literal_eval(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "importlib.import_module(name)",
        "__import__(name)",
        "subprocess.run(line, shell=True)",
        "trials.find({'$where': text})",
    ],
)
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    assert list(offences(ROOT / "worker" / "example.py", ast.parse(code)))


def test_the_search_sees_the_whole_way() -> None:
    seen = {str(file.relative_to(ROOT)) for file in FILES}
    assert {
        "worker/consumer/consumer.py",
        "worker/process/main.py",
        "worker/training/evaluator.py",
        "warren/messages.py",
        "warren/storage/store.py",
    } <= seen
