"""The house style, as far as ruff does not hold it."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import SLOW

ROOT = Path(__file__).parent.parent
PACKAGE_FILES = sorted((ROOT / "t2t_keras").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
MAX_FILE = 450
MAX_SCRIPT = 150
MAX_FUNCTION = 50  # lines; the docstring is not counted
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "torch"}
FORBIDDEN_CALLS = {"eval", "exec", "extractall", "print"}
# A docstring starts with a verb or a noun.
FORBIDDEN_OPENINGS = {
    *("What", "Whether", "Where", "How", "Which", "When", "Who", "Whose", "Why", "That", "As", "If")
}
WORDS = {  # pattern -> the word to write instead
    r"pictures?(?!/)": "image or example",
    r"\w*colour\w*": "color",
    r"\w*grey\w*": "gray",
    r"\w*behaviour\w*": "behavior",
    r"\w*neighbour\w*": "neighbor",
    r"\w*favour\w*": "favor",
    r"centre\w*|centring": "center",
    r"catalogues?": "releases or catalog",
    r"licen[c]e\w*": "license",
    r"artefacts?": "artifact",
    r"(?:label|travel|model|cancel)l(?:ed|ing)": "one l",
    r"\w*(?:normal|serial|optim|initial|organ|summar|standard|vector|quant|visual|minim|maxim"
    r"|general|synchron|random|special|custom|local|token|regular|real|recogn|util|categor)"
    r"is(?:e[drs]?|ing|ation|ations|er|ers)": "-ize",
    r"analyse\w*": "analyze",
    r"data sets?": "dataset",
    r"(?:go|goes|going|went) on": "continue or resume",
    r"taken up|takes? up": "resume",
    r"hangs? on": "depends on",
    r"whilst": "while",
}
_WORDS = re.compile(
    "|".join(rf"(?<![A-Za-z])({each})(?![A-Za-z])" for each in WORDS), re.IGNORECASE
)
PROSE = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
CODE = [
    path
    for folder in ("t2t_keras", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
]
SETTINGS = [*ROOT.glob("configs/*"), *ROOT.glob("t2t_keras/**/*.toml"), *ROOT.glob("*.cfg")]


def _name(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _length(function: ast.FunctionDef) -> int:
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def _call_faults(node: ast.Call) -> list[str]:
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    faults = [f"calls {_name(node.func)}"] if _name(node.func) in FORBIDDEN_CALLS else []
    if _name(node.func) == "LayerNormalization" and "epsilon" not in keywords:
        faults.append("makes a LayerNormalization without epsilon")
    if getattr(keywords.get("allow_pickle"), "value", False):
        faults.append("allows pickle")
    return faults


def _imported_modules(node: ast.Import | ast.ImportFrom) -> set[str]:
    names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    return {(name or "").split(".")[0] for name in names}


def _opening_fault(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    opening = (ast.get_docstring(node) or "").split(" ")[0].strip("`.,:;")
    name = getattr(node, "name", "the module")
    return [f"docstring of {name} starts with {opening}"] * (opening in FORBIDDEN_OPENINGS)


def banned_words(text: str) -> list[str]:
    """The words of a text that the house does not use, each with its line and replacement."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in _WORDS.finditer(line):
            replacement = list(WORDS.values())[match.lastindex - 1]
            found.append(f"line {number}: {match[0]!r}, write {replacement}")
    return found


