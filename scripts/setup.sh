# shellcheck shell=bash
# Sourced by the scripts beside it, from the repository's root: prepares the checkout to run.
#
#   prepare_programs PACKAGE...   installs missing Debian packages, without starting any service
#   prepare_environment [GROUP]   creates .tools (uv, pinned) and .venv, with the packages that uv.lock pins for Portico
#                                 and this group of dependencies in pyproject.toml (demo, or dev, the default, which
#                                 includes the tests)
#   prepare_audit                 creates .tools and .tools/audit: pip-audit, pinned, separate from what it audits
#   keep_within_checkout          makes uv and pip keep their caches inside the checkout in the caller's next commands
#
# The first three return quickly if everything is in place. Only apt-get writes outside the checkout.

readonly UV_VERSION=0.13.9
readonly PIP_AUDIT_VERSION=2.10.1

# A file that shows that the package is installed, however it was installed.
declare -rA EVIDENCE=(
    [haproxy]='/usr/sbin/haproxy'
    [iputils-ping]='/bin/ping'
    [postgresql]='/usr/lib/postgresql/*/bin/postgres'
    [mariadb-server]='/usr/sbin/mariadbd'
    [systemd]='/usr/bin/systemd-analyze'
    [rabbitmq-server]='/usr/lib/rabbitmq/bin/rabbitmq-server'
)
# The services that the package would start at boot.
declare -rA SERVICE=([haproxy]=haproxy [postgresql]=postgresql [mariadb-server]=mariadb
    [rabbitmq-server]='rabbitmq-server epmd.socket epmd.service')

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 1
}

require_debian() {
    local family
    family=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}") || family=''
    case " $family " in
        *' debian '* | *' ubuntu '*) ;;
        *) fail "these scripts support Debian and Ubuntu only; this is '${family:-unknown}'. See CONTRIBUTING.md for what they install." ;;
    esac
}

