"""The house style, as far as ruff does not hold it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE_FILES = sorted((ROOT / "t2t_keras").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
MAX_FILE = 450
MAX_SCRIPT = 150
MAX_FUNCTION = 50  # lines; the docstring is not counted
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "torch"}
FORBIDDEN_CALLS = {"eval", "exec", "extractall", "print"}


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


def faults(source: str) -> list[str]:
    """What in a file is against the style, each with its line."""
    return [
        f"{fault} (line {node.lineno})"
        for node in ast.walk(ast.parse(source))
        for fault in _node_faults(node)
    ]


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [*PACKAGE_FILES, *SCRIPTS], ids=_relative)
def test_file_keeps_the_style(path):
    source = path.read_text()
    assert len(source.splitlines()) <= (MAX_SCRIPT if path in SCRIPTS else MAX_FILE)
    assert faults(source) == []


def test_there_are_files_to_test():
    assert len(PACKAGE_FILES) > 50
    assert {path.name for path in SCRIPTS} == {"convert_weights.py", "train_keras.py"}


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("print(1)", "calls print"),
        ("eval('1')", "calls eval"),
        ("archive.extractall(folder)", "calls extractall"),
        ("import pickle", "imports pickle"),
        ("def f():\n    from torch.nn import Linear", "imports torch"),
        ("assert x", "asserts"),
        ("try:\n    f()\nexcept:\n    raise", "catches everything"),
        ("try:\n    f()\nexcept Exception:\n    raise", "catches Exception"),
        ("keras.layers.LayerNormalization(name='norm')", "without epsilon"),
        ("np.load(path, allow_pickle=True)", "allows pickle"),
        ("def f():\n" + "    x = 1\n" * 50, "f is longer"),
    ],
)
def test_a_fault_is_seen(source, fault):
    (found,) = faults(source)
    assert fault in found


def test_what_only_looks_like_a_fault_is_not():
    lines = "    x = 1\n" * 49
    assert faults(f'def f():\n    """{"long" * 99}\n\n\n"""\n{lines}') == []
    assert faults("LayerNormalization(epsilon=1e-5)\nnp.load(path, allow_pickle=False)") == []
    assert faults("import pickletools\ntext = 'torch.eval'") == []
