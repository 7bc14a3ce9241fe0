"""One API call: its caller, its body, and the operations that all routes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from portico.api.bodies import own_values, parse_root, read_body
from portico.api.faults import answer
from portico.api.identity import Authenticator, Identity
from portico.api.policy import Policy
from portico.api.queries import cut, page_links, parse_fields, parse_query
from portico.api.request_middleware import state_of
from portico.errors import Forbidden, InvalidInput
from portico.intake.requests import Requests
from portico.ports.caller import Caller
from portico.resources.kinds import Kind, Replaceable, kind_of
from portico.resources.view import View
from portico.settings import Settings
from portico.store.sql.database import Database
from portico.store.sql.listing import Page, list_objects, show_object
from portico.store.sql.query import Query

FREE_BODY_BYTES = 16 * 1024
"""Longest body that is parsed for every caller with a token, authorized or not: it needs a millisecond at most."""
_OWNER = frozenset({"project_id"})


@dataclass(frozen=True, slots=True)
class Context:
    """The objects that all routes use."""

    settings: Settings
    database: Database
    requests: Requests
    authenticator: Authenticator
    policy: Policy


@dataclass(frozen=True, slots=True)
class Call:
    """One request, with its caller identified and its body read."""

    request: Request
    context: Context
    identity: Identity
    raw: bytearray

    @property
    def request_id(self) -> str:
        """The id that the middleware gave the request."""
        return str(state_of(self.request.scope)["request_id"])

    @property
    def caller(self) -> Caller:
        """The caller, in the form in which drivers need it to look things up on the caller's behalf."""
        return Caller(self.identity.project_id, self.identity.token)

    # Authority

    def authorize(self, rule: str, target_project: str | None) -> None:
        """Raise Forbidden unless the caller may do this (``listener:post``) in the target project. The target is None
        for an action that belongs to no project. For objects that every reader may see, such as flavors, routes pass
        the caller's own project."""
        self.context.policy.authorize(self.identity, rule, target_project)

    def visible(self, rule: str) -> dict[str, str]:
        """Return the scope of a list: empty if the caller may see all projects, else the caller's own project.

        Raises:
            Forbidden: the caller may not list the objects of their own project either, or has no project.
        """
        project_id = self.identity.project_id
        if self.context.policy.allows(self.identity, f"{rule}:get_all-global", None):
            return {}
        self.authorize(f"{rule}:get_all", project_id)
        if project_id is None:
            raise Forbidden("The token is not scoped to a project, and its roles only list a project's own objects.")
        return {"project_id": project_id}

    # Reading

    def find(
        self,
        kind: Kind,
        object_id: str,
        scope: Mapping[str, str] | None = None,
        fields: frozenset[str] | None = None,
    ) -> dict[str, Any]:
        """Read an object as its view shows it, before the caller is authorized to see it: all fields, or only those in
        ``fields``. Raises the kind's NotFound."""
        shown = self.read(kind.view, object_id, scope, fields)
        if shown is None:
            raise kind.missing(object_id)
        return shown

    def project_of(self, kind: Kind, object_id: str, scope: Mapping[str, str] | None = None) -> str | None:
        """The project of an object, for the policy; None if the object has none. Raises the kind's NotFound."""
        project_id: str | None = self.find(kind, object_id, scope, _OWNER).get("project_id")
        return project_id

    def read(
        self,
        view: View,
        object_id: str,
        scope: Mapping[str, str] | None = None,
        fields: frozenset[str] | None = None,
    ) -> dict[str, Any] | None:
        """Read an object through a view, as ``find`` does; None if there is no such object."""
        return self.context.database.read(lambda connection: show_object(connection, view, object_id, scope, fields))

    def list_kind(self, kind: Kind) -> Response:
        """List the objects of a kind that the caller may see."""
        return self.list_view(kind.view, self.visible(kind.policy))

    def list_parts(self, kind: Kind, parent: Kind, parent_id: str) -> Response:
        """List the objects of a kind that are parts of one parent."""
        self.authorize(f"{kind.policy}:get_all", self.project_of(parent, parent_id))
        return self.list_view(kind.view, {parent.id_field: parent_id})

    def list_view(self, view: View, scope: Mapping[str, str]) -> Response:
        """List the objects in a scope, filtered, sorted and paged by the query string."""
        query = parse_query(self.request.query_params)
        fields = parse_fields(self.request.query_params)
        page = self._read_page(view, query, scope, fields)
        objects = [cut(one, fields) for one in page.objects]
        links = page_links(self.request, view, query, page)
        return answer({view.collection: objects, f"{view.collection}_links": links})

    def _read_page(self, view: View, query: Query, scope: Mapping[str, str], fields: frozenset[str] | None) -> Page:
        read = self.context.database.read
        return read(lambda connection: list_objects(connection, view, query, scope, fields))

    def show_kind(self, kind: Kind, object_id: str, scope: Mapping[str, str] | None = None) -> Response:
        """Show an object that the caller may see."""
        shown = self.find(kind, object_id, scope)
        self.authorize(f"{kind.policy}:get_one", shown.get("project_id"))
        return self.show(kind.view, shown)

    def show(self, view: View, shown: dict[str, Any], status: int = 200) -> Response:
        """Answer with an object under its root key, reduced to the fields that the query string asks for."""
        return answer({view.root: cut(shown, parse_fields(self.request.query_params))}, status)

    # Writing

    def root(self, root: str) -> Any:
        """Parse the body and return the value under its one key. Raises InvalidInput."""
        return parse_root(self.raw, root, self.context.settings.api.max_body_values)

    def object(self, root: str) -> dict[str, Any]:
        """Parse the body and return the object in it. Raises InvalidInput."""
        value = self.root(root)
        if not isinstance(value, dict):
            raise InvalidInput(root, "must be an object")
        return value

    def object_before_authorization(self, root: str, rule: str) -> dict[str, Any]:
        """Parse a body that itself names the project or parent, so that the caller can be authorized only afterwards.
        If the caller may do this neither in every project nor in their own, only a short body is parsed
        (``FREE_BODY_BYTES``).

        Raises:
            Forbidden: the caller may not do this, and the body is longer.
            InvalidInput: see ``object``.
        """
        if len(self.raw) > FREE_BODY_BYTES:
            allows, identity = self.context.policy.allows, self.identity
            if not allows(identity, rule, None):
                self.authorize(rule, identity.project_id)
        return self.object(root)

    def values(self, kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given attributes of an object of this kind. Raises InvalidInput for one that cannot be set."""
        return own_values(kind.view, kind.spec.model_fields, given)

    def authorize_part(self, kind: Kind, parent: Kind, parent_id: str) -> None:
        """Raise Forbidden unless the caller may create a part of this kind in this parent."""
        self.authorize(f"{kind.policy}:post", self.project_of(parent, parent_id))

    def create_part(
        self, kind: Kind, parent_id: str, given: Mapping[str, Any], listener_id: str | None = None
    ) -> Response:
        """Create a part of a load balancer; the caller must have been authorized. The part belongs to its parent's
        project, whatever the body names."""
        values = self.values(kind, given)
        values.pop("project_id", None)
        accepted = self.context.requests.create(
            kind.name, parent_id, listener_id=listener_id, request_id=self.request_id, **values
        )
        return answer({kind.view.root: accepted.shown}, 201)

    def update_kind(self, kind: Kind, object_id: str, scope: Mapping[str, str] | None = None) -> Response:
        """Change the attributes that the body names; the others stay as they are."""
        self.authorize(f"{kind.policy}:put", self.project_of(kind, object_id, scope))
        changes = self.values(kind, self.object(kind.view.root))
        if not changes:
            return answer({kind.view.root: self.find(kind, object_id, scope)})
        accepted = self.context.requests.update(
            kind.name, object_id, changes, request_id=self.request_id, caller=self.caller
        )
        return answer({kind.view.root: accepted.shown})

    def delete_kind(
        self, kind: Kind, object_id: str, scope: Mapping[str, str] | None = None, *, cascade: bool = True
    ) -> Response:
        """Delete an object."""
        self.authorize(f"{kind.policy}:delete", self.project_of(kind, object_id, scope))
        self.context.requests.delete(kind.name, object_id, cascade=cascade, request_id=self.request_id)
        return Response(status_code=204)

    def fail_over(self, name: Replaceable, object_id: str) -> Response:
        """Fail over an amphora, or all amphorae of a load balancer."""
        kind = kind_of(name)
        self.authorize(f"{kind.policy}:put_failover", self.project_of(kind, object_id))
        self.context.requests.failover(name, object_id, request_id=self.request_id)
        return Response(status_code=202)


async def receive_call(request: Request) -> Call:
    """Identify the caller of a request and read its body."""
    context: Context = request.app.state.context
    identity = await context.authenticator.identify(request)
    raw = bytearray()
    if request.method in ("POST", "PUT"):
        raw = await read_body(request, context.settings.api.max_body_bytes)
    return Call(request, context, identity, raw)


Received = Annotated[Call, Depends(receive_call)]
