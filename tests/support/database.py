"""Fresh databases, either empty or copies of one that was set up once."""

from __future__ import annotations

import itertools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

#: Fills an empty database, given its SQLAlchemy URL, and closes its connections: for example, runs the migrations.
TemplateSetup = Callable[[str], None]


class DatabaseSource(ABC):
    """A source of fresh databases."""

    def __init__(self) -> None:
        """Start without a template."""
        self._templates: dict[TemplateSetup, str] = {}
        self._numbers = itertools.count(1)

    def fresh_database(self, template_setup: TemplateSetup | None = None) -> str:
        """The SQLAlchemy URL of a new database. It is empty, or a copy of the database that ``template_setup`` sets up.

        Each set-up function is called once; its result is cloned from then on.
        """
        name = f"test_{next(self._numbers)}"
        if template_setup is None:
            self.create(name)
        else:
            self.clone(self._find_template(template_setup), name)
        return self.locate(name)

    @contextmanager
    def lend_database(self, template_setup: TemplateSetup | None = None) -> Iterator[str]:
        """Lend a fresh database until the end of the block. Yields its URL."""
        url = self.fresh_database(template_setup)
        try:
            yield url
        finally:
            self.drop(self.name_of(url))

    def _find_template(self, setup: TemplateSetup) -> str:
        if setup not in self._templates:
            name = f"template_{next(self._numbers)}"
            self.create(name)
            setup(self.locate(name))
            self._templates[setup] = name
        return self._templates[setup]

    @staticmethod
    def name_of(url: str) -> str:
        """The database's name in a URL that ``locate`` returned."""
        return url.partition("?")[0].rpartition("/")[2]

    @abstractmethod
    def locate(self, name: str) -> str:
        """The database's SQLAlchemy URL."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Create an empty database."""

    @abstractmethod
    def clone(self, template: str, name: str) -> None:
        """Create a database with the tables and rows of ``template``, to which nothing is connected."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove a database, even while clients are connected."""


class SQLiteFiles(DatabaseSource):
    """SQLite databases: files in one directory, without a server."""

    def __init__(self, directory: Path) -> None:
        """Create ``directory``, and keep the files there."""
        super().__init__()
        self.directory = directory
        directory.mkdir()

    def locate(self, name: str) -> str:
        """The database's SQLAlchemy URL."""
        return f"sqlite:///{self.directory / name}"

    def create(self, name: str) -> None:
        """Create an empty file."""
        (self.directory / name).touch(exist_ok=False)

    def clone(self, template: str, name: str) -> None:
        """Copy the template page by page, including the contents of its write-ahead log."""
        with (
            closing(sqlite3.connect(self.directory / template)) as source,
            closing(sqlite3.connect(self.directory / name)) as target,
        ):
            source.backup(target)

    def drop(self, name: str) -> None:
        """Remove the file and SQLite's other files beside it."""
        for suffix in ("", "-journal", "-wal", "-shm"):
            (self.directory / f"{name}{suffix}").unlink(missing_ok=True)
