#!/usr/bin/env bash
# Give SLURM a job for each job of GitHub Actions that waits for a GPU: `slurm-runner.sh`, a runner that takes one job and ends.
# Run it every minute on a node that submits, by a timer of a user that nobody else can be:
#
#   GITHUB_REPOSITORY=lab/bpm-faults TOKEN_FILE=~/.config/runner-token RUNNER_SOFTWARE=/software/actions-runner \
#     slurm-submit.sh --partition=gpu --gres=gpu:1 --time=01:00:00
#
# The token (administration of the repository: write; actions: read) is read here and goes no further: the node gets what
# registers one runner once. Needs curl and python3.
set -euo pipefail
shopt -s inherit_errexit
umask 077

: "${GITHUB_REPOSITORY:?name the repository, OWNER/NAME}"
: "${TOKEN_FILE:?name the file that holds the token}"
: "${RUNNER_SOFTWARE:?name the folder where the runner was unpacked, one that the nodes see too}"
api=${GITHUB_API_URL:-https://api.github.com}/repos/$GITHUB_REPOSITORY
labels=${RUNNER_LABELS:-self-hosted,gpu}
group=${RUNNER_GROUP:-1}                             # 1 is the group that every repository has
most=${RUNNERS:-2}                                   # so many at once, waiting ones and working ones
spool=${SPOOL:-$HOME/.runner-spool}                  # seen by the nodes too, and by nobody else
name=github-${GITHUB_REPOSITORY//\//-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

ask() {  # path, body if any
  local token
  token=$(< "$TOKEN_FILE")
  # By standard input: a command line can be read by everybody on this node.
  printf 'header = "Authorization: Bearer %s"\n' "$token" | curl --config - --silent --show-error --fail-with-body \
    --retry 3 --max-time 60 --header 'Accept: application/vnd.github+json' --header 'X-GitHub-Api-Version: 2022-11-28' \
    ${2:+--header 'Content-Type: application/json' --data "$2"} "$api/$1"
}

waiting() {  # jobs that wait for a runner with our labels
  local status runs run
  for status in queued in_progress; do
    runs=$(ask "actions/runs?status=$status&per_page=100" |
      python3 -c 'import json, sys; print(*(run["id"] for run in json.load(sys.stdin)["workflow_runs"]))')
    for run in $runs; do
      ask "actions/runs/$run/jobs?per_page=100" | LABELS=$labels python3 -c '
import json, os, sys
ours = {label.lower() for label in os.environ["LABELS"].split(",")}
for job in json.load(sys.stdin)["jobs"]:
    asked = {label.lower() for label in job["labels"]}
    if job["status"] == "queued" and "self-hosted" in ours | asked and asked and asked <= ours:
        print(job["id"])'
    done
  done
}

jobs=$(waiting | wc -l)
pending=$(squeue --me --noheader --name="$name" --states=PENDING | wc -l)
started=$(squeue --me --noheader --name="$name" --states=PENDING,RUNNING,CONFIGURING,COMPLETING | wc -l)
new=$((jobs - pending))
((new > most - started)) && new=$((most - started))
mkdir -p "$spool"

for ((i = 0; i < new; i++)); do
  body=$(NAME=$name-$(date +%s)-$$-$i GROUP=$group LABELS=$labels python3 -c '
import json, os
print(json.dumps({"name": os.environ["NAME"], "runner_group_id": int(os.environ["GROUP"]), "labels": os.environ["LABELS"].split(",")}))')
  file=$(mktemp "$spool/XXXXXXXX")
  ask actions/runners/generate-jitconfig "$body" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["encoded_jit_config"])' > "$file" || { rm -f "$file"; exit 4; }
  sbatch --job-name="$name" --export=NONE --output="$spool/%j.log" "$@" "$here/slurm-runner.sh" "$file" "$RUNNER_SOFTWARE" ||
    { rm -f "$file"; exit 4; }
done
