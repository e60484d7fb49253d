#!/usr/bin/env bash
#SBATCH --nodes=1
#SBATCH --ntasks=1
# A runner of GitHub Actions for one job. `slurm-submit.sh` submits it, with the file of its just-in-time configuration and
# the folder of the runner's software. Everything it writes is on the node, and is removed at its end.
set -euo pipefail
umask 077

config=$1 software=$2
idle=${RUNNER_IDLE:-600}    # seconds after which a runner without a job releases its GPU
work=$(mktemp -d "${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/runner-XXXXXXXX")
trap 'rm -rf "$work"' EXIT

jitconfig=$(< "$config")
rm -f "$config"
cp -R "$software" "$work/runner"
mkdir "$work/home" "$work/tmp"

# The job sees few variables: none of the user's, except the GPU from SLURM. The runner takes its configuration from the
# environment, which other users cannot read, unlike a command line.
keep=()
for variable in PATH LANG CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES \
  http_proxy https_proxy no_proxy SSL_CERT_FILE; do
  [[ -v $variable ]] && keep+=("$variable=${!variable}")
done
cd "$work/runner"
setsid env -i "${keep[@]}" HOME="$work/home" TMPDIR="$work/tmp" \
  ACTIONS_RUNNER_INPUT_JITCONFIG="$jitconfig" ./run.sh &
runner=$!
unset jitconfig
trap 'kill -TERM -- "-$runner" 2> /dev/null || true; wait "$runner" || true; rm -rf "$work"' EXIT

for ((waited = 0; waited < idle; waited++)); do
  compgen -G '_diag/Worker_*' > /dev/null && break    # it has a job
  kill -0 "$runner" 2> /dev/null || break
  sleep 1
done
if kill -0 "$runner" 2> /dev/null && ! compgen -G '_diag/Worker_*' > /dev/null; then
  echo "no job for $idle s: the GPU is released"
  exit 0
fi
wait "$runner"
