"""The tree is the architecture: the document says the same as the contracts, and every package says what it is for.

That imports keep to the layers is checked by import-linter (scripts/check), not here.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = sorted(path.parent.relative_to(_ROOT) for path in (_ROOT / "src").rglob("__init__.py"))

# Names that say nothing, so that everything ends up there.
_EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "constants", "misc"}


def read_contract_layers() -> list[set[str]]:
    """The layers of the import contract, from the top; each is a set of packages that leave each other alone."""
    settings = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [contract] = [contract for contract in settings["contracts"] if contract["id"] == "layers"]
    return [split_layer(layer.replace("(", "").replace(")", "")) for layer in contract["layers"]]


def read_documented_layers() -> list[set[str]]:
    """The layers that ARCHITECTURE.md draws as ``cli -> bootstrap -> api | worker -> ...``."""
    text = (_ROOT / "ARCHITECTURE.md").read_text().replace("`", "")
    chain = re.search(r"\bcli\s*->[\w\s|>-]*?\berrors\b", text)
    assert chain, "ARCHITECTURE.md draws no chain of layers from 'cli ->' to 'errors'"
    return [split_layer(layer) for layer in chain[0].split("->")]


def split_layer(layer: str) -> set[str]:
    """``api | worker`` as a set."""
    return {name.strip() for name in layer.split("|")}


def test_the_architecture_page_draws_the_layers_of_the_contract() -> None:
    """ARCHITECTURE.md names the same layers, in the same order, as the import contract that is enforced."""
    assert read_documented_layers() == read_contract_layers()


@pytest.mark.parametrize("package", _PACKAGES, ids=str)
def test_a_package_opens_with_its_charter(package: Path) -> None:
    """Each package says what belongs there, what does not, and whether it may do I/O."""
    charter = ast.get_docstring(ast.parse((_ROOT / package / "__init__.py").read_text())) or ""

    missing = [words for words in ("belongs here", "does not", "i/o") if words not in " ".join(charter.lower().split())]
    assert not missing, f"the charter in {package}/__init__.py does not say: {missing}"


@pytest.mark.parametrize("folder", ["src", "tests", "bench"])
def test_no_module_has_an_empty_name(folder: str) -> None:
    """No module or package is called after nothing in particular."""
    paths = [*(_ROOT / folder).rglob("*.py"), *(path.parent for path in (_ROOT / folder).rglob("__init__.py"))]

    assert not [str(path.relative_to(_ROOT)) for path in paths if path.stem in _EMPTY_NAMES]


def test_every_package_is_a_package() -> None:
    """A folder of modules without ``__init__.py`` would escape the import contracts."""
    folders = {path.parent for path in (_ROOT / "src").rglob("*.py") if "versions" not in path.parts}

    assert not [str(folder.relative_to(_ROOT)) for folder in folders if not (folder / "__init__.py").exists()]
