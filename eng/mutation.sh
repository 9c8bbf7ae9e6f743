#!/usr/bin/env bash
# Mutation testing of the cores with Stryker: changes the code a little, hundreds of times, and sees whether a test notices.
#
#   ./eng/mutation.sh            all cores, one after the other
#   ./eng/mutation.sh NAME...    some of them; "list" names them
#
# Works on a copy of the sources for each project below artifacts/mutation, so that nothing is disturbed by it, and on one core. In the copy only the tests
# of the core are kept, because Stryker's runner for the testing platform takes no filter. For each core it writes
# artifacts/mutation/NAME/reports/mutation-report.{json,html}, prints what survived and ends with "NAME: SCORE % (killed/all, so many of them by timeout)"; a busy machine makes timeouts.
# The exit code is 1 when a score is below 80 %. Survivors that no test can kill are explained in docs/testing.md. Needs python3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
export MUTATION_TESTING=true # the test projects then start as Stryker's runner wants them: eng/Test.targets
export STRESS_SECONDS=${STRESS_SECONDS:-0.3} # each stress test runs for every mutant that it may meet

readonly output=$PWD/artifacts/mutation
readonly threshold=80

# name | project | files to change | its tests: folders, or files where the rest of a folder takes seconds a mutant
readonly cores="
deadline|Resilience.Context|Deadlines/Deadline.cs Deadlines/DeadlineCodec.cs|Deadlines
filter|Resilience.Caching|Guard/SplitBlockBloomFilter.cs|FilterLawTests.cs
generations|Resilience.Caching|Invalidation/Invalidations.cs Invalidation/TagState.cs Flights/KeyStripes.cs|Invalidation FlightLawTests.cs
flights|Resilience.Caching|Flights/Flight.cs|Flights
sketch|Resilience.Caching|Local/S3Fifo/S3FifoPolicy.cs Local/S3Fifo/GhostTable.cs Local/S3Fifo/S3FifoQueue.cs|S3FifoLawTests.cs GhostLawTests.cs
precedence|Resilience.Degrade|Features/FeatureBook.cs Features/FeatureRule.cs Features/FeatureRules.cs Features/FeatureSlot.cs|FeatureBookLawTests.cs FeatureRulesTests.cs FeatureTests.cs DegradationTests.cs
hysteresis|Resilience.Degrade|Pressure/LevelTracker.cs|Pressure
pool|Resilience.Pools|Core/EntryWord.cs Core/PoolEntry.cs Waiting/WaiterQueue.cs Waiting/DeadlineHeap.cs Waiting/DeadlineQueue.cs|DeadlineHeapTests.cs DeadlineQueueTests.cs WaiterQueueTests.cs PoolEntryTests.cs
"

# Left out are other folders' tests, and those that need luck to meet a race: Stryker gives up when one fails before anything is changed.
copy_sources() { # where to, test project, tests to keep
    local copy=$1 file
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$copy"
    while IFS= read -r file; do # what is not named ...Tests.cs is shared by tests
        [[ $file == */* && $file != *RaceTests.cs && $file != *StressTests.cs && $file != *LinearisabilityTests.cs && (" $3 " == *" ${file%%/*} "* || " $3 " == *" ${file##*/} "*) ]] || rm "$copy/tests/$2/$file"
    done < <(cd "$copy/tests/$2" && find . -name '*Tests.cs' -not -path '*/obj/*' -printf '%P\n')
}

# Prints what survived and the score; fails when it is too low.
judge() { # name
    python3 - "$1" "$output/$1/reports/mutation-report.json" "$threshold" <<'PYTHON'
import json, sys
name, path, threshold = sys.argv[1], sys.argv[2], float(sys.argv[3])
killed = alive = timeouts = 0
for file, report in json.load(open(path))["files"].items():
    for mutant in sorted(report["mutants"], key=lambda m: m["location"]["start"]["line"]):
        status = mutant["status"]
        if status in ("Killed", "Timeout"):
            killed += 1
            timeouts += status == "Timeout"
        elif status in ("Survived", "NoCoverage"):
            alive += 1
            line = mutant["location"]["start"]["line"]
            print(f"  {status}: {file.split('/')[-1]}:{line} {mutant['mutatorName']}: {' '.join(mutant.get('replacement', '').split())[:160]}")
score = 100 * killed / max(1, killed + alive)
print(f"{name}: {score:.1f} % ({killed}/{killed + alive}, {timeouts} of them by timeout)")
sys.exit(score < threshold)
PYTHON
}

run() { # name, project, files, tests
    local mutate=() file tests=$2.Tests copy=$output/$2
    for file in $3; do mutate+=(-m "**/$file"); done
    copy_sources "$copy" "$tests" "$4"
    (cd "$copy/tests/$tests" && dotnet tool restore >/dev/null && nice -n $(($(nice) > 0 ? 0 : 10)) dotnet stryker --test-runner mtp --project "$2.csproj" --configuration Release \
        --concurrency 1 "${mutate[@]}" --skip-version-check --reporter Json --reporter Html --output "$output/$1") >"$output/$1.log" 2>&1 \
        || { echo "$1: Stryker failed; see $output/$1.log"; tail -n 20 "$output/$1.log"; return 1; }
    judge "$1"
}

main() {
    local wanted=" $* " failed=0 name project files folders
    if [[ ${1:-} == list ]]; then
        cut -d'|' -f1 <<<"$cores" | grep .
        exit
    fi
    mkdir -p "$output"
    while IFS='|' read -r name project files folders; do
        [[ -n $name && ($# == 0 || $wanted == *" $name "*) ]] || continue
        run "$name" "$project" "$files" "$folders" || failed=1
    done <<<"$cores"
    exit $failed
}

main "$@"
