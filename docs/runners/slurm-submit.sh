#!/usr/bin/env bash
# Submit a SLURM job for each job of GitHub Actions that waits for a GPU: `slurm-runner.sh`, a runner for one job.
# Run it every minute on a submit node, by a timer of a dedicated user:
#
#   GITHUB_REPOSITORY=lab/bpm-faults TOKEN_FILE=~/.config/runner-token RUNNER_SOFTWARE=/software/actions-runner \
#     slurm-submit.sh --partition=gpu --gres=gpu:1 --time=01:00:00
#
# The token (administration of the repository: write; actions: read) is read here only: the node gets a configuration
# that registers one runner once. Needs curl and python3.
set -euo pipefail
shopt -s inherit_errexit
umask 077

: "${GITHUB_REPOSITORY:?set it to the repository, OWNER/NAME}"
: "${TOKEN_FILE:?set it to the file with the token}"
: "${RUNNER_SOFTWARE:?set it to the folder of the unpacked runner, on a file system that the nodes share}"
api=${GITHUB_API_URL:-https://api.github.com}/repos/$GITHUB_REPOSITORY
labels=${RUNNER_LABELS:-self-hosted,gpu}
group=${RUNNER_GROUP:-1}                             # 1 is the default group of every repository
most=${RUNNERS:-2}                                   # maximum at a time, waiting or running
spool=${SPOOL:-$HOME/.runner-spool}                  # shared with the nodes, private to this user
name=github-${GITHUB_REPOSITORY//\//-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

ask() {  # path, body if any
  local token
  token=$(< "$TOKEN_FILE")
  # Through standard input, because everybody on this node can read a command line.
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
