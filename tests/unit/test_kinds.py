"""The table of kinds is complete, and other tables have an entry for each kind."""

from __future__ import annotations

from typing import Any, get_args, get_origin, get_type_hints

import pytest

from portico.api.policy_rules import PREFIX, list_rules
from portico.errors import InvalidInput
from portico.flows.dispatch import FLOWS
from portico.resources import LoadBalancer, Quota, Vip
from portico.resources.kinds import (
    AMPHORA,
    DESCRIBED,
    KINDS,
    L7POLICY,
    L7RULE,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    PARTS,
    POOL,
    REPLACEABLE,
    AnyKind,
    Described,
    Kind,
    KindName,
    Replaceable,
    Tree,
    kind_of,
    kind_of_model,
)
from portico.resources.operation import Action
from portico.resources.quota import QUOTA_KINDS, QUOTA_VIEW, QuotaSpec
from portico.resources.row import table_of
from portico.settings import QuotaSettings


def literals_of(kinds: Any) -> set[str]:
    """The literals of a union that also contains ``KindName``."""
    return {word for one in get_args(kinds) if get_origin(one) is not None for word in get_args(one)}


def test_the_table_has_every_kind_under_its_name() -> None:
    """There is one entry for each name, and mypy accepts the same names as strings."""
    assert list(KINDS) == list(KindName)
    assert [kind.name for kind in KINDS.values()] == list(KindName)
    assert literals_of(AnyKind) == set(KindName)
    assert literals_of(Described) == {kind.name for kind in DESCRIBED}
    assert set(get_args(Replaceable)) == set(REPLACEABLE) | {name.value for name in REPLACEABLE}
    assert {kind for kind, action in FLOWS if action == Action.FAILOVER} == set(REPLACEABLE)
    assert set(KINDS.values()) - set(DESCRIBED) == {AMPHORA}


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_kind_is_found_by_its_name_and_by_its_rows(kind: Kind) -> None:
    """A kind's table has the kind's name, so statements show which kind of row they use."""
    assert kind_of(kind.name) is kind_of(str(kind.name)) is kind_of_model(kind.model) is kind
    assert kind.model.__tablename__ == kind.name


@pytest.mark.parametrize("name", ["loadbalancer", "", None, 5, ["pool"]])
def test_other_names_are_refused(name: Any) -> None:
    """Any other value is refused with an error that lists the names."""
    with pytest.raises(InvalidInput, match="must be one of load_balancer, listener") as refusal:
        kind_of(name)
    assert ("did you mean 'load_balancer'?" in str(refusal.value)) is (name == "loadbalancer")


def test_the_tree_contains_every_part() -> None:
    """Each list of the tree belongs to one kind: the parts in the table's order, the VIPs and the amphorae."""
    lists = {name: hint for name, hint in get_type_hints(Tree).items() if get_origin(hint) is list}

    assert [name for name in lists if name not in ("vips", "amphorae")] == [kind.plural for kind in PARTS]
    assert {name: get_args(hint)[0] for name, hint in lists.items()} == {
        "vips": Vip,
        **{kind.plural: kind.model for kind in (AMPHORA, *PARTS)},
    }
    assert get_type_hints(Tree)["load_balancer"] is LoadBalancer


@pytest.mark.parametrize("kind", PARTS, ids=str)
def test_a_part_refers_to_its_parent(kind: Kind) -> None:
    """A part has a column named after its parent, is deleted with it, and comes after it in the table."""
    parent = kind.parent
    assert parent is not None
    [key] = table_of(kind.model).c[parent.id_field].foreign_keys
    assert (key.column.table, key.ondelete) == (table_of(parent.model), "CASCADE")
    assert DESCRIBED.index(parent) < DESCRIBED.index(kind)


def test_ancestors_follow_from_parents() -> None:
    """Ancestors are listed from the nearest. The load balancer, to which everything belongs, is not one of them."""
    assert L7RULE.ancestors == (L7POLICY, LISTENER)
    assert MEMBER.ancestors == (POOL,)
    assert LISTENER.ancestors == LOAD_BALANCER.ancestors == AMPHORA.ancestors == ()


def test_limited_kinds_have_a_limit_everywhere() -> None:
    """The quota table, the quota spec, the quota view and the settings have the same limits."""
    limited = {kind.name for kind in KINDS.values() if kind.quota is not None}

    assert set(QUOTA_KINDS) == set(QuotaSpec.model_fields) == set(QuotaSettings.model_fields) == limited
    assert set(table_of(Quota).columns.keys()) == {*limited, "project_id"}
    assert set(QUOTA_VIEW.shown) == {*limited, "project_id"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_every_kind_has_policy_rules(kind: Kind) -> None:
    """Each request for each kind has a policy rule."""
    rules = {rule.name.removeprefix(PREFIX) for rule in list_rules()}
    requests = {"get_all", "get_one", "delete"} | ({"post", "put"} if kind in DESCRIBED else set())

    assert {f"{kind.policy}:{one}" for one in requests} <= rules


@pytest.mark.parametrize("kind", DESCRIBED, ids=str)
def test_every_described_kind_has_its_flows(kind: Kind) -> None:
    """Each described kind can be created, changed and deleted."""
    assert {action for name, action in FLOWS if name == kind.name} >= {Action.CREATE, Action.UPDATE, Action.DELETE}
