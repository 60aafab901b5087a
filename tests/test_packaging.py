"""`setup.cfg` installs what the package holds and imports, and nothing for its own sake."""

import ast
import configparser
import importlib
import operator
import re
import types
from pathlib import Path

import pytest

import t2t_keras
from tests.test_floors import imports_of, names_imported, outsiders

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "t2t_keras"
DISTRIBUTIONS = {  # where the name to import is another
    "PIL": "pillow",
    "absl": "absl-py",
    "lazy_loader": "lazy-loader",
    "sklearn": "scikit-learn",
    "tensorflow_datasets": "tensorflow-datasets",
}
# What TFDS, requests and Keras import, or need in these versions.
NEVER_IMPORTED = {"importlib_resources", "tensorboard", "urllib3"}
OPTIONAL = {  # imported where Keras' backend or an export asks for it, and its extra
    "jax": "jax",
    "nncf": "export",
    "onnx": "export",
    "onnxruntime": "export",
    "openvino": "export",
}
FORBIDDEN = {"tensorflow-addons", "tfa-nightly", "timm", "torch", "torchvision"}


SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def requirements() -> dict[str, dict[str, str]]:
    """Extra, or "" for what is always installed -> distribution -> its versions."""
    options = {"": SETUP["options"]["install_requires"], **SETUP["options.extras_require"]}
    return {
        extra: dict(re.findall(r"^(.[\w.-]*)(.*)$", lines, re.MULTILINE))
        for extra, lines in options.items()
    }


def test_what_is_imported_is_required_and_no_more():
    scripts = {path.stem: names_imported(path.read_text(), set()) for path in ROOT.glob("*.py")}
    outside = set().union(*outsiders({**imports_of(PACKAGE), **scripts}).values())
    imported = {DISTRIBUTIONS.get(name, name) for name in outside}
    required = requirements()
    assert sorted(required[""]) == sorted(imported - OPTIONAL.keys() | NEVER_IMPORTED)
    assert OPTIONAL.keys() <= imported
    for name, extra in OPTIONAL.items():
        assert name in required[extra]


def test_every_requirement_has_a_floor_and_none_is_left_out_on_purpose():
    for versions in requirements().values():
        assert all(re.fullmatch(r">=[\d.]+(,<[\d.]+)?", each) for each in versions.values())
        assert not FORBIDDEN & versions.keys()


def test_every_file_that_is_no_module_is_package_data():
    listed = set()
    for package, names in SETUP["options.package_data"].items():
        folder = "t2t_keras/**" if package == "*" else package.replace(".", "/")
        listed |= {path for name in names.split() for path in ROOT.glob(f"{folder}/{name}")}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert {path for path in files if path.suffix != ".py"} == listed
    assert PACKAGE / "py.typed" in listed


def test_changelog_and_citation_have_the_version():
    assert SETUP["metadata"]["version"] == "attr: t2t_keras.__version__"
    assert f"## [{t2t_keras.__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"version: {t2t_keras.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


ROOMS = [path.parent for path in sorted(PACKAGE.rglob("__init__.pyi"))]


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_name_of_a_stub_loads_and_is_listed(room):
    package = importlib.import_module(".".join(room.relative_to(ROOT).parts))
    stub = ast.parse((room / "__init__.pyi").read_text("utf-8"))
    aliases = [a for node in stub.body if isinstance(node, ast.ImportFrom) for a in node.names]
    assert all(alias.name == alias.asname for alias in aliases)  # else type checkers hide it
    names = {alias.name for alias in aliases}
    assert names <= set(dir(package))
    modules = {name for name in names if isinstance(getattr(package, name), types.ModuleType)}
    assert set(package.__all__) == names - modules
    assert set(dir(t2t_keras)) >= {"__version__", "__doc__"}


@pytest.mark.parametrize("name", ["T2TViT13", "data.nothing"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=name.rpartition(".")[2]):
        operator.attrgetter(name)(t2t_keras)