prepare_programs() {
    require_debian
    local package missing=()
    for package in "$@"; do
        compgen -G "${EVIDENCE[$package]}" >/dev/null || missing+=("$package")
    done
    if ((${#missing[@]})); then install_packages "${missing[@]}"; fi
}

# In a subshell, so that its exit trap runs when it ends and leaves the caller's traps alone.
install_packages() (
    policy=/usr/sbin/policy-rc.d
    as_root=()
    if ((EUID != 0)); then
        as_root=(sudo -n)
        sudo -n true 2>/dev/null ||
            fail "packages are missing, and this is neither root nor a user with passwordless sudo. Run this, then retry: sudo apt-get install $*"
    fi
    say "installing $*"
    if [[ ! -e $policy ]]; then
        # Debian runs this program before it starts a service; 101 forbids it. Portico's tests start their own servers.
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
        apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    "${apt_get[@]}" update </dev/null >&2 || say "apt-get update failed; continuing with the existing package lists"
    "${apt_get[@]}" install --no-install-recommends "$@" </dev/null >&2
    command -v systemctl >/dev/null || exit 0
    for package in "$@"; do
        if [[ -n ${SERVICE[$package]:-} ]]; then
            read -ra services <<<"${SERVICE[$package]}"
            "${as_root[@]}" systemctl disable --quiet "${services[@]}" </dev/null >&2 ||
                say "could not keep ${SERVICE[$package]} from starting at the next boot; see systemctl status"
        fi
    done
)

# In a subshell, so that the variables exported for uv do not reach the caller's next commands.
prepare_environment() (
    group=${1:-dev}
    require_debian
    stamp="$PWD $(cat uv.lock pyproject.toml packages/*/pyproject.toml scripts/setup.sh | sha256sum)"
    if environment_is_ready "$group" "$stamp"; then exit; fi
    keep_within_checkout
    exec 9>.tools/lock
    flock 9
    # Another script may have done all of it while this one waited for the lock.
    if environment_is_ready "$group" "$stamp"; then exit; fi
    install_uv
    python=$(find_python_for_environment)
    say "installing the packages that uv.lock pins for '$group' into .venv"
    # Packages that only another group needs stay. Only dev, which includes all groups, removes obsolete packages.
    keep=(--inexact)
    if [[ $group == dev ]]; then keep=(); fi
    .tools/bin/uv sync --frozen --quiet --no-progress --no-default-groups --group "$group" "${keep[@]}" --compile-bytecode --python "$python"
    # Portico itself is not copied to .venv. If it were not compiled here, each of its processes would compile it first.
    .venv/bin/python -m compileall -q packages
    printf '%s\n' "$stamp" >".venv/ready-$group"
)

# In a subshell as well. Callers test whether it failed, so bash ignores `set -e` in here.
prepare_audit() (
    require_debian
    keep_within_checkout
    exec 9>.tools/lock
    flock 9
    install_uv || exit
    if [[ "$(.tools/audit/bin/pip-audit --version 2>/dev/null)" == "pip-audit $PIP_AUDIT_VERSION" ]]; then exit; fi
    python=$(find_python_for_environment) || exit
    say "installing pip-audit $PIP_AUDIT_VERSION into .tools/audit"
    .tools/bin/uv venv --quiet --clear --python "$python" .tools/audit &&
        .tools/bin/uv pip install --quiet --no-progress --python .tools/audit/bin/python "pip-audit==$PIP_AUDIT_VERSION"
)

keep_within_checkout() {
    trust_system_certificates
    unset VIRTUAL_ENV
    mkdir -p .tools/tmp
    export UV_PROJECT_ENVIRONMENT="$PWD/.venv" UV_CACHE_DIR="${UV_CACHE_DIR:-$PWD/.tools/cache}"
    export UV_PYTHON_INSTALL_DIR="$PWD/.tools/python" TMPDIR="$PWD/.tools/tmp"
}

# The environment for dev serves every group.
environment_is_ready() {
    local group
    [[ -x .venv/bin/python ]] || return 1
    for group in "$1" dev; do
        if [[ -r .venv/ready-$group && $(<".venv/ready-$group") == "$2" ]]; then return; fi
    done
    return 1
}

# pip, uv and pip-audit bring their own lists of certificate authorities, but behind a company's proxy only the system's
# list is right.
trust_system_certificates() {
    local bundle="${SSL_CERT_FILE:-${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}}"
    if [[ ! -r $bundle ]]; then return; fi
    export SSL_CERT_FILE="$bundle" PIP_CERT="${PIP_CERT:-$bundle}" REQUESTS_CA_BUNDLE="${REQUESTS_CA_BUNDLE:-$bundle}"
}

# Prints the first of the given programs that is a Python of at least version 3.$1, as a path.
first_python() {
    local minor=$1 candidate
    shift
    for candidate in "$@"; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (3, $minor))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# uv itself runs with Python 3.8 or later.
install_uv() {
    local python version
    if [[ "$(.tools/bin/uv --version 2>/dev/null)" == "uv $UV_VERSION"* ]]; then return; fi
    python=$(first_python 11 python3 python3.{14,13,12,11} || first_python 8 python3) || fail "no Python 3 found: sudo apt-get install python3"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # Debian ships ensurepip in a separate package.
    if ! "$python" -c 'from ensurepip import version' 2>/dev/null; then install_packages "python$version-venv"; fi
    say "installing uv $UV_VERSION into .tools"
    rm -rf .tools/bin .tools/lib .tools/lib64 .tools/pyvenv.cfg
    "$python" -m venv .tools
    .tools/bin/python -m pip install --quiet --no-input --no-cache-dir --disable-pip-version-check "uv==$UV_VERSION"
}

# The environment keeps its Python. On a system whose Python is too old for Portico, uv installs one inside .tools.
find_python_for_environment() {
    if first_python 11 .venv/bin/python python3 python3.{14,13,12,11}; then return; fi
    say "there is no Python 3.11 or later ($(python3 --version)); installing Python 3.12 with uv"
    .tools/bin/uv python install --no-progress --no-bin 3.12 >&2 || fail "uv could not install Python 3.12; install Python 3.11 or later yourself"
    .tools/bin/uv python find --managed-python 3.12
}
