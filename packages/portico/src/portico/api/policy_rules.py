"""The policy's rules: what each is called, who may, and what it is about.

Names and defaults are those that Octavia publishes, so that its roles, and the policy files that operators have, mean
the same here. ``docs/reference/policy.md`` is generated from this page.
"""

from __future__ import annotations

from collections.abc import Sequence

from oslo_policy.policy import DocumentedRuleDefault, Operation, RuleDefault

PREFIX = "os_load-balancer_api:"
SCOPES = ("system", "project")
"""Scopes of tokens that may do anything at all: one of a domain never does."""

READ = "rule:load-balancer:read"
READ_GLOBAL = "rule:load-balancer:read-global"
WRITE = "rule:load-balancer:write"
ADMIN = "rule:load-balancer:admin"
READ_QUOTA = "rule:load-balancer:read-quota"
READ_QUOTA_GLOBAL = "rule:load-balancer:read-quota-global"
WRITE_QUOTA = "rule:load-balancer:write-quota"

_ROLES: Sequence[tuple[str, str, str]] = (
    ("load-balancer:owner", "project_id:%(project_id)s", "The caller acts in the project that the object is of."),
    (
        "load-balancer:admin",
        "role:admin or role:load-balancer_admin",
        "An administrator: everything, in every project.",
    ),
    (
        "load-balancer:observer_and_owner",
        "(role:load-balancer_observer or role:reader) and rule:load-balancer:owner",
        "Who sees what is his own project's.",
    ),
    (
        "load-balancer:member_and_owner",
        "(role:load-balancer_member or role:member) and rule:load-balancer:owner",
        "Who sees and changes what is his own project's.",
    ),
    ("load-balancer:global_observer", "role:load-balancer_global_observer", "Who sees what is of any project."),
    ("load-balancer:quota-admin", "role:load-balancer_quota_admin", "Who sees and sets the quotas of any project."),
    (
        "load-balancer:read",
        (
            "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
            "rule:load-balancer:member_and_owner or rule:load-balancer:admin"
        ),
        "May see.",
    ),
    (
        "load-balancer:read-global",
        "rule:load-balancer:global_observer or rule:load-balancer:admin",
        "May see what is of other projects.",
    ),
    (
        "load-balancer:write",
        "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
        "May create, change and delete.",
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
    ("loadbalancer:get_all-global", READ_GLOBAL, "List those of all projects", "GET /v2.0/lbaas/loadbalancers"),
    ("loadbalancer:post", WRITE, "Create a load balancer", "POST /v2.0/lbaas/loadbalancers"),
    ("loadbalancer:get_one", READ, "Show a load balancer", "GET /v2.0/lbaas/loadbalancers/{load_balancer_id}"),
    ("loadbalancer:put", WRITE, "Change a load balancer", "PUT /v2.0/lbaas/loadbalancers/{load_balancer_id}"),
    ("loadbalancer:delete", WRITE, "Delete a load balancer", "DELETE /v2.0/lbaas/loadbalancers/{load_balancer_id}"),
    ("loadbalancer:get_stats", READ, "Show its traffic", "GET /v2.0/lbaas/loadbalancers/{load_balancer_id}/stats"),
    ("loadbalancer:get_status", READ, "Show its tree", "GET /v2.0/lbaas/loadbalancers/{load_balancer_id}/status"),
    (
        "loadbalancer:put_failover",
        ADMIN,
        "Replace its amphorae",
        "PUT /v2.0/lbaas/loadbalancers/{load_balancer_id}/failover",
    ),
    ("listener:get_all", READ, "List listeners", "GET /v2.0/lbaas/listeners"),
    ("listener:get_all-global", READ_GLOBAL, "List those of all projects", "GET /v2.0/lbaas/listeners"),
    ("listener:post", WRITE, "Create a listener", "POST /v2.0/lbaas/listeners"),
    ("listener:get_one", READ, "Show a listener", "GET /v2.0/lbaas/listeners/{listener_id}"),
    ("listener:put", WRITE, "Change a listener", "PUT /v2.0/lbaas/listeners/{listener_id}"),
    ("listener:delete", WRITE, "Delete a listener", "DELETE /v2.0/lbaas/listeners/{listener_id}"),
    ("listener:get_stats", READ, "Show its traffic", "GET /v2.0/lbaas/listeners/{listener_id}/stats"),
    ("pool:get_all", READ, "List pools", "GET /v2.0/lbaas/pools"),
    ("pool:get_all-global", READ_GLOBAL, "List those of all projects", "GET /v2.0/lbaas/pools"),
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
        "Change a member, or replace all of a pool",
        "PUT /v2.0/lbaas/pools/{pool_id}/members/{member_id}, PUT /v2.0/lbaas/pools/{pool_id}/members",
    ),
    ("member:delete", WRITE, "Delete a member", "DELETE /v2.0/lbaas/pools/{pool_id}/members/{member_id}"),
    ("healthmonitor:get_all", READ, "List health monitors", "GET /v2.0/lbaas/healthmonitors"),
    ("healthmonitor:get_all-global", READ_GLOBAL, "List those of all projects", "GET /v2.0/lbaas/healthmonitors"),
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
    ("l7policy:get_all-global", READ_GLOBAL, "List those of all projects", "GET /v2.0/lbaas/l7policies"),
    ("l7policy:post", WRITE, "Create an L7 policy", "POST /v2.0/lbaas/l7policies"),
    ("l7policy:get_one", READ, "Show an L7 policy", "GET /v2.0/lbaas/l7policies/{l7policy_id}"),
    ("l7policy:put", WRITE, "Change an L7 policy", "PUT /v2.0/lbaas/l7policies/{l7policy_id}"),
    ("l7policy:delete", WRITE, "Delete an L7 policy", "DELETE /v2.0/lbaas/l7policies/{l7policy_id}"),
    ("l7rule:get_all", READ, "List the rules of a policy", "GET /v2.0/lbaas/l7policies/{l7policy_id}/rules"),
    ("l7rule:post", WRITE, "Create a rule", "POST /v2.0/lbaas/l7policies/{l7policy_id}/rules"),
    ("l7rule:get_one", READ, "Show a rule", "GET /v2.0/lbaas/l7policies/{l7policy_id}/rules/{rule_id}"),
    ("l7rule:put", WRITE, "Change a rule", "PUT /v2.0/lbaas/l7policies/{l7policy_id}/rules/{rule_id}"),
    ("l7rule:delete", WRITE, "Delete a rule", "DELETE /v2.0/lbaas/l7policies/{l7policy_id}/rules/{rule_id}"),
    ("amphora:get_all", ADMIN, "List amphorae", "GET /v2.0/octavia/amphorae"),
    ("amphora:get_one", ADMIN, "Show an amphora", "GET /v2.0/octavia/amphorae/{amphora_id}"),
    ("amphora:get_stats", ADMIN, "Show its traffic", "GET /v2.0/octavia/amphorae/{amphora_id}/stats"),
    ("amphora:put_failover", ADMIN, "Replace an amphora", "PUT /v2.0/octavia/amphorae/{amphora_id}/failover"),
    ("amphora:put_config", ADMIN, "Give its agent new settings", "PUT /v2.0/octavia/amphorae/{amphora_id}/config"),
    ("amphora:delete", ADMIN, "Delete an amphora", "DELETE /v2.0/octavia/amphorae/{amphora_id}"),
    ("quota:get_all", READ_QUOTA, "List quotas", "GET /v2.0/lbaas/quotas"),
    ("quota:get_all-global", READ_QUOTA_GLOBAL, "List those of all projects", "GET /v2.0/lbaas/quotas"),
    ("quota:get_one", READ_QUOTA, "Show a project's quota", "GET /v2.0/lbaas/quotas/{project_id}"),
    (
        "quota:get_defaults",
        READ_QUOTA,
        "Show what holds where no quota is set",
        "GET /v2.0/lbaas/quotas/{project_id}/default, GET /v2.0/lbaas/quotas/defaults",
    ),
    ("quota:put", WRITE_QUOTA, "Set a project's quota", "PUT /v2.0/lbaas/quotas/{project_id}"),
    ("quota:delete", WRITE_QUOTA, "Go back to the defaults", "DELETE /v2.0/lbaas/quotas/{project_id}"),
    ("provider:get_all", READ, "List providers", "GET /v2.0/lbaas/providers"),
    (
        "provider-flavor:get_all",
        ADMIN,
        "List what flavors may set",
        "GET /v2.0/lbaas/providers/{provider}/flavor_capabilities",
    ),
    (
        "provider-availability-zone:get_all",
        ADMIN,
        "List what zones may set",
        "GET /v2.0/lbaas/providers/{provider}/availability_zone_capabilities",
    ),
    ("flavor:get_all", READ, "List flavors", "GET /v2.0/lbaas/flavors"),
    ("flavor:get_one", READ, "Show a flavor", "GET /v2.0/lbaas/flavors/{flavor_id}"),
    ("flavor:post", ADMIN, "Offer a flavor", "POST /v2.0/lbaas/flavors"),
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
    ("availability-zone:post", ADMIN, "Offer an availability zone", "POST /v2.0/lbaas/availabilityzones"),
    ("availability-zone:put", ADMIN, "Change an availability zone", "PUT /v2.0/lbaas/availabilityzones/{name}"),
    ("availability-zone:delete", ADMIN, "Delete an availability zone", "DELETE /v2.0/lbaas/availabilityzones/{name}"),
    ("availability-zone-profile:get_all", ADMIN, "List profiles of zones", "GET /v2.0/lbaas/availabilityzoneprofiles"),
    (
        "availability-zone-profile:get_one",
        ADMIN,
        "Show a profile of zones",
        "GET /v2.0/lbaas/availabilityzoneprofiles/{profile_id}",
    ),
    (
        "availability-zone-profile:post",
        ADMIN,
        "Create a profile of zones",
        "POST /v2.0/lbaas/availabilityzoneprofiles",
    ),
    (
        "availability-zone-profile:put",
        ADMIN,
        "Change a profile of zones",
        "PUT /v2.0/lbaas/availabilityzoneprofiles/{profile_id}",
    ),
    (
        "availability-zone-profile:delete",
        ADMIN,
        "Delete a profile of zones",
        "DELETE /v2.0/lbaas/availabilityzoneprofiles/{profile_id}",
    ),
)


