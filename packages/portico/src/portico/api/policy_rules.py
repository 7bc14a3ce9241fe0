"""The rules of the policy: the name of each, its default, its description and its requests.

Names and defaults are those that Octavia publishes, so that its roles and operators' existing policy files mean the
same here. ``docs/reference/policy.md`` is generated from this module.
"""

from __future__ import annotations

from collections.abc import Sequence

from oslo_policy.policy import DocumentedRuleDefault, Operation, RuleDefault

PREFIX = "os_load-balancer_api:"
SCOPES = ("system", "project")
"""Scopes of tokens that can be allowed anything: a token scoped to a domain never is."""

READ = "rule:load-balancer:read"
READ_GLOBAL = "rule:load-balancer:read-global"
WRITE = "rule:load-balancer:write"
ADMIN = "rule:load-balancer:admin"
READ_QUOTA = "rule:load-balancer:read-quota"
READ_QUOTA_GLOBAL = "rule:load-balancer:read-quota-global"
WRITE_QUOTA = "rule:load-balancer:write-quota"

_ROLES: Sequence[tuple[str, str, str]] = (
    ("load-balancer:owner", "project_id:%(project_id)s", "The caller acts in the project that the object belongs to."),
    (
        "load-balancer:admin",
        "role:admin or role:load-balancer_admin",
        "An administrator: may do everything in every project.",
    ),
    (
        "load-balancer:observer_and_owner",
        "(role:load-balancer_observer or role:reader) and rule:load-balancer:owner",
        "May see the objects of their own project.",
    ),
    (
        "load-balancer:member_and_owner",
        "(role:load-balancer_member or role:member) and rule:load-balancer:owner",
        "May see and change the objects of their own project.",
    ),
    ("load-balancer:global_observer", "role:load-balancer_global_observer", "May see the objects of every project."),
    ("load-balancer:quota-admin", "role:load-balancer_quota_admin", "May see and set the quotas of every project."),
    (
        "load-balancer:read",
        (
            "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
            "rule:load-balancer:member_and_owner or rule:load-balancer:admin"
        ),
        "May see objects.",
    ),
    (
        "load-balancer:read-global",
        "rule:load-balancer:global_observer or rule:load-balancer:admin",
        "May see objects of other projects.",
    ),
    (
        "load-balancer:write",
        "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
        "May create, change and delete objects.",
    ),
    (
        "load-balancer:read-quota",
        (
            "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
            "rule:load-balancer:member_and_owner or rule:load-balancer:quota-admin or rule:load-balancer:admin"
        ),
        "May see a quota.",
    ),
    (
        "load-balancer:read-quota-global",
        "rule:load-balancer:global_observer or rule:load-balancer:quota-admin or rule:load-balancer:admin",
        "May see the quotas of other projects.",
    ),
    (
        "load-balancer:write-quota",
        "rule:load-balancer:quota-admin or rule:load-balancer:admin",
        "May set quotas.",
    ),
)

