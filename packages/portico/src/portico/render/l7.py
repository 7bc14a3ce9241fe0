"""L7 policies and rules as ACLs and actions.

**Which policy wins.** The Octavia L7 guide publishes an order for amphorae: REJECT before everything else, then
redirects to URLs, then REDIRECT_TO_POOL; among those of one kind the lowest position wins. Tenants' policies are
written for that order, so Portico keeps it. REDIRECT_PREFIX is a redirect to a URL and shares its rank. It is
HAProxy's own order too (``http-request`` comes before ``use_backend``), so no state is carried from one rule to
another.

**What matches.** All rules of a policy must match. A policy without a rule that is up matches nothing and is left
out. So is one whose pool is not in the tree.

- HOST_NAME: the request's host without its port, or with it as it was sent, upper and lower case alike.
- PATH: the path without the query string, as sent (not percent-decoded).
- FILE_TYPE: EQUAL_TO ``tar.gz`` or ``.tar.gz`` is a path that ends in ``.tar.gz``; REGEX looks at what follows the last
  dot of the last segment (nothing, where there is no dot), and at the same with that dot. One that speaks of more than
  an extension looks at the whole path too: it names a slash, or a dot and the path's end.
- HEADER: the whole value of a header of that name, or one of the values in its comma-separated list.
- COOKIE: the value of a cookie of that name.

**What is compared.** A value's quotes are read first (``resources/l7rule_value.py``). A regular expression is compared
as it stands, in the spelling that is safe for the engines (``resources/regular_expression_cost.py``); one that was
accepted before there were rules for it, and breaks them, as it is.

A rule that looks at several things is an ACL of several lines, which "or" joins; an inverted one matches where none of
them does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from portico.errors import InvalidInput, NotSupported
from portico.render.model import Argument, Directive, Keyword, Text, fetch, identifier, template
from portico.resources import L7Policy, L7Rule, Listener
from portico.resources.kinds import Tree
from portico.resources.l7policy import PolicyAction
from portico.resources.l7rule import Comparison, RuleType
from portico.resources.l7rule_value import compared
from portico.resources.regular_expression import InvalidExpression
from portico.resources.regular_expression_cost import engine_spelling

BackendName: TypeAlias = Callable[[Listener, str | None], Text | None]
"""The backend that serves a listener from the pool of this id; None where that pool is not rendered."""

_RANK: dict[str, int] = {
    PolicyAction.REJECT: 0,
    PolicyAction.REDIRECT_TO_URL: 1,
    PolicyAction.REDIRECT_PREFIX: 1,
    PolicyAction.REDIRECT_TO_POOL: 2,
}
_MATCH: dict[str, Keyword] = {
    Comparison.REGEX: Keyword("reg"),
    Comparison.STARTS_WITH: Keyword("beg"),
    Comparison.ENDS_WITH: Keyword("end"),
    Comparison.CONTAINS: Keyword("sub"),
    Comparison.EQUAL_TO: Keyword("str"),
}
_CODES = (301, 302, 303, 307, 308)
_DEFAULT_CODE = 302
"""``redirect_http_code`` where the user said none: the default in the v2 API reference."""
_PATH = Keyword("path")
_HOSTS = (Keyword("req.fhdr(host),host_only"), Keyword("req.fhdr(host)"))
_EXTENSIONS = (
    Text("type", r"path,field(-1,/),regsub(^[^.]*$,),field(-1,.)"),
    Text("type", r"path,field(-1,/),regsub(^[^.]*$,),regsub(^.*[.],.)"),
)
"""The last segment, emptied where it has no dot, then what follows its last dot; and the same with that dot."""
_OF_PATHS = re.compile(r".*/.*|.*(\\\.|\[\.\]).*\$\)*")
"""Regular expressions that speak of more of a path than of an extension."""
_IF = Keyword("if")


def policy_directives(listener: Listener, tree: Tree, backend: BackendName) -> list[Directive]:
    """The ACLs and actions of a listener's policies, those that win first.

    Raises:
        InvalidInput: an attribute breaks a rule of its spec, or the listener does not look into requests.
        NotSupported: a rule that needs TLS termination.
    """
    policies = policies_in_force(listener, tree)
    if policies and listener.protocol != "HTTP":
        raise InvalidInput("listener_id", f"L7 policies need an HTTP listener, not {listener.protocol}")
    acls: list[Directive] = []
    actions: list[Directive] = []
    for policy in sorted(policies, key=_rank):
        rules = _rules_in_force(policy, tree)
        action = _action(policy, _condition(rules), backend(listener, policy.redirect_pool_id))
        if action is not None:
            acls.extend(directive for rule in rules for directive in _acls(rule))
            actions.append(action)
    return acls + actions


def policies_in_force(listener: Listener, tree: Tree) -> list[L7Policy]:
    """A listener's policies that can match: up, and with a rule that is up."""
    return [
        policy
        for policy in tree.policies_of.get(listener.id, ())
        if policy.admin_state_up and _rules_in_force(policy, tree)
    ]