def _node_faults(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        too_long = _length(node) > MAX_FUNCTION
        return [f"{node.name} is longer than {MAX_FUNCTION} lines"] if too_long else []
    if isinstance(node, ast.Call):
        return _call_faults(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [f"imports {name}" for name in _imported_modules(node) & FORBIDDEN_MODULES]
    if isinstance(node, ast.Assert):
        return ["asserts"]
    if isinstance(node, ast.ExceptHandler):
        caught = "everything" if node.type is None else _name(node.type)
        blind = caught in ("everything", "Exception", "BaseException")
        return [f"catches {caught}"] if blind else []
    return []


def _missing_types(node: ast.AST) -> list[str]:
    """Parameters and results without a type below a node; functions in functions are not read."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [each for child in ast.iter_child_nodes(node) for each in _missing_types(child)]
    a = node.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    missing = [arg.arg for arg in named if not arg.annotation and arg.arg not in ("self", "cls")]
    if node.returns is None and node.name not in ("__init__", "__post_init__"):  # always None
        missing.append("the result")
    return [f"{name} of {node.name} has no type (line {node.lineno})" for name in missing]


def faults(source: str) -> list[str]:
    """What in a file is against the style, each with its line."""
    tree = ast.parse(source)
    return [
        f"{fault} (line {getattr(node, 'lineno', 1)})"
        for node in ast.walk(tree)
        for fault in [*_node_faults(node), *_opening_fault(node)]
    ] + _missing_types(tree)


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [*PACKAGE_FILES, *SCRIPTS], ids=_relative)
def test_file_keeps_the_style(path):
    source = path.read_text()
    assert len(source.splitlines()) <= (MAX_SCRIPT if path in SCRIPTS else MAX_FILE)
    assert faults(source) == []


_LINES = "    x = 1\n" * (MAX_FUNCTION - 1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("print(1)", ["calls print"]),
        ("eval('1')", ["calls eval"]),
        ("archive.extractall(folder)", ["calls extractall"]),
        ("import pickle", ["imports pickle"]),
        ("def f() -> None:\n    from torch.nn import Linear", ["imports torch"]),
        ("assert x", ["asserts"]),
        ("try:\n    f()\nexcept:\n    raise", ["catches everything"]),
        ("try:\n    f()\nexcept Exception:\n    raise", ["catches Exception"]),
        ("keras.layers.LayerNormalization(name='norm')", ["without epsilon"]),
        ("np.load(path, allow_pickle=True)", ["allows pickle"]),
        (f"def f() -> None:\n{_LINES}    x = 1", ["f is longer"]),
        ('def f() -> None:\n    """Whether it is."""', ["starts with Whether"]),
        ('"""What it is."""', ["starts with What"]),
        ("def f(x) -> int: ...", ["x of f has no type"]),
        ("def f(x: int): ...", ["the result of f has no type"]),
        ("async def f(*args, **kwargs) -> None: ...", ["args of f", "kwargs of f"]),
        ("class A:\n    def _f(self, *, x=1) -> None: ...", ["x of _f"]),
        ("class A:\n    def __init__(self, x): ...", ["x of __init__"]),
        # No fault:
        ("class A:\n    def __init__(self, x: int): ...", []),
        ("def f() -> None:\n    def g(x): ...\n    return lambda x: g(x)", []),
        (f'def f() -> None:\n    """{"long" * 99}\n\n\n"""\n{_LINES}', []),
        ("LayerNormalization(epsilon=1e-5)\nnp.load(path, allow_pickle=False)", []),
        ("import pickletools\ntext = 'torch.eval'", []),
    ],
)
def test_faults_are_seen_and_nothing_else(source, expected):
    assert all(part in fault for part, fault in zip(expected, faults(source), strict=True))


@pytest.mark.parametrize(
    "path",
    [path for path in [*CODE, *SCRIPTS, *PROSE, *SETTINGS] if path != Path(__file__)],
    ids=_relative,
)
def test_file_uses_the_words_of_the_field(path):
    assert banned_words(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("line", "replacement"),
    [
        ("a picture of it", "image or example"),
        ("MEAN_COLOUR = 1", "color"),
        ("def normalise(x):", "-ize"),
        ("a run goes on", "continue or resume"),
        ("the data set", "dataset"),
    ],
)
def test_a_banned_word_is_seen_with_its_replacement(line, replacement):
    (found,) = banned_words(f"\n{line}\n")
    assert found.startswith("line 2") and found.endswith(replacement)
    assert banned_words("--dataset=pictures/ centered normalize realistic promise") == []


@pytest.mark.parametrize("place", SLOW)
def test_every_slow_place_exists(place):
    path, _, name = place.partition("::")
    assert (ROOT / "tests" / path).exists()
    assert f"def {name}" in (ROOT / "tests" / path).read_text() if name else True


def test_there_are_files_to_test():
    assert len(PACKAGE_FILES) > 50
    assert {path.name for path in SCRIPTS} == {"convert_weights.py", "train_keras.py"}