_ACTIONS: Sequence[tuple[str, str, str, str]] = (
    ("loadbalancer:get_all", READ, "List load balancers", "GET /v2.0/lbaas/loadbalancers"),
    (
        "loadbalancer:get_all-global",
        READ_GLOBAL,
        "List the load balancers of all projects",
        "GET /v2.0/lbaas/loadbalancers",
    ),
    ("loadbalancer:post", WRITE, "Create a load balancer", "POST /v2.0/lbaas/loadbalancers"),
    ("loadbalancer:get_one", READ, "Show a load balancer", "GET /v2.0/lbaas/loadbalancers/{load_balancer_id}"),
    ("loadbalancer:put", WRITE, "Change a load balancer", "PUT /v2.0/lbaas/loadbalancers/{load_balancer_id}"),
    ("loadbalancer:delete", WRITE, "Delete a load balancer", "DELETE /v2.0/lbaas/loadbalancers/{load_balancer_id}"),
    ("loadbalancer:get_stats", READ, "Show its counters", "GET /v2.0/lbaas/loadbalancers/{load_balancer_id}/stats"),
    (
        "loadbalancer:get_status",
        READ,
        "Show its status tree",
        "GET /v2.0/lbaas/loadbalancers/{load_balancer_id}/status",
    ),
    (
        "loadbalancer:put_failover",
        ADMIN,
        "Fail it over",
        "PUT /v2.0/lbaas/loadbalancers/{load_balancer_id}/failover",
    ),
    ("listener:get_all", READ, "List listeners", "GET /v2.0/lbaas/listeners"),
    ("listener:get_all-global", READ_GLOBAL, "List the listeners of all projects", "GET /v2.0/lbaas/listeners"),
    ("listener:post", WRITE, "Create a listener", "POST /v2.0/lbaas/listeners"),
    ("listener:get_one", READ, "Show a listener", "GET /v2.0/lbaas/listeners/{listener_id}"),
    ("listener:put", WRITE, "Change a listener", "PUT /v2.0/lbaas/listeners/{listener_id}"),
    ("listener:delete", WRITE, "Delete a listener", "DELETE /v2.0/lbaas/listeners/{listener_id}"),
    ("listener:get_stats", READ, "Show its counters", "GET /v2.0/lbaas/listeners/{listener_id}/stats"),
    ("pool:get_all", READ, "List pools", "GET /v2.0/lbaas/pools"),
    ("pool:get_all-global", READ_GLOBAL, "List the pools of all projects", "GET /v2.0/lbaas/pools"),
    ("pool:post", WRITE, "Create a pool", "POST /v2.0/lbaas/pools"),
    ("pool:get_one", READ, "Show a pool", "GET /v2.0/lbaas/pools/{pool_id}"),
    ("pool:put", WRITE, "Change a pool", "PUT /v2.0/lbaas/pools/{pool_id}"),
    ("pool:delete", WRITE, "Delete a pool", "DELETE /v2.0/lbaas/pools/{pool_id}"),
    ("member:get_all", READ, "List the members of a pool", "GET /v2.0/lbaas/pools/{pool_id}/members"),
    ("member:post", WRITE, "Create a member", "POST /v2.0/lbaas/pools/{pool_id}/members"),
    ("member:get_one", READ, "Show a member", "GET /v2.0/lbaas/pools/{pool_id}/members/{member_id}"),
    (
        "member:put",
        WRITE,
        "Change a member, or replace all members of a pool",
        "PUT /v2.0/lbaas/pools/{pool_id}/members/{member_id}, PUT /v2.0/lbaas/pools/{pool_id}/members",
    ),
    ("member:delete", WRITE, "Delete a member", "DELETE /v2.0/lbaas/pools/{pool_id}/members/{member_id}"),
    ("healthmonitor:get_all", READ, "List health monitors", "GET /v2.0/lbaas/healthmonitors"),
    (
        "healthmonitor:get_all-global",
        READ_GLOBAL,
        "List the health monitors of all projects",
        "GET /v2.0/lbaas/healthmonitors",
    ),
    ("healthmonitor:post", WRITE, "Create a health monitor", "POST /v2.0/lbaas/healthmonitors"),
    ("healthmonitor:get_one", READ, "Show a health monitor", "GET /v2.0/lbaas/healthmonitors/{health_monitor_id}"),
    ("healthmonitor:put", WRITE, "Change a health monitor", "PUT /v2.0/lbaas/healthmonitors/{health_monitor_id}"),
    (
        "healthmonitor:delete",
        WRITE,
        "Delete a health monitor",
        "DELETE /v2.0/lbaas/healthmonitors/{health_monitor_id}",
    ),
    ("l7policy:get_all", READ, "List L7 policies", "GET /v2.0/lbaas/l7policies"),
    ("l7policy:get_all-global", READ_GLOBAL, "List the L7 policies of all projects", "GET /v2.0/lbaas/l7policies"),
    ("l7policy:post", WRITE, "Create an L7 policy", "POST /v2.0/lbaas/l7policies"),
    ("l7policy:get_one", READ, "Show an L7 policy", "GET /v2.0/lbaas/l7policies/{l7policy_id}"),
    ("l7policy:put", WRITE, "Change an L7 policy", "PUT /v2.0/lbaas/l7policies/{l7policy_id}"),
    ("l7policy:delete", WRITE, "Delete an L7 policy", "DELETE /v2.0/lbaas/l7policies/{l7policy_id}"),
    ("l7rule:get_all", READ, "List the rules of an L7 policy", "GET /v2.0/lbaas/l7policies/{l7policy_id}/rules"),
    ("l7rule:post", WRITE, "Create an L7 rule", "POST /v2.0/lbaas/l7policies/{l7policy_id}/rules"),
    ("l7rule:get_one", READ, "Show an L7 rule", "GET /v2.0/lbaas/l7policies/{l7policy_id}/rules/{rule_id}"),
    ("l7rule:put", WRITE, "Change an L7 rule", "PUT /v2.0/lbaas/l7policies/{l7policy_id}/rules/{rule_id}"),
    ("l7rule:delete", WRITE, "Delete an L7 rule", "DELETE /v2.0/lbaas/l7policies/{l7policy_id}/rules/{rule_id}"),
    ("amphora:get_all", ADMIN, "List amphorae", "GET /v2.0/octavia/amphorae"),
    ("amphora:get_one", ADMIN, "Show an amphora", "GET /v2.0/octavia/amphorae/{amphora_id}"),
    ("amphora:get_stats", ADMIN, "Show its counters", "GET /v2.0/octavia/amphorae/{amphora_id}/stats"),
    ("amphora:put_failover", ADMIN, "Fail an amphora over", "PUT /v2.0/octavia/amphorae/{amphora_id}/failover"),
    ("amphora:put_config", ADMIN, "Push its configuration again", "PUT /v2.0/octavia/amphorae/{amphora_id}/config"),
    ("amphora:delete", ADMIN, "Delete an amphora", "DELETE /v2.0/octavia/amphorae/{amphora_id}"),
    ("quota:get_all", READ_QUOTA, "List quotas", "GET /v2.0/lbaas/quotas"),
    ("quota:get_all-global", READ_QUOTA_GLOBAL, "List the quotas of all projects", "GET /v2.0/lbaas/quotas"),
    ("quota:get_one", READ_QUOTA, "Show a project's quota", "GET /v2.0/lbaas/quotas/{project_id}"),
    (
        "quota:get_defaults",
        READ_QUOTA,
        "Show the default quotas",
        "GET /v2.0/lbaas/quotas/{project_id}/default, GET /v2.0/lbaas/quotas/defaults",
    ),
    ("quota:put", WRITE_QUOTA, "Set a project's quota", "PUT /v2.0/lbaas/quotas/{project_id}"),
    ("quota:delete", WRITE_QUOTA, "Reset a project's quota to the defaults", "DELETE /v2.0/lbaas/quotas/{project_id}"),
    ("provider:get_all", READ, "List providers", "GET /v2.0/lbaas/providers"),
    (
        "provider-flavor:get_all",
        ADMIN,
        "List the options of flavor profiles",
        "GET /v2.0/lbaas/providers/{provider}/flavor_capabilities",
    ),
    (
        "provider-availability-zone:get_all",
        ADMIN,
        "List the options of availability zone profiles",
        "GET /v2.0/lbaas/providers/{provider}/availability_zone_capabilities",
    ),
    ("flavor:get_all", READ, "List flavors", "GET /v2.0/lbaas/flavors"),
    ("flavor:get_one", READ, "Show a flavor", "GET /v2.0/lbaas/flavors/{flavor_id}"),
    ("flavor:post", ADMIN, "Create a flavor", "POST /v2.0/lbaas/flavors"),
    ("flavor:put", ADMIN, "Change a flavor", "PUT /v2.0/lbaas/flavors/{flavor_id}"),
    ("flavor:delete", ADMIN, "Delete a flavor", "DELETE /v2.0/lbaas/flavors/{flavor_id}"),
    ("flavor-profile:get_all", ADMIN, "List flavor profiles", "GET /v2.0/lbaas/flavorprofiles"),
    ("flavor-profile:get_one", ADMIN, "Show a flavor profile", "GET /v2.0/lbaas/flavorprofiles/{flavor_profile_id}"),
    ("flavor-profile:post", ADMIN, "Create a flavor profile", "POST /v2.0/lbaas/flavorprofiles"),
    ("flavor-profile:put", ADMIN, "Change a flavor profile", "PUT /v2.0/lbaas/flavorprofiles/{flavor_profile_id}"),
    (
        "flavor-profile:delete",
        ADMIN,
        "Delete a flavor profile",
        "DELETE /v2.0/lbaas/flavorprofiles/{flavor_profile_id}",
    ),
    ("availability-zone:get_all", READ, "List availability zones", "GET /v2.0/lbaas/availabilityzones"),
    ("availability-zone:get_one", READ, "Show an availability zone", "GET /v2.0/lbaas/availabilityzones/{name}"),
    ("availability-zone:post", ADMIN, "Create an availability zone", "POST /v2.0/lbaas/availabilityzones"),
    ("availability-zone:put", ADMIN, "Change an availability zone", "PUT /v2.0/lbaas/availabilityzones/{name}"),
    ("availability-zone:delete", ADMIN, "Delete an availability zone", "DELETE /v2.0/lbaas/availabilityzones/{name}"),
    (
        "availability-zone-profile:get_all",
        ADMIN,
        "List availability zone profiles",
        "GET /v2.0/lbaas/availabilityzoneprofiles",
    ),
    (
        "availability-zone-profile:get_one",
        ADMIN,
        "Show an availability zone profile",
        "GET /v2.0/lbaas/availabilityzoneprofiles/{profile_id}",
    ),
    (
        "availability-zone-profile:post",
        ADMIN,
        "Create an availability zone profile",
        "POST /v2.0/lbaas/availabilityzoneprofiles",
    ),
    (
        "availability-zone-profile:put",
        ADMIN,
        "Change an availability zone profile",
        "PUT /v2.0/lbaas/availabilityzoneprofiles/{profile_id}",
    ),
    (
        "availability-zone-profile:delete",
        ADMIN,
        "Delete an availability zone profile",
        "DELETE /v2.0/lbaas/availabilityzoneprofiles/{profile_id}",
    ),
)