def _rules_in_force(policy: L7Policy, tree: Tree) -> list[L7Rule]:
    return [rule for rule in tree.rules_of.get(policy.id, ()) if rule.admin_state_up]


def _rank(policy: L7Policy) -> int:
    """Sorting by this keeps positions within a rank: ``policies_of`` is in their order and sorting is stable."""
    rank = _RANK.get(policy.action)
    if rank is None:
        raise NotSupported("action", f"{policy.action!r} is not built")
    return rank


def _condition(rules: Sequence[L7Rule]) -> list[Argument]:
    """``if`` and the names of the ACLs, which HAProxy joins by "and"."""
    return [_IF, *(_negated(rule) if rule.invert else identifier("id", rule.id) for rule in rules)]


def _negated(rule: L7Rule) -> Text:
    return Text("id", "!" + identifier("id", rule.id).word)


def _action(policy: L7Policy, condition: list[Argument], pool: Text | None) -> Directive | None:
    match policy.action:
        case PolicyAction.REJECT:
            return Directive("http-request deny", *condition)
        case PolicyAction.REDIRECT_TO_URL:
            url = template("redirect_url", policy.redirect_url or "")
            return Directive("http-request redirect location", url, Keyword("code"), _code(policy), *condition)
        case PolicyAction.REDIRECT_PREFIX:
            prefix = template("redirect_prefix", policy.redirect_prefix or "")
            return Directive("http-request redirect prefix", prefix, Keyword("code"), _code(policy), *condition)
    return None if pool is None else Directive("use_backend", pool, *condition)


def _code(policy: L7Policy) -> int:
    code = policy.redirect_http_code or _DEFAULT_CODE
    if code not in _CODES:
        raise InvalidInput("redirect_http_code", f"must be one of {', '.join(map(str, _CODES))}")
    return code


def _acls(rule: L7Rule) -> Iterator[Directive]:
    """One ACL, under the rule's id; several lines of one name are joined by "or"."""
    match = _MATCH.get(Comparison.ENDS_WITH if _is_extension(rule) else rule.compare_type)
    if match is None:
        raise NotSupported("compare_type", f"{rule.compare_type!r} is not built")
    # "--" ends the flags: a value that begins with "-" stays a value.
    comparison: list[Argument] = [Keyword("-m"), match, Keyword("--"), Text("value", _compared(rule))]
    if rule.type == RuleType.HOST_NAME:
        comparison.insert(0, Keyword("-i"))
    for sample in _samples(rule):
        yield Directive("acl", identifier("id", rule.id), sample, *comparison)


def _compared(rule: L7Rule) -> str:
    if rule.compare_type == Comparison.REGEX:
        try:
            return engine_spelling(rule.value)
        except InvalidExpression:  # accepted before it was one: the daemon has taken it
            return rule.value
    value = compared(rule.value)
    return f".{value.removeprefix('.')}" if _is_extension(rule) else value


def _is_extension(rule: L7Rule) -> bool:
    """Whether it asks what a path ends in, with its dot."""
    return rule.type == RuleType.FILE_TYPE and rule.compare_type == Comparison.EQUAL_TO


def _samples(rule: L7Rule) -> Iterator[Argument]:
    """What a rule looks at."""
    match rule.type:
        case RuleType.HOST_NAME:
            yield from _HOSTS
        case RuleType.PATH:
            yield _PATH
        case RuleType.FILE_TYPE if rule.compare_type == Comparison.REGEX:
            yield from _EXTENSIONS
            if _OF_PATHS.fullmatch(rule.value):
                yield _PATH
        case RuleType.FILE_TYPE:
            yield _PATH
        case RuleType.HEADER:
            for function in ("req.fhdr", "req.hdr"):
                yield fetch(function, "key", rule.key or "")
        case RuleType.COOKIE:
            yield fetch("req.cook", "key", rule.key or "")
        case _:
            raise NotSupported("type", f"{rule.type} rules need TLS termination, which is not built yet")
