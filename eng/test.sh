#!/usr/bin/env bash
# Builds everything in Release and runs every test; installs the servers that the tests need, where it may.
#
#   TEST_FILTER   passed to `dotnet test --filter`, such as FullyQualifiedName~Pools
#   TEST_JOBS     how many test projects run at once (1: tests of timeouts want the machine)
#   NO_INSTALL    set: install nothing
#   CI            set: a missing server fails the tests that need it; otherwise they are skipped
#
# The last line is "N passed, N failed", with ", N skipped" if there are any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1
export MSBUILDDISABLENODEREUSE=1 # no build process outlives this script, nor does the compiler, which is shared by all projects while it runs
export UseSharedCompilation=true
trap 'dotnet build-server shutdown --vbcscompiler >/dev/null 2>&1 || true' EXIT

readonly results=artifacts/test-results
readonly project_timeout=20m

check_sdk() {
    local wanted
    wanted=$(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' global.json)
    if ! command -v dotnet >/dev/null; then
        echo "There is no dotnet on the PATH. Install the .NET SDK $wanted or a newer ${wanted%.*.*}.x: https://dotnet.microsoft.com/download" >&2
        exit 1
    fi
    if ! dotnet --version >/dev/null 2>&1; then
        echo "global.json asks for the .NET SDK $wanted or a newer ${wanted%.*.*}.x; here are:" >&2
        dotnet --list-sdks 2>/dev/null | sed 's/^/  /' >&2
        echo "Install it from https://dotnet.microsoft.com/download" >&2
        exit 1
    fi
}

has_redis() { command -v redis-server >/dev/null || [[ -n ${REDIS_SERVER:-} ]]; }
has_postgres() { [[ -n ${POSTGRES_BIN:-} ]] || command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_chromium() { [[ -n ${CHROMIUM:-} ]] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

missing_packages() {
    has_redis || echo redis-server
    has_postgres || echo postgresql
    has_chromium || echo chromium
}

# Prints the command prefix that gives root, or fails.
root_prefix() {
    if [[ $(id -u) == 0 ]]; then
        echo env
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        echo sudo -n
    else
        return 1
    fi
}

install_missing() {
    local missing prefix
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} == 0 ]] && return
    echo "Not installed here: ${missing[*]}"
    if [[ -z ${NO_INSTALL:-} ]] && command -v apt-get >/dev/null && prefix=$(root_prefix); then
        # RUNLEVEL=1 keeps the packages from starting services: the tests start servers of their own.
        local apt="$prefix DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -q -o DPkg::Lock::Timeout=120"
        $apt update >/dev/null || echo "apt-get update failed; trying with the lists that are here"
        local package
        for package in "${missing[@]}"; do # one by one: a package that cannot be had must not keep the others away
            $apt install -y --no-install-recommends "$package" >/dev/null || echo "apt-get could not install $package"
        done
        mapfile -t missing < <(missing_packages)
        [[ ${#missing[@]} == 0 ]] && return
    fi
    echo "Still missing: ${missing[*]}. Install them with your distribution's package manager;"
    if [[ -n ${CI:-} ]]; then
        echo "the tests that need them FAIL, because CI is set."
    else
        echo "the tests that need them are skipped."
    fi
}

run_project() { # name of the project's folder below tests/
    local name=$1 status=0 started=$SECONDS
    local arguments=(test "tests/$name" -c Release --no-build --logger "trx;LogFileName=$name.trx" --results-directory "$results")
    [[ -n ${TEST_FILTER:-} ]] && arguments+=(--filter "$TEST_FILTER")
    timeout --kill-after=10s "$project_timeout" dotnet "${arguments[@]}" >"$results/$name.log" 2>&1 || status=$?
    echo "$status $((SECONDS - started))" >"$results/$name.status"
    if [[ $status != 0 ]]; then
        echo "--- $name (exit code $status)"
        tail -n 200 "$results/$name.log"
    else
        echo "    $name: $((SECONDS - started)) s"
    fi
}

counter() { # trx file, attribute
    [[ -f $1 ]] || { echo 0; return; }
    local value
    value=$(grep -o '<Counters [^>]*' "$1" | grep -o " $2=\"[0-9]*\"" | grep -o '[0-9]*' || true)
    echo "${value:-0}"
}

# The sources of Resilience.Redis must compile against the newest client too, which may not be restorable as a whole here. Counts as one test.
check_redis_client() {
    local started=$SECONDS status=0
    timeout --kill-after=10s "$project_timeout" ./eng/check-redis-client.sh >"$results/redis-client.log" 2>&1 || status=$?
    [[ $status == 0 ]] || tail -n 50 "$results/redis-client.log"
    echo "$status $((SECONDS - started))" >"$results/redis-client.status"
}

summarise() {
    local all_passed=0 all_failed=0 all_skipped=0 name
    printf '\n%-36s %8s %8s %8s %8s\n' project passed failed skipped seconds
    if [[ -f $results/redis-client.status ]]; then
        local client seconds
        read -r client seconds <"$results/redis-client.status"
        [[ $client == 0 ]] && all_passed=1 || all_failed=1
        printf '%-36s %8d %8d %8d %8d\n' "eng/check-redis-client.sh" "$all_passed" "$all_failed" 0 "$seconds"
    fi
    for name in "$@"; do
        local status seconds passed failed skipped trx=$results/$name.trx
        read -r status seconds <"$results/$name.status"
        passed=$(counter "$trx" passed)
        failed=$(counter "$trx" failed)
        skipped=$(($(counter "$trx" total) - $(counter "$trx" executed)))
        # A test host that dies or hangs leaves no failed test behind: it counts as one.
        [[ $status != 0 && $failed == 0 ]] && failed=1
        printf '%-36s %8d %8d %8d %8d\n' "$name" "$passed" "$failed" "$skipped" "$seconds"
        all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed)) all_skipped=$((all_skipped + skipped))
    done
    echo
    if ((all_passed + all_failed == 0)); then
        echo "No test ran${TEST_FILTER:+: TEST_FILTER=$TEST_FILTER fits none}."
    fi
    if ((all_skipped > 0)); then
        echo "$all_passed passed, $all_failed failed, $all_skipped skipped"
    else
        echo "$all_passed passed, $all_failed failed"
    fi
    ((all_failed == 0 && all_passed > 0))
}

main() {
    check_sdk
    install_missing
    rm -rf "$results"
    mkdir -p "$results"

    echo "Building Resilience.sln"
    if ! dotnet build Resilience.sln -c Release -v quiet --nologo; then
        echo "The build failed."
        echo "0 passed, 1 failed"
        exit 1
    fi

    if [[ -z ${TEST_FILTER:-} ]]; then
        echo "Compiling Resilience.Redis against the newest client"
        check_redis_client
    fi

    local names jobs=${TEST_JOBS:-1}
    # The longest first, so that it does not run alone at the end.
    mapfile -t names < <(cd tests && printf '%s\n' Resilience.Integration.Tests && printf '%s\n' *.Tests | grep -vx Resilience.Integration.Tests)
    echo "Testing ${#names[@]} projects, $jobs at once"
    local name
    for name in "${names[@]}"; do
        while (($(jobs -rp | wc -l) >= jobs)); do
            wait -n || true
        done
        run_project "$name" &
    done
    wait
    summarise "${names[@]}"
}

main