def list_rules() -> list[RuleDefault]:
    """Return all rules with their defaults: first those that other rules refer to, then those that the API checks."""
    roles = [RuleDefault(name, check, text, scope_types=list(SCOPES)) for name, check, text in _ROLES]
    actions = [
        DocumentedRuleDefault(PREFIX + name, check, text, _operations(where), scope_types=list(SCOPES))
        for name, check, text, where in _ACTIONS
    ]
    return [*roles, *actions]


def _operations(where: str) -> list[Operation]:
    pairs = (one.split(" ") for one in where.split(", "))
    return [{"method": method, "path": path} for method, path in pairs]


_REFERENCE = """\
# The policy

Generated from `packages/portico/src/portico/api/policy_rules.py`; a test compares them.
Names and defaults are those that Octavia publishes.

What a caller may do depends on the roles of their token, and on the project that it is scoped to. A load balancer and
everything below it belong to a project. A caller without a global role can neither see nor change the objects of
another project: the API answers 403, and lists leave them out.

| role | where | may |
|---|---|---|
| `reader`, `load-balancer_observer` | in the project | see |
| `member`, `load-balancer_member` | in the project | see, create, change, delete |
| `load-balancer_global_observer` | anywhere | see everything of every project |
| `load-balancer_quota_admin` | anywhere | see and set the quotas of every project, and nothing else |
| `admin`, `load-balancer_admin` | anywhere | do everything in every project |

A token for the system as a whole (`system_scope:all`) may do what its roles may do anywhere. A token that is scoped to
a domain, or unscoped, may do nothing. With `api.auth = "noauth"` every caller has the role `admin`.

A rule in the file that `api.policy_file` names replaces the default of the same name:

```yaml
# Users may fail over their own load balancers; only administrators may see flavors.
"os_load-balancer_api:loadbalancer:put_failover": "rule:load-balancer:write"
"os_load-balancer_api:flavor:get_all": "rule:load-balancer:admin"
```

Rules are written in the language of [oslo.policy](https://docs.openstack.org/oslo.policy/latest/). The file is read
again when it changes. If it is wrong then, the rules stay as they were, and the reason is logged. At startup, a wrong
file is an error.
"""


def describe_rules() -> str:
    """Return the reference page of the rules, as Markdown."""
    lines = ["", "## Rules that other rules refer to", "", "| rule | default | |", "|---|---|---|"]
    lines += [f"| `{name}` | `{check}` | {text} |" for name, check, text in _ROLES]
    lines += ["", "## Rules that the API checks", ""]
    lines += [f"The name of each begins with `{PREFIX}`.", "", "| rule | default | | request |", "|---|---|---|---|"]
    for name, check, text, where in _ACTIONS:
        lines.append(f"| `{name}` | `{check}` | {text} | {', '.join(f'`{one}`' for one in where.split(', '))} |")
    return _REFERENCE + "\n".join(lines) + "\n"
