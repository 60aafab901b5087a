"""`setup.cfg` installs what the package holds and imports, and nothing for its own sake."""

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

import t2t_keras

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "t2t_keras"
DISTRIBUTIONS = {  # where the name to import is another
    "PIL": "pillow",
    "absl": "absl-py",
    "sklearn": "scikit-learn",
    "tensorflow_datasets": "tensorflow-datasets",
}
NEVER_IMPORTED = {  # what TFDS, requests and Keras import, or need in these versions
    "importlib_resources",
    "tensorboard",
    "urllib3",
}
OPTIONAL = {  # imported where Keras' backend or an export asks for it, and its extra
    "jax": "jax",
    "nncf": "export",
    "onnx": "export",
    "onnxruntime": "export",
    "openvino": "export",
}
FORBIDDEN = {"tensorflow-addons", "tfa-nightly", "timm", "torch", "torchvision"}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def _names(requirements: str) -> list[str]:
    return [re.match(r"[\w.-]+", line)[0] for line in requirements.split("\n") if line]


def _imported() -> set[str]:
    """Top-level names that the package and the scripts import from outside."""
    names = set()
    for path in (*PACKAGE.rglob("*.py"), *ROOT.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"t2t_keras"}


def test_what_is_imported_is_required_and_no_more(setup):
    required = _names(setup["options"]["install_requires"])
    imported = {DISTRIBUTIONS.get(name, name) for name in _imported()}
    assert sorted(required) == sorted(imported - OPTIONAL.keys() | NEVER_IMPORTED)
    assert OPTIONAL.keys() <= imported
    for name, extra in OPTIONAL.items():
        assert name in _names(setup["options.extras_require"][extra])


def test_every_requirement_has_a_floor(setup):
    groups = (setup["options"]["install_requires"], *setup["options.extras_require"].values())
    for line in filter(None, "\n".join(groups).split("\n")):
        assert re.fullmatch(r"[\w-]+>=[\d.]+(,<[\d.]+)?", line)


def test_what_is_left_out_is_in_no_extra(setup):
    groups = (setup["options"]["install_requires"], *setup["options.extras_require"].values())
    assert not FORBIDDEN & set(_names("\n".join(groups)))


def test_every_file_that_is_no_module_is_package_data(setup):
    listed = {
        f"{package.replace('.', '/')}/{name}"
        for package, names in setup["options.package_data"].items()
        for name in names.split()
    }
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    others = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".py"}
    assert others == listed


def test_the_changelog_has_the_version(setup):
    assert setup["metadata"]["version"] == "attr: t2t_keras.__version__"
    assert f"## [{t2t_keras.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_what_may_be_imported_with_a_star_is_all_there_is():
    public = {name for name, value in vars(t2t_keras).items() if _is_public(name, value)}
    assert set(t2t_keras.__all__) == public


def _is_public(name: str, value: object) -> bool:
    return not name.startswith("_") and not isinstance(value, type(sys))