def list_rules() -> list[RuleDefault]:
    """All rules with their defaults: first those that others refer to, then those that the API asks about."""
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

Generated from `packages/portico/src/portico/api/policy_rules.py`; a test keeps it true.
Names and defaults are those that Octavia publishes.

Who may do what is a matter of roles, and of the project that a token is of. An object is its project's: who has none of
the global roles neither sees nor changes what is of another one (403, and lists leave it out).

| role | where | may |
|---|---|---|
| `reader`, `load-balancer_observer` | in the project | see |
| `member`, `load-balancer_member` | in the project | see, create, change, delete |
| `load-balancer_global_observer` | anywhere | see everything of every project |
| `load-balancer_quota_admin` | anywhere | see and set the quotas of every project, and nothing else |
| `admin`, `load-balancer_admin` | anywhere | do everything in every project |

A token of the system as a whole (`system_scope:all`) may do what its roles may do anywhere. One of a domain, or of
nothing, may do nothing. With `api.auth = "noauth"` everybody has the role `admin`.

A rule of a file that `api.policy_file` names replaces the default of that name:

```yaml
# Users fail their own load balancers over; nobody but administrators sees flavors.
"os_load-balancer_api:loadbalancer:put_failover": "rule:load-balancer:write"
"os_load-balancer_api:flavor:get_all": "rule:load-balancer:admin"
```

The language is that of [oslo.policy](https://docs.openstack.org/oslo.policy/latest/). The file is read again when it
changes; if it is wrong then, the rules stay as they were and the log says why. At the start a wrong file is an error.
"""


def describe_rules() -> str:
    """The reference page of the rules, as Markdown."""
    lines = ["", "## Rules that others refer to", "", "| rule | default | |", "|---|---|---|"]
    lines += [f"| `{name}` | `{check}` | {text} |" for name, check, text in _ROLES]
    lines += ["", "## Rules that the API asks about", ""]
    lines += [f"Each begins with `{PREFIX}`.", "", "| rule | default | | request |", "|---|---|---|---|"]
    for name, check, text, where in _ACTIONS:
        lines.append(f"| `{name}` | `{check}` | {text} | {', '.join(f'`{one}`' for one in where.split(', '))} |")
    return _REFERENCE + "\n".join(lines) + "\n"
