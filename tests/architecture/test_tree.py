"""The tree is the architecture: the document agrees with the contracts, and every package describes its purpose.

That imports respect the layers is checked by import-linter (scripts/check), not here.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from portico.settings import Settings
from portico.settings.reading import find_groups

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = sorted(path.parent.relative_to(_ROOT) for path in (_ROOT / "packages").rglob("__init__.py"))

# Names without a meaning, in which everything ends up.
_EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "constants", "misc"}


def read_contract_layers() -> list[set[str]]:
    """The layers of the import contract, from the top; each is a set of packages that do not import each other."""
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
    """ARCHITECTURE.md names the same layers, in the same order, as the enforced import contract."""
    assert read_documented_layers() == read_contract_layers()


def test_the_architecture_page_names_files_that_exist() -> None:
    """A renamed module must be renamed on the page and in its glossary as well."""
    text = (_ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`([a-z_0-9/]+/[a-z_0-9]+(?:\.py)?)`", text))
    places = [_ROOT, _ROOT / "packages/portico/src/portico", *(_ROOT / "packages").glob("*/src")]
    assert len(named) > 80
    assert {path for path in named if not any((place / path).exists() for place in places)} == set()


@pytest.mark.parametrize("package", _PACKAGES, ids=str)
def test_every_package_begins_with_its_charter(package: Path) -> None:
    """Each package's docstring describes what belongs there, what does not, and whether it may do I/O."""
    charter = ast.get_docstring(ast.parse((_ROOT / package / "__init__.py").read_text())) or ""

    missing = [words for words in ("belongs here", "does not", "i/o") if words not in " ".join(charter.lower().split())]
    assert not missing, f"the charter in {package}/__init__.py does not say: {missing}"


@pytest.mark.parametrize("folder", ["packages", "demo", "tests", "bench"])
def test_no_module_has_a_meaningless_name(folder: str) -> None:
    """No module or package has a name without a meaning."""
    paths = [*(_ROOT / folder).rglob("*.py"), *(path.parent for path in (_ROOT / folder).rglob("__init__.py"))]

    assert not [str(path.relative_to(_ROOT)) for path in paths if path.stem in _EMPTY_NAMES]


def test_every_package_is_a_package() -> None:
    """A folder of modules without ``__init__.py`` would escape the import contracts."""
    folders = {path.parent for path in (_ROOT / "packages").rglob("*.py") if "versions" not in path.parts}

    assert not [str(folder.relative_to(_ROOT)) for folder in folders if not (folder / "__init__.py").exists()]


_ABOVE_DRIVERS = ("cli", "bootstrap", "api", "worker", "health", "flows", "tasks", "intake")
_OF_ONE_DRIVER = "bootstrap/embedded.py"
"""An embedded Portico always has an agent of its own on this machine."""
_WORDS = ("agent",)
"""Names of drivers that other things have as well: they only count in comparisons."""


def read_driver_names() -> set[str]:
    """Every value that ``driver`` can have in the settings."""
    models = [model for models in find_groups(Settings).values() for model in models if "driver" in model.model_fields]
    return {str(model.model_fields["driver"].default) for model in models}


def find_named_drivers(source: str, names: set[str]) -> list[str]:
    """The drivers' names, modules and groups of settings that a module's code mentions. Docstrings do not count as
    code."""
    tree = ast.parse(source)
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    compared = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Compare) for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in names and id(node) not in documents:
            is_word = node.value in _WORDS and id(node) not in compared
            found += [] if is_word else [f"{node.value!r}"]
        imported = []
        if isinstance(node, ast.ImportFrom):
            imported = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        found += [name for name in imported if _is_of_a_driver(name)]
    return found


def _is_of_a_driver(imported: str) -> bool:
    if imported.startswith("portico.drivers."):
        return not imported.startswith("portico.drivers.registry")
    groups = {group.__name__ for model in ("network", "compute", "amphora") for group in find_groups(Settings)[model]}
    return imported.rpartition(".")[2] in groups


def test_no_driver_is_named_above_the_drivers() -> None:
    """Drivers declare their features, so the layers above them never check a driver's name, import its module or read
    its settings. A new driver changes nothing there."""
    names = read_driver_names()
    assert names >= {"loopback", "noop", "local", "agent"}
    portico = _ROOT / "packages/portico/src/portico"
    modules = [path for layer in _ABOVE_DRIVERS for path in (portico / layer).rglob("*.py")]
    found = {
        str(path.relative_to(portico)): named
        for path in modules
        if (named := find_named_drivers(path.read_text(), names))
    }

    assert found.pop(_OF_ONE_DRIVER), "the exception is no longer needed"
    assert not found


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('if settings.network.driver == "loopback":\n    pass', ["'loopback'"]),
        ('_OWN = ("noop", "elsewhere")', ["'noop'"]),
        ('log.info("agent", agent="agent")', []),
        ('if driver in ("agent",):\n    pass', ["'agent'"]),
        ("from portico.drivers.network_noop import NoopNetwork", ["portico.drivers.network_noop.NoopNetwork"]),
        ("from portico.settings import LocalComputeSettings", ["portico.settings.LocalComputeSettings"]),
        ("from portico.drivers.registry import build_network", []),
        ("from portico.settings import ComputeSettings, Settings", []),
        ('def work():\n    """noop"""', []),
    ],
)
def test_mentions_of_drivers_are_found(source: str, named: list[str]) -> None:
    """The check above finds each way to mention a driver."""
    assert find_named_drivers(source, read_driver_names()) == named
