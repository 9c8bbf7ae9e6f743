#!/usr/bin/env bash
# Compiles src/Resilience.Redis against a newer StackExchange.Redis than the one it is built with, as a reference alone: that client's
# own dependencies are not needed for it. Takes the version as an argument (3.4.35). See eng/RedisClientCheck.targets.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=${1:-3.4.35}
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
if dotnet build src/Resilience.Redis -c Release -v quiet --nologo -p:RedisClientCheck="$version" </dev/null; then
    echo "Resilience.Redis compiles against StackExchange.Redis $version"
else
    echo "Resilience.Redis does NOT compile against StackExchange.Redis $version" >&2
    exit 1
fi
