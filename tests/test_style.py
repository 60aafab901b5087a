"""The house style, as far as ruff does not hold it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SLOW

ROOT = Path(__file__).parent.parent
PACKAGE_FILES = sorted((ROOT / "t2t_keras").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
MAX_FILE = 450
MAX_SCRIPT = 150
MAX_FUNCTION = 50  # lines; the docstring is not counted
# A docstring starts with a verb or a noun.
FORBIDDEN_OPENINGS = "What Whether Where How Which When Who Whose Why That As If".split()
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


def _faults_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name == "extractall":
            yield "calls extractall"
        if name == "LayerNormalization" and "epsilon" not in keywords:
            yield "makes a LayerNormalization without epsilon"
        if keywords.get("allow_pickle", "False") != "False":
            yield "allows pickle"
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        name, docstring = getattr(node, "name", "the module"), ast.get_docstring(node, clean=False)
        opening = (docstring or "").strip().split(" ")[0].strip("`.,:;")
        if opening in FORBIDDEN_OPENINGS:
            yield f"docstring of {name} starts with {opening}"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        lines = node.end_lineno - node.lineno + 1
        if lines - (docstring.count("\n") + 1 if docstring else 0) > MAX_FUNCTION:
            yield f"{name} is longer than {MAX_FUNCTION} lines"


def faults(source: str, most_lines: int = MAX_FILE) -> list[str]:
    """Lists the violations of the style in a file, each with its line."""
    lines = len(source.splitlines())
    found = [f"the file has {lines} lines"] if lines > most_lines else []
    return found + [
        f"{fault} (line {getattr(node, 'lineno', 1)})"
        for node in ast.walk(ast.parse(source))
        for fault in _faults_of(node)
    ]


def banned_words(text: str) -> list[str]:
    """The words of a text that the house does not use, each with its line and replacement."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in _WORDS.finditer(line):
            replacement = list(WORDS.values())[match.lastindex - 1]
            found.append(f"line {number}: {match[0]!r}, write {replacement}")
    return found


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [*PACKAGE_FILES, *SCRIPTS], ids=_relative)
def test_file_keeps_the_style(path):
    assert faults(path.read_text(), MAX_SCRIPT if path in SCRIPTS else MAX_FILE) == []


_LINES = "    x = 1\n" * (MAX_FUNCTION - 1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\n" * (MAX_FILE + 1), ["the file has 451 lines"]),
        ("archive.extractall(folder)", ["calls extractall"]),
        ("keras.layers.LayerNormalization(name='norm')", ["without epsilon"]),
        ("np.load(path, allow_pickle=True)", ["allows pickle"]),
        (f"def f():\n{_LINES}    x = 1", ["f is longer"]),
        ('async def f():\n    """Whether it is."""', ["docstring of f starts with Whether"]),
        ('class A:\n    """`As` it is."""', ["docstring of A starts with As"]),
        ('"""What it is."""', ["docstring of the module starts with What"]),
        # No fault:
        ("x = 1\n" * MAX_FILE, []),
        (f'def f():\n    """{"long" * 99}\n\n\n"""\n{_LINES}', []),
        ("LayerNormalization(epsilon=1e-5)\nnp.load(path, allow_pickle=False)", []),
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
def test_every_slow_place_exists_and_there_are_files_to_test(place):
    assert len(PACKAGE_FILES) > 50
    assert {path.name for path in SCRIPTS} == {"convert_weights.py", "train_keras.py"}
    path, _, name = place.partition("::")
    assert (ROOT / "tests" / path).exists()
    assert f"def {name}" in (ROOT / "tests" / path).read_text() if name else True
