"""One call of the API: who calls, what he sent, and the few things that every route does with it."""

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
"""Bodies that are parsed for anybody who has a token: in a millisecond at most."""
_OWNER = frozenset({"project_id"})


@dataclass(frozen=True, slots=True)
class Context:
    """What the routes work with."""

    settings: Settings
    database: Database
    requests: Requests
    authenticator: Authenticator
    policy: Policy


@dataclass(frozen=True, slots=True)
class Call:
    """One request, its caller known and its body read."""

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
        """Who calls, as drivers look things up for him."""
        return Caller(self.identity.project_id, self.identity.token)

    # Authority

    def authorize(self, rule: str, target_project: str | None) -> None:
        """Raises Forbidden unless the caller may do this (``listener:post``) in the project; None where it is done in
        no project at all. What everybody may see who may see anything is asked for in the caller's own project."""
        self.context.policy.authorize(self.identity, rule, target_project)

    def visible(self, rule: str) -> dict[str, str]:
        """The scope of a list: empty where the caller may see all projects, else his own.

        Raises:
            Forbidden: he may not even list that.
        """
        project_id = self.identity.project_id
        if self.context.policy.allows(self.identity, f"{rule}:get_all-global", None):
            return {}
        self.authorize(f"{rule}:get_all", project_id)
        if project_id is None:
            raise Forbidden("The token is not of a project, and only its own project's objects may be listed with it.")
        return {"project_id": project_id}

    # Reading

    def find(
        self,
        kind: Kind,
        object_id: str,
        scope: Mapping[str, str] | None = None,
        fields: frozenset[str] | None = None,
    ) -> dict[str, Any]:
        """What is shown of an object, for nobody's eyes yet: all ``fields``, or those that are named. Raises the
        kind's NotFound."""
        shown = self.read(kind.view, object_id, scope, fields)
        if shown is None:
            raise kind.missing(object_id)
        return shown

    def project_of(self, kind: Kind, object_id: str, scope: Mapping[str, str] | None = None) -> str | None:
        """The project that policy is asked about; None for what is of none. Raises the kind's NotFound."""
        project_id: str | None = self.find(kind, object_id, scope, _OWNER).get("project_id")
        return project_id

    def read(
        self,
        view: View,
        object_id: str,
        scope: Mapping[str, str] | None = None,
        fields: frozenset[str] | None = None,
    ) -> dict[str, Any] | None:
        """What a view shows of an object, as ``find`` does; None where there is none."""
        return self.context.database.read(lambda connection: show_object(connection, view, object_id, scope, fields))

    def list_kind(self, kind: Kind) -> Response:
        """A list of what the caller may see of a kind."""
        return self.list_view(kind.view, self.visible(kind.policy))

    def list_parts(self, kind: Kind, parent: Kind, parent_id: str) -> Response:
        """A list of the objects of a kind that are part of one object."""
        self.authorize(f"{kind.policy}:get_all", self.project_of(parent, parent_id))
        return self.list_view(kind.view, {parent.id_field: parent_id})

    def list_view(self, view: View, scope: Mapping[str, str]) -> Response:
        """A list, as the query string wants it."""
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
        """One object."""
        shown = self.find(kind, object_id, scope)
        self.authorize(f"{kind.policy}:get_one", shown.get("project_id"))
        return self.show(kind.view, shown)

    def show(self, view: View, shown: dict[str, Any], status: int = 200) -> Response:
        """An object under its root key, cut to the fields that are asked for."""
        return answer({view.root: cut(shown, parse_fields(self.request.query_params))}, status)

    # Writing

    def root(self, root: str) -> Any:
        """What the body holds under its one key. Raises InvalidInput."""
        return parse_root(self.raw, root, self.context.settings.api.max_body_values)

    def object(self, root: str) -> dict[str, Any]:
        """The object in the body. Raises InvalidInput."""
        value = self.root(root)
        if not isinstance(value, dict):
            raise InvalidInput(root, "must be an object")
        return value

    def object_of_somewhere(self, root: str, rule: str) -> dict[str, Any]:
        """The object in a body that says itself which project it is about, before which nobody can be authorized for
        it. Whoever may not do this in his own project, and not in any, is read only where it costs next to nothing.

        Raises:
            Forbidden: it is longer than that.
            InvalidInput: see ``object``.
        """
        if len(self.raw) > FREE_BODY_BYTES:
            allows, identity = self.context.policy.allows, self.identity
            if not allows(identity, rule, None):
                self.authorize(rule, identity.project_id)
        return self.object(root)

    def values(self, kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of a kind that were given. Raises InvalidInput for one that cannot be set."""
        return own_values(kind.view, kind.spec.model_fields, given)

    def authorize_part(self, kind: Kind, parent: Kind, parent_id: str) -> None:
        """Raises Forbidden unless the caller may create such a part there."""
        self.authorize(f"{kind.policy}:post", self.project_of(parent, parent_id))

    def create_part(
        self, kind: Kind, parent_id: str, given: Mapping[str, Any], listener_id: str | None = None
    ) -> Response:
        """Have a part of a load balancer built, by a caller who is authorized for it. It belongs to its parent's
        project, whatever the body says."""
        values = self.values(kind, given)
        values.pop("project_id", None)
        accepted = self.context.requests.create(
            kind.name, parent_id, listener_id=listener_id, request_id=self.request_id, **values
        )
        return answer({kind.view.root: accepted.shown}, 201)

    def update_kind(self, kind: Kind, object_id: str, scope: Mapping[str, str] | None = None) -> Response:
        """Have the named attributes changed; the others stay as they are."""
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
        """Have an object deleted."""
        self.authorize(f"{kind.policy}:delete", self.project_of(kind, object_id, scope))
        self.context.requests.delete(kind.name, object_id, cascade=cascade, request_id=self.request_id)
        return Response(status_code=204)

    def fail_over(self, name: Replaceable, object_id: str) -> Response:
        """Have an amphora, or all of a load balancer's, replaced."""
        kind = kind_of(name)
        self.authorize(f"{kind.policy}:put_failover", self.project_of(kind, object_id))
        self.context.requests.failover(name, object_id, request_id=self.request_id)
        return Response(status_code=202)


async def receive_call(request: Request) -> Call:
    """The call that a request makes."""
    context: Context = request.app.state.context
    identity = await context.authenticator.identify(request)
    raw = bytearray()
    if request.method in ("POST", "PUT"):
        raw = await read_body(request, context.settings.api.max_body_bytes)
    return Call(request, context, identity, raw)


Received = Annotated[Call, Depends(receive_call)]
