"""Where TaskFlow keeps the state of a run: only in the run's own objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from taskflow.exceptions import NotFound
from taskflow.persistence.base import Backend, Connection


class Unstored(Backend):
    """A persistence backend that accepts every state and stores none.

    An interrupted run starts again from the beginning, so no state is ever read back. TaskFlow's own in-memory backend
    would copy, lock and file each state for nothing, which is a third of the cost of a small flow.
    """

    def __init__(self) -> None:
        super().__init__({})
        self._connection = _Unstored(self)

    def get_connection(self) -> Connection:
        """The only connection: it has no state."""
        return self._connection

    def close(self) -> None:
        """Do nothing: nothing is open."""


class _Unstored(Connection):
    """Returns what it receives as if it had stored it, and finds nothing."""

    def __init__(self, backend: Unstored) -> None:
        self._backend = backend

    @property
    def backend(self) -> Unstored:
        return self._backend

    def update_atom_details(self, atom_detail: Any) -> Any:
        return atom_detail

    def update_flow_details(self, flow_detail: Any) -> Any:
        return flow_detail

    def save_logbook(self, book: Any) -> Any:
        return book

    def get_logbooks(self, lazy: bool = False) -> Iterator[Any]:  # noqa: ARG002 - the interface's
        return iter(())

    def get_flows_for_book(self, book_uuid: str) -> Iterator[Any]:  # noqa: ARG002 - the interface's
        return iter(())

    def get_atoms_for_flow(self, fd_uuid: str) -> Iterator[Any]:  # noqa: ARG002 - the interface's
        return iter(())

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> NoReturn:  # noqa: ARG002 - the interface's
        raise NotFound(f"logbook {book_uuid} was not stored")

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> NoReturn:  # noqa: ARG002 - the interface's
        raise NotFound(f"flow {fd_uuid} was not stored")

    def get_atom_details(self, ad_uuid: str) -> NoReturn:
        raise NotFound(f"task {ad_uuid} was not stored")

    def destroy_logbook(self, book_uuid: str) -> None: ...

    def upgrade(self) -> None: ...

    def validate(self) -> None: ...

    def clear_all(self) -> None: ...

    def close(self) -> None: ...
