"""Fresh databases, each made empty or as a copy of one that was set up once."""

from __future__ import annotations

import itertools
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

#: Fills an empty database, given its SQLAlchemy URL, and closes its connections: running the migrations, say.
TemplateSetup = Callable[[str], None]


class DatabaseSource(ABC):
    """Where fresh databases come from."""

    def __init__(self) -> None:
        """Start with no template."""
        self._templates: dict[TemplateSetup, str] = {}
        self._numbers = itertools.count(1)

    def fresh_database(self, template_setup: TemplateSetup | None = None) -> str:
        """The SQLAlchemy URL of a new database, which is empty, or what ``template_setup`` leaves in an empty one.

        The set-up is called once for each function; its result is cloned from then on.
        """
        name = f"test_{next(self._numbers)}"
        if template_setup is None:
            self.create(name)
        else:
            self.clone(self._find_template(template_setup), name)
        return self.locate(name)

    @contextmanager
    def lend_database(self, template_setup: TemplateSetup | None = None) -> Iterator[str]:
        """A fresh database's URL, for as long as the block lasts."""
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
        """The database's name in a URL that ``locate`` made."""
        return url.partition("?")[0].rpartition("/")[2]

    @abstractmethod
    def locate(self, name: str) -> str:
        """The database's SQLAlchemy URL."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Create it, empty."""

    @abstractmethod
    def clone(self, template: str, name: str) -> None:
        """Create it with the tables and the rows of ``template``, which nobody is connected to."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove it, even from under its clients."""


class SQLiteFiles(DatabaseSource):
    """SQLite databases: files in one directory, and no server."""

    def __init__(self, directory: Path) -> None:
        """Keep the files in ``directory``, which is made."""
        super().__init__()
        self.directory = directory
        directory.mkdir()

    def locate(self, name: str) -> str:
        """The database's SQLAlchemy URL."""
        return f"sqlite:///{self.directory / name}"

    def create(self, name: str) -> None:
        """Create it, empty."""
        (self.directory / name).touch(exist_ok=False)

    def clone(self, template: str, name: str) -> None:
        """Copy it page by page, with what a write-ahead log beside it may still hold."""
        with (
            closing(sqlite3.connect(self.directory / template)) as source,
            closing(sqlite3.connect(self.directory / name)) as target,
        ):
            source.backup(target)

    def drop(self, name: str) -> None:
        """Remove the file and what SQLite keeps beside it."""
        for suffix in ("", "-journal", "-wal", "-shm"):
            (self.directory / f"{name}{suffix}").unlink(missing_ok=True)
