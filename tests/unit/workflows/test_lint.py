"""Each lint rule has a planted defect, and names its file and line."""

from __future__ import annotations

import json
import re

import pytest

from beampermit.errors import BadInput
from beampermit.workflows.expressions import MOST_LETTERS
from beampermit.workflows.lint import Linted, lint
from support.attacks import attack_case

FILE = ".github/workflows/w.yml"
SHA = "de0fac2e4500dabe0009e67214ff5f5447ce83dd"
CHECKOUT = f"actions/checkout@{SHA}"
SAME = "github.event.pull_request.head.repo.full_name == github.repository"


def workflow(job: str, on: str = "pull_request", top: str = "permissions: {}") -> str:
    """A workflow with one job `one`, whose keys are the lines of `job`."""
    body = "".join(f"    {line}\n" for line in job.strip().splitlines())
    return f"on: {on}\n{top}\njobs:\n  one:\n{body}"


def linted(text: str, **more: str) -> Linted:
    return lint({FILE: text, **{f".github/workflows/{name}.yml": other for name, other in more.items()}})


def defects_of(text: str, **more: str) -> list[tuple[str, int]]:
    return [(defect.rule, defect.line) for defect in linted(text, **more).defects]


HOSTED = "runs-on: ubuntu-latest\nsteps: []"
OWN = "runs-on: [self-hosted, gpu]\nsteps: []"


@pytest.mark.parametrize(
    ("text", "rule", "line", "message"),
    [
        (workflow(HOSTED, "pull_request_target"), "pull-request-target", 1, "gives a fork's pull request the secrets"),
        (workflow(HOSTED, "{push: , pull_request_target: }"), "pull-request-target", 1, "use pull_request"),
        (workflow(HOSTED, top="permissions: write-all"), "write-all", 2, "write `permissions: {}` at the top"),
        (workflow(f"permissions: write-all\n{HOSTED}"), "write-all", 5, "job 'one' has permissions: write-all"),
        (workflow(OWN), "fork-runner", 5, "runs on ['self-hosted', 'gpu'] for forks as well"),
        (workflow("runs-on: gpu-01\nsteps: []"), "fork-runner", 5, f"add `if: {SAME}`"),
        (workflow("runs-on: {group: gpus}\nsteps: []"), "fork-runner", 5, "'group': 'gpus'"),
        (workflow("runs-on: [ubuntu-latest, gpu]\nsteps: []"), "fork-runner", 5, "for forks as well"),
        (workflow("runs-on: ${{ vars.GPU }}\nsteps: []"), "fork-runner", 5, "a self-chosen runner (${{ vars.GPU }})"),
        (
            workflow("strategy: {matrix: {on: [ubuntu-latest, gpu]}}\nruns-on: ${{ matrix.on }}\nsteps: []"),
            "fork-runner",
            6,
            "a self-chosen runner",
        ),
        (
            workflow("strategy: {matrix: {include: [{on: gpu}]}}\nruns-on: ${{ matrix.on }}\nsteps: []"),
            "fork-runner",
            6,
            "a self-chosen runner",
        ),
        (workflow(f"if: github.actor != 'mallory'\n{OWN}"), "fork-runner", 6, "for forks as well"),
        (workflow(f"if: ${{{{ {SAME} }}}} && true\n{OWN}"), "fork-runner", 6, "for forks as well"),
        (workflow(f"secrets: inherit\nuses: a/b/.github/workflows/c.yml@{SHA}"), "inherited-secrets", 5, "passes on"),
        (workflow(f"env: {{A: '${{{{ secrets.KEY }}}}'}}\n{HOSTED}"), "exposed-secrets", 5, "shows A to each"),
        (workflow(f"env: {{A: \"${{{{ secrets['KEY'] }}}}\"}}\n{HOSTED}"), "exposed-secrets", 5, "shows A to each"),
        (workflow(HOSTED, top="env: {A: '${{ secrets.KEY }}'}"), "exposed-secrets", 2, "shows A to each"),
        (
            workflow(f"container:\n  env: {{A: '${{{{ secrets.KEY }}}}'}}\n{HOSTED}"),
            "exposed-secrets",
            6,
            "shows A to each",
        ),
        (
            workflow("runs-on: ubuntu-latest\nsteps:\n- run: |\n    echo ${{ github.sha }}"),
            "script-expression",
            7,
            'write "$NAME"',
        ),
        (
            workflow(
                f"runs-on: ubuntu-latest\nsteps:\n- uses: actions/github-script@{SHA}\n"
                "  with: {script: '${{ 1 }}'}"
            ),
            "script-expression",
            8,
            "inside `script:`",
        ),
        (
            workflow(f"runs-on: ubuntu-latest\nsteps:\n- uses: {CHECKOUT}"),
            "kept-credentials",
            7,
            "persist-credentials: false",
        ),
    ],
)
def test_planted_defect_is_reported_with_its_line(text: str, rule: str, line: int, message: str) -> None:
    (defect,) = linted(text).defects
    assert (defect.file, defect.rule, defect.line) == (FILE, rule, line)
    assert message in defect.message
    assert str(defect).startswith(f"{FILE}:{line}: ")


@pytest.mark.parametrize(
    "text",
    [
        workflow(HOSTED),
        workflow("runs-on: windows-2025\nsteps: []"),
        workflow("runs-on: ubuntu-24.04-arm\nsteps: []"),
        workflow("strategy: {matrix: {on: [ubuntu-latest, macos-15]}}\nruns-on: ${{ matrix.on }}\nsteps: []"),
        workflow("runs-on: ubuntu-slim\nsteps: []"),
        workflow("runs-on: macOS-14\nsteps: []"),
        workflow("runs-on: {labels: [ubuntu-latest]}\nsteps: []"),
        workflow("strategy: {matrix: {os: [ubuntu, macos]}}\nruns-on: '${{ matrix.os }}-latest'\nsteps: []"),
        workflow("strategy: {matrix: {os: [{on: [windows-2025]}]}}\nruns-on: ${{ matrix.os.on }}\nsteps: []"),
        workflow(
            "strategy: {matrix: {os: [linux, macos]}}\n"
            "runs-on: ${{ (matrix.os == 'linux' && 'ubuntu-latest') || format('{0}-15', matrix.os) }}\nsteps: []"
        ),
        workflow("runs-on: ${{ github.event.inputs.runner || 'ubuntu-latest' }}\nsteps: []", "[push, pull_request]"),
        workflow("runs-on: ${{ github.event_name == 'pull_request' && 'ubuntu-latest' || 'gpu' }}\nsteps: []"),
        workflow("runs-on: ${{ !github.event.pull_request.head.repo.fork && 'gpu' || 'ubuntu-24.04' }}\nsteps: []"),
        workflow(f"runs-on: ${{{{ {SAME} && 'lab' || 'ubuntu-latest' }}}}\nsteps: []"),
        workflow(
            "runs-on: ${{ fromJSON(github.repository_id == github.event.pull_request.head.repo.id && "
            "'[\"self-hosted\"]' || '[\"ubuntu-latest\"]') }}\nsteps: []"
        ),
        workflow(
            "strategy: {matrix: {on: [\"${{ github.event_name != 'pull_request' && 'lab' || 'macos-15' }}\"]}}\n"
            "runs-on: ${{ matrix.on }}\nsteps: []",
            "[push, pull_request]",
        ),
        workflow(OWN, "push"),
        workflow(OWN, "[push, schedule, workflow_dispatch]"),
        workflow(f"if: {SAME}\n{OWN}"),
        workflow("runs-on: ubuntu-latest\nsteps:\n- {run: echo $KEY, env: {KEY: '${{ secrets.KEY }}'}}"),
        workflow(f"env: {{A: '${{{{ secrets.GITHUB_TOKEN }}}}', B: '${{{{ vars.secrets }}}}'}}\n{HOSTED}"),
        workflow(f"runs-on: ubuntu-latest\nsteps:\n- uses: {CHECKOUT}\n  with: {{persist-credentials: false}}"),
        workflow(f"runs-on: ubuntu-latest\nsteps:\n- uses: {CHECKOUT}", "push"),
    ],
)
def test_sound_workflow_passes(text: str) -> None:
    assert defects_of(text) == []


@pytest.mark.parametrize(
    ("condition", "safe"),
    [
        (SAME, True),
        ("github.repository == github.event.pull_request.head.repo.full_name", True),
        ("${{ github.event.pull_request.head.repo.fork == false }}", True),
        ("!github.event.pull_request.head.repo.fork", True),
        (f"always() && {SAME}", True),
        (f"github.event_name != 'pull_request' || {SAME}", True),
        (f"(github.event_name == 'push' || {SAME}) && inputs.gpu", True),
        ("github.event_name == 'merge_group'", True),
        ("github.ref == 'refs/heads/main'", True),
        ('contains(fromJSON(\'["push", "merge_group"]\'), github.event_name)', True),
        ('contains(fromJSON(\'["push", "pull_request"]\'), github.event_name)', False),
        (f"{SAME.replace('repository', 'event.repository.full_name')}", True),
        (f"{SAME.replace('==', '== (')})", True),
        (f"!(!({SAME}))", True),
        (f"!({SAME})", False),
        ("github.event.pull_request.head.repo.id == github.repository_id", True),
        ("github.event.pull_request.head.repo.id == github.repository", False),
        ("github.event.pull_request.head.repo.id == github.event.pull_request.head.repo.id", False),
        ("github.event.pull_request.head.repo.full_name == 'lab/orbit'", True),
        ("github.event.pull_request.head.repo.full_name != 'lab/orbit'", False),
        ("github.event.pull_request.head.repo.full_name == ''", False),
        ("github.repository == 'lab/orbit'", False),
        ("startsWith(github.event.pull_request.head.repo.full_name, 'lab/')", False),
        ("github.event.pull_request.head.repo.owner.login == github.repository_owner", True),
        ("github.event.pull_request.user.login == github.repository_owner", False),
        ("github.event.pull_request.head.repo.fork != true", True),
        ("github.event.pull_request.head.repo.fork == true", False),
        ("github.event.pull_request.merged", True),
        ("!github.event.pull_request.merged", False),
        ("!github.event.pull_request", True),
        ("github.event.pull_request", False),
        ("startsWith(github.ref, 'refs/tags/')", True),
        ("contains(github.ref, '/tags/')", True),
        ("contains(github.ref, '/7/')", False),
        ("startsWith(github.ref, 'refs/pull/7')", False),
        ("!startsWith(github.ref, 'refs/pull/')", True),
        ("github.ref == 'refs/pull/7/merge'", False),
        ("github.ref_name == 'main'", True),
        ("github.ref_name == 'Release-1.0'", False),
        ("!contains(github.ref, 'heads')", False),
        ("inputs.gpu == 'yes'", True),
        ("vars.GPU == 'yes'", False),
        ("success() && failure()", False),
        ("github.ref_type == 'tag'", True),
        ("github.ref_type != 'tag'", False),
        (f"{SAME} || contains(github.event.pull_request.labels.*.name, 'gpu')", False),
        (f"{SAME} || always()", False),
        ("github.event_name == 'pull_request'", False),
        ("github.event_name == 'pull_request_review'", False),
        ("github.event_name != 'push'", False),
        ("github.event.pull_request.head.repo.fork", False),
        ("github.event.pull_request.head.repo.full_name != github.repository", False),
        (f"'{SAME} && false' != ''", False),
        ("github.actor == 'ada'", False),
        ("github.event.pull_request.author_association == 'MEMBER'", False),
        ("", False),
        ("(github.event_name == 'push') && inputs['gpu']", True),
        ("github.event_name == 'push' == false", False),
        ("github.event_name == 'push' != true", False),
        ("github.event_name == 'push' < 1", False),
        ("github.ref == 'refs/heads/main' != true", False),
        ("github.ref == 'refs/heads/main' == false", False),
        ("github.event_name == github.event_name", False),
        ("github.event_name == ('pull_request')", False),
        ("github.event_name == format('pull_{0}', 'request')", False),
        ("github.event_name == push", False),
        ("startsWith(github.ref, 'refs/heads/x') != startsWith(github.ref, '')", False),
        ("contains(fromJSON('[]'), github.event_name) != contains(fromJSON('[]'), github.event_name)", True),
        (f"{SAME} != true", False),
        ("(github.event_name == 'push' && true) == (false)", False),
        ("github[true && false && 'x'] == null", False),
        (f"{'(' * 60}false{')' * 60}", False),
        (f"{'(' * 1500}false{')' * 1500}", False),
        (f"false && '{'x' * MOST_LETTERS}'", False),
    ],
)
def test_condition_is_a_guard_only_if_false_for_every_fork(condition: str, safe: bool) -> None:
    on = "[pull_request, pull_request_review]" if "review" in condition else "pull_request"
    assert (defects_of(workflow(f"if: {json.dumps(condition)}\n{OWN}", on)) == []) is safe


@pytest.mark.parametrize(
    ("job", "runner"),
    [
        attack_case(
            "strategy: {matrix: {os: [ubuntu, gpu]}}\nruns-on: '${{ matrix.os }}-latest'",
            "(${{ matrix.os }}-latest, here 'gpu-latest')",
            guard="GIT004",
            tried="a label that ends in `-latest` is one of the laboratory's own runners",
            said="here 'gpu-latest') for forks as well",
        ),
        attack_case(
            "strategy: {matrix: {os: [{on: ubuntu-latest}], include: [{os: {on: [self-hosted, gpu]}}]}}\n"
            "runs-on: ${{ matrix.os.on }}",
            "(${{ matrix.os.on }}, here ['self-hosted', 'gpu'])",
            guard="GIT004",
            tried="an own runner is hidden in a nested value that `include` adds to a matrix",
            said="here ['self-hosted', 'gpu']) for forks as well",
        ),
        attack_case(
            "strategy: {matrix: {os: ['${{ github.event.pull_request.title }}']}}\nruns-on: ${{ matrix.os }}",
            "(${{ matrix.os }})",
            guard="GIT004",
            tried="the title of a pull request names the runner, through a matrix",
            said="a self-chosen runner (${{ matrix.os }}) for forks as well",
        ),
    ],
)
def test_own_runner_is_found_in_every_value_of_an_expression(job: str, runner: str, said: str) -> None:
    (defect,) = linted(workflow(f"{job}\nsteps: []")).defects
    assert defect.rule == "fork-runner"
    assert runner in defect.message
    assert said in defect.message


@pytest.mark.parametrize(
    ("job", "runner"),
    [
        ("strategy: ${{ fromJSON(needs.a.outputs.b) }}\nruns-on: ${{ matrix.on || 'ubuntu-latest' }}", "matrix.on"),
        ("strategy: {matrix: '${{ fromJSON(vars.A) }}'}\nruns-on: ${{ matrix.on || 'ubuntu-latest' }}", "matrix.on"),
        ("runs-on: ${{ github.event.pull_request.head.repo.fork && 'lab' || 'ubuntu-latest' }}", "here 'lab'"),
        (f"runs-on: ${{{{ {SAME.replace('==', '!=')} && 'lab' || 'ubuntu-latest' }}}}", "here 'lab'"),
        (f"runs-on: ${{{{ (always() || {SAME}) && 'lab' || 'ubuntu-latest' }}}}", "here 'lab'"),
        ("runs-on: ${{ github.repository == 'lab/orbit' && 'lab' || 'ubuntu-latest' }}", "here 'lab'"),
        ("runs-on: ${{ startsWith(github.ref, 'refs/pull/1') && 'lab' || 'ubuntu-latest' }}", "here 'lab'"),
        ("runs-on: ${{ github.event.pull_request.head.repo.full_name }}", "full_name }})"),
        ("runs-on: ${{ github.ref }}", "(${{ github.ref }})"),
        ("runs-on: ${{ github.head_ref }}-latest", "(${{ github.head_ref }}-latest)"),
        ("runs-on: ${{ vars.GPU && 'gpu' || 'ubuntu-latest' }}", "here 'gpu'"),
        ("runs-on: ${{ inputs.runner || 'gpu' }}", "here 'gpu'"),
        ("runs-on: ubuntu-latest${{ }}", "ubuntu-latest${{ }}"),
        ("runs-on: {group: gpus, labels: ubuntu-latest}", "gpus"),
    ],
)
def test_runner_that_is_not_known_to_be_hosted_fails(job: str, runner: str) -> None:
    on = "{pull_request: , workflow_call: {inputs: {runner: {default: ubuntu-latest}}}}"
    (defect,) = linted(workflow(f"{job}\nsteps: []", on)).defects
    assert defect.rule == "fork-runner"
    assert runner in defect.message


def test_guard_of_a_needed_job_holds_unless_the_job_runs_after_failures() -> None:
    text = workflow(f"if: {SAME}\nruns-on: ubuntu-latest\nsteps: []") + (
        "  two:\n    needs: one\n    runs-on: gpu\n    steps: []\n"
    )
    assert defects_of(text) == []
    assert defects_of(text.replace("needs: one", "needs: one\n    if: always()")) == [("fork-runner", 11)]
    for condition in ("ALWAYS ()", "'!success()'", "success() == false", "success() && false || vars.x"):
        assert defects_of(text.replace("needs: one", f"needs: one\n    if: {condition}")) == [("fork-runner", 11)]
    assert defects_of(text.replace("needs: one", "needs: one\n    if: success() && inputs.x")) == []
    further = text + "  three:\n    needs: [two]\n    runs-on: gpu\n    steps: []\n"
    assert defects_of(further) == []
    assert defects_of(further.replace("needs: one", "needs: three")) == [("fork-runner", 10), ("fork-runner", 14)]


def test_events_of_a_fork_are_judged_one_by_one() -> None:
    both = "[pull_request, pull_request_review, push]"
    named = 'contains(fromJSON(\'["pull_request", "pull_request_review"]\'), github.event_name)'
    for condition, safe in (
        ("github.event_name != 'pull_request' && github.event_name != 'pull_request_review'", True),
        ("github.event_name == 'push'", True),
        (f"!{named}", True),
        (f"(github.event_name != 'pull_request' || {SAME}) && github.event_name != 'pull_request_review'", True),
        ("github.event_name != 'pull_request'", False),
        (f"github.event_name != 'pull_request' || {SAME}", False),
    ):
        assert (defects_of(workflow(f"if: ${{{{ {condition} }}}}\n{OWN}", both)) == []) is safe, condition


@pytest.mark.attack(
    guard="GIT004",
    tried="`if: |` leaves a line break behind `${{ }}`, so that the condition is a text, which is true",
    said="a line break behind `${{ }}` makes it a text, and so always true",
)
def test_a_condition_with_a_line_break_behind_it_is_always_true(said: str) -> None:
    for mark, guarded in (("|", False), (">", False), ("|-", True), (">-", True)):
        defects = linted(workflow(f"if: {mark}\n  ${{{{ {SAME} }}}}\n{OWN}")).defects
        assert [said in defect.message for defect in defects] == [True] * (not guarded)
    assert defects_of(workflow(f"if: |\n  {SAME}\n{OWN}")) == []


def test_conditions_of_a_caller_and_of_jobs_that_it_needs_hold_for_the_called_jobs() -> None:
    call = "uses: ./.github/workflows/called.yml\nwith: {gpu: '[\"gpu\"]', on: 'no'}\n"
    called = CALLED.replace("inputs: {runner", "inputs: {gpu: {default: ''}, on: {default: ''}, runner")
    called = called.replace("fromJSON(inputs.runner)", "fromJSON(inputs.gpu || inputs.runner)")
    assert [rule for rule, _ in defects_of(workflow(call), called=called)] == ["fork-runner"]
    assert defects_of(workflow(f"if: {SAME}\n{call}"), called=called) == []
    by_input = called.replace("    runs-on", "    if: inputs.on == 'yes'\n    runs-on")
    assert defects_of(workflow(call), called=by_input) == []
    assert [rule for rule, _ in defects_of(workflow(call.replace("'no'", "yes")), called=by_input)] == ["fork-runner"]
    needing = workflow(f"if: {SAME}\nruns-on: ubuntu-latest\nsteps: []") + "  two:\n    needs: one\n"
    needing += "".join(f"    {line}\n" for line in call.splitlines())
    assert defects_of(needing, called=called) == []
    anyway = needing.replace("needs: one", "needs: one\n    if: '!cancelled()'")
    assert [rule for rule, _ in defects_of(anyway, called=called)] == ["fork-runner"]


@pytest.mark.parametrize(
    "text",
    [
        attack_case(
            workflow(HOSTED, "pull_request_target").replace("on:", "!!str on:"),
            guard="GIT004",
            tried="`!!str on:` hides what starts a workflow from the checker, not from GitHub",
            said="which GitHub may read in another way; write the file without it",
        ),
        attack_case(
            workflow(f"secrets: !!str inherit\nuses: a/b/.github/workflows/c.yml@{SHA}"),
            guard="GIT004",
            tried="`secrets: !!str inherit` is another value to the checker than to GitHub",
            said="which GitHub may read in another way; write the file without it",
        ),
        attack_case(
            f"%YAML 1.1\n---\n{workflow(HOSTED, 'pull_request_target')}",
            guard="GIT004",
            tried="`%YAML 1.1` makes `on` the value true for the checker",
            said="which GitHub may read in another way; write the file without it",
        ),
        attack_case(
            f"%TAG ! tag:yaml.org,2002:\n---\n{workflow(HOSTED)}",
            guard="GIT004",
            tried="`%TAG` gives a tag another meaning",
            said="which GitHub may read in another way; write the file without it",
        ),
        attack_case(
            workflow(f"x: &x\n  if: {SAME}\n<<: *x\n{OWN}"),
            guard="GIT004",
            tried="a merge key (`<<`) brings in a job's keys, which GitHub does not know",
            said="which GitHub may read in another way; write the file without it",
        ),
        attack_case(
            workflow(f"env: {{a: &x ubuntu-latest, b: &x gpu}}\n{HOSTED.replace('ubuntu-latest', '*x')}"),
            guard="GIT004",
            tried="two values have one anchor, and readers differ in which of them an alias means",
            said="which GitHub may read in another way; write the file without it",
        ),
        attack_case(
            workflow(HOSTED).replace("steps", "# \u2028    steps"),
            guard="GIT004",
            tried="U+2028 ends a line for one reader, and a comment goes on for another",
            said="which GitHub may read in another way; write the file without it",
        ),
    ],
)
def test_what_github_may_read_in_another_way_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)) as caught:
        linted(text)
    assert caught.value.line
    assert caught.value.file == FILE


def test_anchors_and_aliases_are_read_as_github_reads_them() -> None:
    anchored = (
        "on: &on [push]\njobs:\n  one: &one\n    runs-on: {}\n    steps: &s\n      - run: echo '<<'\n  two: *one\n"
    )
    assert defects_of(anchored.format("gpu")) == []
    rules = defects_of(anchored.format("gpu").replace("push", "pull_request"))
    assert rules == [("fork-runner", 4)] * 2, "of both jobs"
    assert defects_of("# -*- %YAML !!str -*-\n" + anchored.format("'!!x'")) == []


def test_a_workflow_that_nothing_starts_is_refused() -> None:
    for key in ("True", "On", "? [on]\n"):
        with pytest.raises(BadInput, match=r"nothing starts this workflow: the key `on` is missing or empty"):
            linted(f"{key}: push\njobs: {{one: {{runs-on: x}}}}\n")


CHECKOUT_OF_HEAD = "with: {{{}: '${{{{ github.event.workflow_run.head_sha }}}}', persist-credentials: false}}"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        attack_case(
            workflow(f"runs-on: x\nsteps:\n- uses: {CHECKOUT}\n  {CHECKOUT_OF_HEAD.format('REF')}", "workflow_run"),
            "untrusted-checkout",
            guard="GIT004",
            tried="a checkout's `ref` is written `REF`",
            said="checks out ref ${{",
        ),
        attack_case(
            workflow(
                f"runs-on: x\nsteps:\n- uses: Actions//Checkout/@{SHA}\n  {CHECKOUT_OF_HEAD.format('ref')}",
                "workflow_run",
            ),
            "untrusted-checkout",
            guard="GIT004",
            tried="the action is written `Actions//Checkout/@...`",
            said="checks out ref ${{",
        ),
        attack_case(
            workflow(f"if: github.event_name == 'Pull_Request'\n{OWN}"),
            "fork-runner",
            guard="GIT004",
            tried="a condition that seems to keep forks out names the event in upper case",
            said="for forks as well",
        ),
        attack_case(
            workflow(f"if: contains(fromJSON('[\"pull\\u005frequest\"]'), github.event_name)\n{OWN}"),
            "fork-runner",
            guard="GIT004",
            tried="a condition names the event with an escape",
            said="for forks as well",
        ),
        attack_case(
            workflow(f"if: github.event_name != 'pull_request'\n{OWN}", "[pull_request, pull_request_review]"),
            "fork-runner",
            guard="GIT004",
            tried="a fork's code is run by the event of a review, which the condition leaves out",
            said="for forks as well",
        ),
        attack_case(
            workflow(f"env: {{A: '${{{{ toJSON( secrets ) }}}}'}}\n{HOSTED}", "push"),
            "inherited-secrets",
            guard="GIT004",
            tried="all secrets are passed on as one text",
            said="passes on every secret",
        ),
        attack_case(
            workflow(f"uses: a/b/.github/workflows/c.yml@{SHA}\nsecrets: {{A: '${{{{ toJSON(secrets) }}}}'}}", "push"),
            "inherited-secrets",
            guard="GIT004",
            tried="all secrets are given as one secret",
            said="passes on every secret",
        ),
        attack_case(
            workflow("runs-on: x\nsteps:\n- run: echo\n  shell: ${{ github.head_ref }}", "push"),
            "script-expression",
            guard="GIT004",
            tried="an expression in `shell:` becomes the program",
            said="inside `shell:`",
        ),
    ],
)
def test_another_spelling_for_github_does_not_get_past_a_rule(text: str, rule: str, said: str) -> None:
    (defect,) = linted(text).defects
    assert defect.rule == rule
    assert said in defect.message


def test_inputs_are_the_same_in_any_case() -> None:
    call = "uses: ./.github/workflows/called.yml\nwith: {RUNNER: '[\"gpu\"]'}"
    assert defects_of(workflow(call), called=CALLED) == [("fork-runner", 7)]


CALLED = """\
on:
  workflow_call:
    inputs: {runner: {type: string, default: '["ubuntu-latest"]'}}
permissions: {}
jobs:
  train:
    runs-on: ${{ fromJSON(inputs.runner) }}
    steps: []
"""


def test_labels_are_followed_into_the_called_workflow() -> None:
    call = "uses: ./.github/workflows/called.yml\nwith: {{runner: '{}'}}"
    assert defects_of(workflow("uses: ./.github/workflows/called.yml"), called=CALLED) == []
    assert defects_of(workflow(call.format('["macos-15"]')), called=CALLED) == []
    (defect,) = linted(workflow(call.format('["gpu"]')), called=CALLED).defects
    assert (defect.file, defect.line) == (".github/workflows/called.yml", 7)
    assert "job 'one / train'" in defect.message
    assert defects_of(workflow(f"if: {SAME}\n" + call.format('["gpu"]')), called=CALLED) == []
    assert defects_of(workflow(call.format("${{ vars.RUNNER }}")), called=CALLED) == [("fork-runner", 7)]


MATRIX_CALL = (
    "strategy: {{matrix: {{on: [{}]}}}}\nuses: {}/.github/workflows/called.yml\n"
    "with: {{runner: '${{{{ toJSON(matrix.on) }}}}'}}"
)


@pytest.mark.parametrize("here", [".", "$"])
def test_matrix_of_a_caller_is_followed_into_an_input(here: str) -> None:
    assert defects_of(workflow(MATRIX_CALL.format("ubuntu-latest, [macos-15]", here)), called=CALLED) == []
    (defect,) = linted(workflow(MATRIX_CALL.format("ubuntu-latest, [a, gpu]", here)), called=CALLED).defects
    assert "runs on a self-chosen runner (${{ fromJSON(inputs.runner) }}, here ['a', 'gpu'])" in defect.message
    unknown = MATRIX_CALL.format("'${{ github.head_ref }}'", here)
    assert defects_of(workflow(unknown), called=CALLED) == [("fork-runner", 7)]


NO_DEFAULT = CALLED.replace("""'["ubuntu-latest"]'""", "''")


def test_a_called_workflow_is_judged_with_its_callers_here() -> None:
    call = "uses: ./.github/workflows/called.yml\nwith: {{runner: '[\"{}\"]'}}"
    assert defects_of(workflow(call.format("ubuntu-latest")), called=NO_DEFAULT) == []
    assert defects_of(workflow(call.format("gpu"), "push"), called=NO_DEFAULT) == []
    assert defects_of(workflow(call.format("gpu")), called=NO_DEFAULT) == [("fork-runner", 7)]
    between = call.format("${{ inputs.on }}").replace("called.yml", "a.yml")
    others = {"a": workflow(call.format("gpu"), "workflow_call"), "called": NO_DEFAULT}
    assert defects_of(workflow(between, "push"), **others) == []
    assert defects_of(workflow(HOSTED, "push"), **others) == [("fork-runner", 7)], "a.yml has no caller here"
    uncalled = workflow(call.format("ubuntu-latest"), "workflow_call")
    assert defects_of(workflow(HOSTED), z=uncalled, called=NO_DEFAULT) == [], "z.yml is judged before what it calls"


def test_called_workflows_that_only_call_each_other_are_judged_as_well() -> None:
    a, b = (f"{NO_DEFAULT}  next:\n    uses: ./.github/workflows/{name}.yml\n" for name in "ba")
    assert ("fork-runner", 7) in defects_of(workflow(HOSTED), a=a, b=b)


def test_a_job_that_is_reached_in_several_ways_is_one_defect() -> None:
    called = CALLED.replace("${{ fromJSON(inputs.runner) }}", "gpu").replace("on:", "on:\n  pull_request:", 1)
    both = workflow("uses: ./.github/workflows/called.yml") + "  two:\n    uses: ./.github/workflows/called.yml\n"
    (defect,) = linted(both, called=called).defects
    assert (defect.file, defect.line) == (".github/workflows/called.yml", 8)


def test_first_non_empty_operand_counts() -> None:
    called = CALLED.replace("inputs.runner)", "inputs.gpu || inputs.runner)").replace(
        "inputs: {", "inputs: {gpu: {default: ''}, "
    )
    call = "uses: ./.github/workflows/called.yml\nwith: {{gpu: '{}'}}"
    for labels, fails in (("", False), ('["gpu"]', True)):
        defects = linted(workflow(call.format(labels)), called=called).defects
        assert any("'one / train'" in defect.message for defect in defects) is fails


def test_input_that_only_callers_set_needs_a_guard_in_the_called_workflow() -> None:
    called = CALLED.replace("""'["ubuntu-latest"]'""", "''")
    assert [defect.rule for defect in lint({FILE: called}).defects] == ["fork-runner"]
    called = called.replace("fromJSON(inputs.runner)", "inputs.runner || 'ubuntu-latest'")
    assert [defect.rule for defect in lint({FILE: called}).defects] == ["fork-runner"]
    assert lint({FILE: CALLED}).defects == ()
    switched = CALLED.replace("inputs: {", "inputs: {gpu: {type: boolean, default: false}, ")
    switched = switched.replace("    runs-on: ${{ fromJSON(inputs.runner) }}", "    if: inputs.gpu\n    runs-on: gpu")
    assert [defect.rule for defect in lint({FILE: switched}).defects] == ["fork-runner"]
    assert lint({FILE: switched.replace("inputs.gpu", SAME)}).defects == ()


def test_own_workflows_are_followed_under_the_name_of_a_mirror() -> None:
    own = {".github/workflows/ml-pull-request.yml": CALLED}
    call = f"uses: lab/mirror/.github/workflows/ml-pull-request.yml@{SHA}\nwith: {{runner: '[\"gpu\"]'}}"
    (defect,) = lint({FILE: workflow(call)}, own).defects
    assert (defect.file, defect.line) == (FILE, 4)
    assert "(.github/workflows/ml-pull-request.yml:7)" in defect.message


def test_unavailable_workflow_is_named_and_not_checked() -> None:
    other = f"lab/other/.github/workflows/train.yml@{SHA}"
    result = linted(workflow(f"uses: {other}"))
    assert (result.defects, result.not_followed) == ((), (other,))


TITLE = "TITLE: '${{ github.event.pull_request.title }}'"
RUNS = "runs-on: ubuntu-latest\nsteps:\n- run: |\n{}\n  env: {{{}}}"


def with_script(script: str, env: str = TITLE) -> str:
    body = "\n".join(f"    {line}" for line in script.splitlines())
    return workflow(RUNS.format(body, env))


@pytest.mark.attack(
    guard="GIT004",
    tried="the title of a pull request reaches a script by a variable, and the script runs it as a program",
    said="runs a text that anybody may write as a program",
)
@pytest.mark.parametrize(
    "script",
    [
        'eval "$TITLE"',
        'bash -c "echo $TITLE"',
        'bash -euo pipefail -c "echo $TITLE"',
        'sh \\\n  -c "$TITLE"',
        "python3 -c \"print('$TITLE')\"",
        "node -e \"console.log('$TITLE')\"",
        'perl -ne "$TITLE" file',
        'echo "echo $TITLE" | bash',
        'echo "$TITLE" | sudo /bin/sh -',
        'bash <<< "$TITLE"',
        "bash <<EOF\necho $TITLE\nEOF",
        'source <(echo "$TITLE")',
        '. <(echo "$TITLE")',
        'ssh host "echo $TITLE"',
        "$TITLE",
        'true && "${TITLE}"',
        '[[ -n "$TITLE" ]] && "$TITLE"',
        'echo "a (b)"; ("$TITLE")',
        'echo "a $($TITLE)"',
        'A=1 B=$A "$TITLE"',
        "[[ $TITLE -eq 1 ]] && echo one",
        "echo $((TITLE + 1))",
        'words="say $TITLE"\nmore=$words\neval "$more"',
        'read -r words <<< "$TITLE"\neval $words',
        'for word in $TITLE; do\n  eval "$word"\ndone',
        'eval "git switch $GITHUB_HEAD_REF"',
        'title=$(jq -r .pull_request.title "$GITHUB_EVENT_PATH")\neval "$title"',
        'some=$(jq -r ".number, .title" "$GITHUB_EVENT_PATH")\neval "$some"',
        'some=$(jq -r .number "$GITHUB_EVENT_PATH"; cat "$GITHUB_EVENT_PATH")\neval "$some"',
        "sudo $TITLE",
        "if ! $TITLE; then exit 1; fi",
        "while $TITLE; do :; done",
        "{ $TITLE; }",
        "found=`$TITLE`",
        "LEVEL=1 $TITLE",
        'echo "$TITLE" | bash -x',
        'trap "echo $TITLE" EXIT',
        'echo "${TITLE@P}"',
        'printf -v "$TITLE" x',
        'echo "${found[$TITLE]}"',
        "import os\nos.system('echo ' + os.environ['TITLE'])",
        "import os\nexec(os.environ['TITLE'])",
        'echo "$TITLE" >> "$GITHUB_ENV"',
        "echo ${TITLE}=1 >> $GITHUB_ENV",
        "printf '%s\\n' \"$TITLE\" >> ${GITHUB_ENV}",
        'echo -n "$TITLE" | tee -a "$GITHUB_PATH"',
        'echo "$env:TITLE" >> $env:GITHUB_ENV',
        'echo "BASH_ENV=$TITLE" >> "$GITHUB_ENV"',
        'export GIT_SSH_COMMAND="ssh $TITLE"',
        'let "n = $TITLE + 1"',
        "let n+=$TITLE",
        'if true; then let "n=TITLE"; fi',
        'sed -i "s/TITLE_HERE/$TITLE/" page.md',
        'sed -n -e "/${TITLE}/p" page.md',
        'awk -F: "/$TITLE/ {print}" page.md',
    ],
)
def test_a_text_that_anybody_writes_is_not_run(script: str, said: str) -> None:
    (defect,) = linted(with_script(script)).defects
    assert (defect.rule, defect.line) == ("evaluated-text", 7)
    assert said in defect.message


@pytest.mark.parametrize(
    "value",
    [
        "github.head_ref",
        "github.event.comment.body",
        "github['event']['issue']['title']",
        "GitHub.Event.pull_request.head.ref",
        "github . event . commits[0].message",
        "github.event.commits.*.author.name",
        "format('{0}', github.event.review.body)",
        "toJSON(github.event)",
        "toJSON(github)",
    ],
)
def test_whoever_writes_a_value_is_told_by_its_place_in_the_event(value: str) -> None:
    for at, text in enumerate(
        (
            with_script('eval "$X"', f'X: "${{{{ {value} }}}}"'),
            workflow(f"env:\n  X: ${{{{ {value} }}}}\n" + RUNS.format('    eval "$X"', "")),
            workflow(RUNS.format('    eval "$X"', ""), top=f"env:\n  X: ${{{{ {value} }}}}"),
            workflow(f"container:\n  env:\n    X: ${{{{ {value} }}}}\n" + RUNS.format('    eval "$X"', "")),
        )
    ):
        assert [rule for rule, _ in defects_of(text)] == ["evaluated-text"], at


@pytest.mark.parametrize(
    ("script", "env"),
    [
        ('echo "$TITLE"', TITLE),
        ('# eval "$TITLE" would run it\necho "$TITLE"', TITLE),
        ('eval "$(ssh-agent -s)"\necho "$TITLE"', TITLE),
        ('gh pr comment "$N" --body "$TITLE"', f"N: '${{{{ github.event.number }}}}', {TITLE}"),
        ('[[ "$N" -eq 1 ]] && eval "echo $N"', "N: '${{ github.event.pull_request.number }}'"),
        ('bash -c "git fetch $SHA"', "SHA: '${{ github.event.pull_request.head.sha }}'"),
        ('bash -e check.sh "$TITLE"', TITLE),
        ('python check.py -c "$TITLE"', TITLE),
        ('echo "$TITLE" | python check.py', TITLE),
        ('[[ "$TITLE" == *wip* ]] && exit 1', TITLE),
        ('echo "{$TITLE}" `date` --env "$TITLE"', TITLE),
        ('if [ "$TITLE" = x ]; then echo "if $TITLE is x"; fi', TITLE),
        ('[[ ! $TITLE == x ]] && echo "\\`$TITLE\\`"', TITLE),
        ("trap 'echo \"$TITLE\"' EXIT", TITLE),
        ('case "$TITLE" in\n  feat*) echo new ;;\nesac', TITLE),
        ('if [[ "$TITLE" == a || "$TITLE" == b ]] && [ "$TITLE" != c ]; then echo; fi', TITLE),
        ('echo "Title: ${TITLE} ($TITLE | $TITLE)"', TITLE),
        ('words=$(echo "$TITLE" | cut -c 1-9)', TITLE),
        ('[[ "$IS_WIP" -eq 1 ]]', "IS_WIP: '${{ contains(github.event.pull_request.title, 1) }}'"),
        ("cat <<EOF > report.md\n$TITLE\nEOF", TITLE),
        ('bash -c "$COMMAND"', "COMMAND: '${{ github.event.inputs.command }}'"),
        ('bash -c "$COMMAND"', "COMMAND: '${{ inputs.command }}'"),
        ('eval "$RUN"', "RUN: '${{ github.event_name }} ${{ github.sha }}'"),
        ('echo "TITLE=$TITLE" >> "$GITHUB_ENV"', TITLE),
        ('echo "FOUND=$(grep -c x <<< "$TITLE")" >> "$GITHUB_OUTPUT"', TITLE),
        ('echo "$TITLE"; echo "N=1" >> "$GITHUB_ENV"', TITLE),
        ('echo "$TITLE" >> "$GITHUB_STEP_SUMMARY"', TITLE),
        ('kind=$(cut -d: -f1 <<< "$TITLE")\nkind="KIND=$kind"\necho "$kind" >> "$GITHUB_ENV"', TITLE),
        ("sed 's/[^a-z]//g' <<< \"$TITLE\"", TITLE),
        ('sed "s/x/${TITLE//\\//}/" page.md', TITLE),
        ('plain=$(tr -dc a-z <<< "$TITLE")\nsed "s/x/$plain/" page.md', TITLE),
        ("awk -v title=\"$TITLE\" '{print title}' page.md && awk -F \"$TITLE\" '{print $1}' page.md", TITLE),
        ('echo "let us see $TITLE"', TITLE),
        ('echo "$1"', TITLE.replace("TITLE:", "1:")),
        ("printf -v words '%s' \"$TITLE\"", TITLE),
        ('n=$(jq -r .number "$GITHUB_EVENT_PATH")\n[[ $n -eq 1 ]] && $n', TITLE),
    ],
)
def test_a_text_that_is_only_an_argument_passes(script: str, env: str) -> None:
    assert defects_of(with_script(script, env)) == []


def test_lines_of_a_text_do_not_become_variables_of_later_steps() -> None:
    script = 'echo "BODY=$BODY" >> "$GITHUB_ENV"'
    text = with_script(script, "BODY: '${{ github.event.pull_request.body }}'")
    assert defects_of(text) == [("evaluated-text", 7)]


@pytest.mark.parametrize("step", ["run: make", f"uses: lab/tool@{SHA}"])
def test_a_text_is_not_in_a_variable_that_programs_run_when_they_start(step: str) -> None:
    for name, bad in (("BASH_ENV", True), ("PS4", True), ("LD_PRELOAD", True), ("ENVIRONMENT", False)):
        env = TITLE.replace("TITLE:", f"{name}:")
        own = workflow(STEP.format(f"{step}\n  env: {{{env}}}"))
        for text in (own, workflow(f"env: {{{env}}}\n{STEP.format(step)}")):
            assert [rule for rule, _ in defects_of(text)] == ["evaluated-text"] * bad, name
    assert defects_of(workflow(STEP.format(f"{step}\n  env: {{BASH_ENV: '${{{{ github.sha }}}}'}}"))) == []


def test_scripts_of_actions_are_read_too() -> None:
    script = f"uses: actions/github-script@{SHA}\n  with:\n    script: |\n      {{}}"
    for line, bad in (
        ("const {title} = context.payload.issue; eval(title)", True),
        ("eval(process.env.TITLE)", True),
        ("new Function(context.payload.comment.body)()", True),
        ("core.info(context.payload.issue.title); eval('1')", False),
        ("eval(context.payload.issue.number)", False),
        ("const title = process.env.TITLE; core.info(`${title} is new`)", False),
        ("let title = process.env.TITLE; let more=`${TITLE}`; core.info(`${title} is new`)", False),
    ):
        text = workflow(f"env: {{{TITLE}}}\n" + STEP.format(script.format(line.replace("; ", "\n      "))))
        assert (defects_of(text) != []) is bad, line
    action = "runs:\n  using: composite\n  steps:\n    - shell: bash\n      run: eval $GITHUB_HEAD_REF\n"
    assert [(d.line, d.rule) for d in lint({"a/action.yml": action}).defects] == [(5, "evaluated-text")]


STEP = "runs-on: ubuntu-latest\nsteps:\n- {}"


def in_steps(writing: str, running: str, env: str = TITLE, then: str = "") -> str:
    """A job whose first step `a` has the variable and runs one script, and whose next step runs the other."""
    first = "".join(f"\n    {line}" for line in writing.splitlines())
    second = "".join(f"\n    {line}" for line in running.splitlines())
    steps = f"- id: a\n  env: {{{env}}}\n  run: |{first}\n- env: {{{then}}}\n  run: |{second}"
    return workflow(f"runs-on: ubuntu-latest\nsteps:\n{steps}")


OUTPUT = "X: '${{ steps.a.outputs.title }}'"
HEAD_TO_ENV = """\
- run: echo "TESTED=$SHA" >> "$GITHUB_ENV"
  env: {SHA: "${{ github.event.client_payload.sha }}"}
- run: git fetch origin "$TESTED"
"""
HEAD_TO_OUTPUT = """\
- id: find
  run: |
    tested=$(jq -r .client_payload.sha "$GITHUB_EVENT_PATH")
    echo "tested=$tested" >> "$GITHUB_OUTPUT"
- run: git fetch origin "$TESTED"
  env: {TESTED: "${{ steps.find.outputs.tested }}"}
"""
FOLLOWED = [
    ('echo "title=$TITLE" >> "$GITHUB_ENV"', 'eval "$title"', ""),
    ('echo "title=$TITLE" >> "$GITHUB_ENV"', 'eval "$X"', "X: '${{ env.Title }}'"),
    ("echo title=${TITLE} | tee -a $GITHUB_OUTPUT", 'bash -c "$X"', OUTPUT),
    ('printf "title=%s\\n" "$TITLE" >> "$GITHUB_OUTPUT"', 'eval "$X"', "X: \"a ${{ steps.a.outputs['title'] }}\""),
    ('short=$(cut -c 1-50 <<< "$TITLE")\necho "title=$short" >> "$GITHUB_OUTPUT"', 'eval "$X"', OUTPUT),
    ('{\n  echo "title<<EOF"\n  echo "$TITLE"\n  echo EOF\n} >> "$GITHUB_OUTPUT"', 'eval "$X"', OUTPUT),
    ('cat <<EOF >> "$GITHUB_OUTPUT"\ntitle=$TITLE\nEOF', 'eval "$X"', OUTPUT),
    ('"title=$env:TITLE" >> $env:GITHUB_OUTPUT', 'iex "$env:X"', OUTPUT),
    ('echo "::set-output name=title::$TITLE"', 'eval "$X"', OUTPUT),
    (
        "out = open(os.environ['GITHUB_OUTPUT'], 'a')\nprint(f\"title={os.environ['TITLE']}\", file=out)",
        'eval "$X"',
        OUTPUT,
    ),
    ('title=$(jq -r .issue.title "$GITHUB_EVENT_PATH")\necho "title=$title" >> $GITHUB_OUTPUT', 'eval "$X"', OUTPUT),
    ('echo "title=$GITHUB_HEAD_REF" >> $GITHUB_OUTPUT', "git checkout $X && $X", OUTPUT),
]


@pytest.mark.attack(
    guard="GIT004",
    tried="a step hands a title to a later one by a variable or an output, and that one runs it",
    said="runs a text that anybody may write as a program",
)
@pytest.mark.parametrize(("writing", "running", "then"), FOLLOWED)
def test_a_text_is_followed_from_step_to_step(writing: str, running: str, then: str, said: str) -> None:
    (defect,) = linted(in_steps(writing, running, then=then)).defects
    assert defect.rule == "evaluated-text"
    assert said in defect.message
    assert running.rpartition(" ")[2] in defect.message
    other = in_steps(writing, running, env="OTHER: '${{ github.sha }}'", then=then)
    assert (defects_of(other) == []) is ("$TITLE" in writing or "TITLE" in writing)


@pytest.mark.parametrize(
    ("writing", "running", "then"),
    [
        ('echo "title=$TITLE" >> "$GITHUB_OUTPUT"', 'echo "$X"', OUTPUT),
        ('echo "title=$TITLE" >> "$GITHUB_OUTPUT"', 'eval "$X"', OUTPUT.replace("title", "kind")),
        ('echo "title=$TITLE" >> "$GITHUB_OUTPUT"', 'eval "$X"', OUTPUT.replace("steps.a", "steps.b")),
        ('echo "title=$TITLE" >> "$GITHUB_OUTPUT"', 'eval "$X"', "X: \"${{ steps.a.outputs.title == 'a' }}\""),
        ('echo "title=$TITLE" >> "$GITHUB_STEP_SUMMARY"', 'eval "$title"', ""),
        ('title=$TITLE\necho "n=1" >> "$GITHUB_ENV"', 'eval "$title"', ""),
        ('echo "title=$TITLE" >> "$GITHUB_ENV"', 'eval "$title"', "title: fixed"),
        ('n=$(jq -r .number "$GITHUB_EVENT_PATH")\necho "title=$n" >> $GITHUB_OUTPUT', 'eval "$X"', OUTPUT),
        (
            'echo "title<<EOF" >> $GITHUB_OUTPUT\nls >> $GITHUB_OUTPUT\necho "EOF" >> $GITHUB_OUTPUT\necho "$TITLE"',
            'eval "$X"',
            OUTPUT,
        ),
    ],
)
def test_what_a_later_step_does_not_run_and_what_is_no_such_text_passes(writing: str, running: str, then: str) -> None:
    assert defects_of(in_steps(writing, running, then=then)) == []


def test_a_text_is_followed_only_to_later_steps_and_to_the_outputs_of_jobs() -> None:
    text = in_steps('eval "$title"', 'echo "title=$TITLE" >> "$GITHUB_ENV"', env="A: b", then=TITLE)
    assert defects_of(text) == []
    writing = in_steps('echo "title=$TITLE" >> "$GITHUB_OUTPUT"', "true")
    writing = writing.replace("    runs-on", "    outputs: {Title: '${{ steps.a.outputs.title }}'}\n    runs-on")
    needing = "  two:\n    needs: one\n    runs-on: ubuntu-latest\n    env: {X: '${{ needs.one.outputs.title }}'}\n"
    needing += '    steps:\n    - run: eval "$X"\n'
    assert [rule for rule, _ in defects_of(writing + needing)] == ["evaluated-text"]
    assert defects_of(writing + needing.replace("    needs: one\n", "")) == []
    code = 'core.setOutput("title", context.payload.issue.{})'
    script = f"uses: actions/github-script@{SHA}\n  id: a\n  with: {{script: '{code}'}}"
    for field, bad in (("title", True), ("number", False)):
        steps = STEP.format(script.replace("{}", field)) + f'\n- run: eval "$X"\n  env: {{{OUTPUT}}}'
        assert ([rule for rule, _ in defects_of(workflow(steps))] == ["evaluated-text"]) is bad
    action = (
        "runs:\n  using: composite\n  steps:\n    - {shell: bash, run: 'echo \"b=$GITHUB_HEAD_REF\" >> $GITHUB_ENV'}\n"
        "    - {shell: bash, run: 'eval $b'}\n"
    )
    assert [(d.line, d.rule) for d in lint({"a/action.yml": action}).defects] == [(5, "evaluated-text")]


RUNS_INPUT = """\
on: {workflow_call: {inputs: {text: {type: string}}}}
permissions: {}
jobs:
  run:
    runs-on: ubuntu-latest
    steps:
    - run: eval "$TEXT"
      env: {TEXT: "${{ inputs.text }}"}
"""


@pytest.mark.attack(
    guard="GIT004",
    tried="a title is given to a called workflow as an input, and that workflow runs it",
    said="runs a text that anybody may write as a program",
)
def test_a_text_is_followed_into_a_called_workflow(said: str) -> None:
    call = "uses: ./.github/workflows/called.yml\nwith: {{text: '{}'}}"
    (defect,) = linted(workflow(call.format("${{ github.event.issue.title }}")), called=RUNS_INPUT).defects
    assert (defect.file, defect.line) == (".github/workflows/called.yml", 7)
    assert said in defect.message
    for sound in ("${{ github.sha }}", "${{ github.event.issue.number }}", "make test", "${{ vars.COMMAND }}"):
        assert defects_of(workflow(call.format(sound)), called=RUNS_INPUT) == []
    between = workflow(call.format("${{ inputs.words }}"), "{workflow_call: {inputs: {words: {type: string}}}}")
    first = call.format("${{ github.head_ref }}").replace("called", "between").replace("text", "words")
    assert [rule for rule, _ in defects_of(workflow(first), called=RUNS_INPUT, between=between)] == ["evaluated-text"]
    head = "with: {text: '${{ github.event.workflow_run.head_sha }}'}\npermissions: {contents: write}"
    fetching = RUNS_INPUT.replace("eval", "git fetch origin")
    text = workflow(f"uses: ./.github/workflows/called.yml\n{head}", "workflow_run")
    assert [rule for rule, _ in defects_of(text, called=fetching)] == ["untrusted-checkout"]


@pytest.mark.parametrize(
    ("shell", "bad"),
    [
        ("${{ github.head_ref }}", True),
        ("bash -c ${{ github.event.issue.title }} {0}", True),
        ("${{ env.TITLE }} {0}", True),
        ('bash -c "eval $TITLE; source {0}"', True),
        ("${{ matrix.shell }}", False),
        ("bash -leo pipefail {0}", False),
        ("pwsh -Command {0}", False),
    ],
)
def test_a_text_is_not_in_the_shell_of_steps(shell: str, bad: bool) -> None:
    defaults = f"defaults: {{run: {{shell: '{shell}'}}}}\n"
    of_job = workflow(f"{defaults}env: {{{TITLE}}}\n{STEP.format('run: make')}")
    of_workflow = workflow(f"env: {{{TITLE}}}\n{STEP.format('run: make')}", top=f"{defaults}permissions: {{}}")
    for text in (of_job, of_workflow):
        assert [rule for rule, _ in defects_of(text)] == ["evaluated-text"] * bad


@pytest.mark.slow
@pytest.mark.parametrize("step", [HEAD_TO_ENV, HEAD_TO_OUTPUT])
def test_a_head_is_followed_from_step_to_step(step: str) -> None:
    text = workflow(f"permissions: {{contents: write}}\nruns-on: ubuntu-latest\nsteps:\n{step}", "repository_dispatch")
    assert [rule for rule, _ in defects_of(text)] == ["untrusted-checkout"]
    for other in ("client_payload.user", "client_payload.number", "client_payload.pull_request.base.sha"):
        assert defects_of(text.replace("client_payload.sha", other)) == []


@pytest.mark.parametrize(
    ("step", "on"),
    [
        (f"{{uses: {CHECKOUT}, with: {{ref: '${{{{ github.event.workflow_run.head_sha }}}}'}}}}", "workflow_run"),
        (f"{{uses: {CHECKOUT}, with: {{ref: refs/pull/7/head}}}}", "issue_comment"),
        (f"{{uses: {CHECKOUT}, with: {{repository: '${{{{ env.THEIRS }}}}'}}}}", "workflow_run"),
        (f"{{uses: {CHECKOUT}, with: {{ref: '${{{{ github.event.comment.commit_id }}}}'}}}}", "commit_comment"),
        (f"{{uses: {CHECKOUT}, with: {{repository: '${{{{ github.event.forkee.full_name }}}}'}}}}", "fork"),
        ("{run: gh pr checkout 7}", "issue_comment"),
        ('{run: git fetch origin "pull/$N/head"}', "issue_comment"),
        ('{run: git checkout "$REF", env: {REF: "${{ github.event.workflow_run.head_branch }}"}}', "workflow_run"),
    ],
)
def test_pull_request_is_not_checked_out_next_to_secrets(step: str, on: str) -> None:
    rules = [rule for rule, _ in defects_of(workflow(STEP.format(step), on))]
    assert "untrusted-checkout" in rules
    assert "untrusted-checkout" not in [rule for rule, _ in defects_of(workflow(STEP.format(step), "push"))]


@pytest.mark.parametrize(
    "ref", ["github.sha", "github.event.repository.default_branch", "inputs.ref || github.ref_name", "vars.BRANCH"]
)
def test_a_branch_of_the_repository_may_be_checked_out_next_to_secrets(ref: str) -> None:
    step = f"{{uses: {CHECKOUT}, with: {{persist-credentials: false, ref: '${{{{ {ref} }}}}'}}}}"
    assert defects_of(workflow(STEP.format(step), "workflow_run")) == []
    assert defects_of(workflow(STEP.format(step), "{workflow_run: , workflow_dispatch: }")) == []


def test_a_branch_that_pull_requests_go_to_may_be_checked_out_next_to_secrets() -> None:
    event = "event.pull_request"
    for ref, safe in (
        (f"{event}.base.sha", True),
        ("base_ref", True),
        (f"{event}.head.sha", False),
        ("head_ref", False),
    ):
        step = f"{{uses: {CHECKOUT}, with: {{ref: '${{{{ github.{ref} }}}}'}}}}"
        rules = [rule for rule, _ in defects_of(workflow(STEP.format(step), "pull_request_target"))]
        assert ("untrusted-checkout" not in rules) is safe


PAYLOAD = "github.event.client_payload.pull_request.head.sha"
OF_PAYLOAD = f"{{uses: {CHECKOUT}, with: {{ref: '${{{{ {PAYLOAD} }}}}'}}}}"
READS = "permissions: {contents: read}\n"


@pytest.mark.parametrize(
    "job",
    [
        attack_case(
            STEP.format(OF_PAYLOAD),
            guard="GIT004",
            tried="a comment dispatches an event, and its job checks out the head that the payload names, with a token",
            said="pull_request.head.sha }} on repository_dispatch, next to a token",
        ),
        attack_case(
            READS
            + STEP.format(
                "{run: git fetch o $SHA, env: {SHA: '${{ github.event.client_payload.sha }}', T: '${{ secrets.T }}'}}"
            ),
            guard="GIT004",
            tried="a script checks out the head that a payload names, and its step has a secret",
            said="checks out the head of a pull request on repository_dispatch, next to a token",
        ),
        attack_case(
            STEP.format(OF_PAYLOAD.replace(PAYLOAD, "steps.find.outputs.sha")),
            guard="GIT004",
            tried="a step reads the head from the payload, and the next one checks it out with a token",
            said="checks out ref ${{ steps.find.outputs.sha }} on repository_dispatch, next to a token",
        ),
    ],
)
def test_payload_of_a_dispatch_names_no_revision_next_to_a_token(job: str, said: str) -> None:
    (defect,) = linted(workflow(job, "repository_dispatch", "permissions: {contents: write}")).defects
    assert defect.rule == "untrusted-checkout"
    assert said in defect.message


@pytest.mark.parametrize(
    "job",
    [
        READS + STEP.format(OF_PAYLOAD),
        STEP.format(f"{{uses: {CHECKOUT}, with: {{ref: '${{{{ github.sha }}}}'}}}}"),
        STEP.format("{run: git fetch origin main, env: {BY: '${{ github.event.client_payload.user.login }}'}}"),
    ],
)
def test_dispatch_without_a_token_or_without_the_payloads_revision_passes(job: str) -> None:
    assert defects_of(workflow(job, "repository_dispatch", "permissions: {contents: write}")) == []


def with_variable(level: str, script: str, variable: str, on: str) -> str:
    """A job with a secret and the right to write, and a step that runs `script` with a variable of that level."""
    env = {one: f"env: {{{variable}}}\n" if one == level else "" for one in LEVELS}
    secret = "- {run: make release, env: {T: '${{ secrets.T }}'}}\n"
    body = script.replace("\n", "\n    ")
    step = f"- run: |\n    {body}\n" + "".join(f"  {line}\n" for line in env["step"].splitlines())
    top = f"{env['workflow']}permissions: {{contents: write}}"
    container = f"container: {{image: x, env: {{{variable}}}}}\n" if level == "container" else ""
    return workflow(f"{container}{env['job']}runs-on: ubuntu-latest\nsteps:\n{secret}{step}", on, top)


LEVELS = ("workflow", "job", "container", "step")
FETCHED = 'git fetch origin "$SHA" && git checkout FETCH_HEAD && make'


@pytest.mark.attack(
    guard="GIT004",
    tried="the head that a script checks out next to a secret is in a variable of the workflow, the job or the step",
    said="checks out the head of a pull request on",
)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("script", "variable", "on"),
    [
        (FETCHED, "SHA: '${{ github.event.client_payload.sha }}'", "repository_dispatch"),
        (FETCHED, "SHA: \"${{ GitHub.event['Client_Payload']['SHA'] }}\"", "repository_dispatch"),
        (FETCHED, "SHA: '${{ github.event.workflow_run.head_sha }}'", "workflow_run"),
        (FETCHED, "SHA: 'refs/pull/${{ github.event.issue.number }}/head'", "issue_comment"),
        (FETCHED, "SHA: 'pull/${{ github.event.issue.number }}/merge'", "issue_comment"),
        (FETCHED, "SHA: \"${{ format('refs/pull/{0}/head', github.event.issue.number) }}\"", "issue_comment"),
        ('git \\\n  fetch origin "$SHA"', "SHA: '${{ github.event.workflow_run.head_sha }}'", "workflow_run"),
        ("git fetch origin $Env:sha", "SHA: '${{ github.event.workflow_run.head_sha }}'", "workflow_run"),
    ],
)
def test_head_in_a_variable_of_any_level_is_not_checked_out(
    level: str, script: str, variable: str, on: str, said: str
) -> None:
    (defect,) = linted(with_variable(level, script, variable, on)).defects
    assert defect.rule == "untrusted-checkout"
    assert said in defect.message


@pytest.mark.parametrize("value", ["${{ env.Sha }}", "${{ env['sha'] }}", "a-${{ env.SHA }}"])
def test_head_is_followed_from_one_variable_to_another(value: str) -> None:
    sha = "SHA: '${{ github.event.workflow_run.head_sha }}'"
    text = with_variable("workflow", 'git fetch origin "$REV"', sha, "workflow_run")
    assert defects_of(text) == []
    text = text.replace("    runs-on", f'    env: {{REV: "{value}"}}\n    runs-on')
    assert [rule for rule, _ in defects_of(text)] == ["untrusted-checkout"]


@pytest.mark.parametrize("level", ["workflow", "job", "container"])
@pytest.mark.parametrize(
    ("script", "variable"),
    [
        ("git fetch origin gh-pages && git branch -a", "BRANCH: '${{ github.event.workflow_run.head_branch }}'"),
        ('git fetch origin "$SHA"', "SHA: '${{ github.sha }}'"),
        ('gh api "repos/{owner}/{repo}/statuses/$SHA"', "SHA: '${{ github.event.workflow_run.head_sha }}'"),
        ('echo "$REF" >> report.md', "REF: 'refs/pull/${{ github.event.workflow_run.id }}/head'"),
    ],
)
def test_variable_that_no_checkout_of_the_step_names_passes(level: str, script: str, variable: str) -> None:
    assert defects_of(with_variable(level, script, variable, "workflow_run")) == []


@pytest.mark.parametrize(
    ("step", "caches"),
    [
        (f"uses: actions/cache@{SHA}", True),
        (f"uses: actions/cache/restore@{SHA}", True),
        (f"uses: Swatinem/rust-cache@{SHA}", True),
        (f"{{uses: actions/setup-python@{SHA}, with: {{cache: pip}}}}", True),
        (f"uses: actions/setup-python@{SHA}", False),
        (f"uses: actions/setup-go@{SHA}", True),
        (f"{{uses: actions/setup-go@{SHA}, with: {{cache: false}}}}", False),
        (f"uses: astral-sh/setup-uv@{SHA}", True),
        (f"{{uses: astral-sh/setup-uv@{SHA}, with: {{enable-cache: false}}}}", False),
        (f"{{uses: gradle/actions/setup-gradle@{SHA}, with: {{cache-disabled: true}}}}", False),
        (f"{{uses: gradle/actions/setup-gradle@{SHA}, with: {{cache-disabled: '${{{{ vars.A }}}}'}}}}", True),
        (f"uses: jdx/mise-action@{SHA}", True),
        (f"{{uses: jdx/mise-action@{SHA}, with: {{cache: false}}}}", False),
        (f"uses: oven-sh/setup-bun@{SHA}", True),
        (f"uses: baptiste0928/cargo-install@{SHA}", True),
        (f"uses: docker/setup-buildx-action@{SHA}", False),
        (f"{{uses: docker/setup-buildx-action@{SHA}, with: {{version: v0.20.0}}}}", True),
        (f"uses: some/apt-cache-action@{SHA}", True),
        (f"{{uses: some/setup-tool@{SHA}, with: {{enable-cache: true}}}}", True),
        (f"uses: some/setup-tool@{SHA}", False),
        (f"uses: actions/cache/save@{SHA}", False),
        (f"{{uses: actions/cache@{SHA}, with: {{lookup-only: true}}}}", False),
        (f"uses: beampermit/beampermit/actions/setup@{SHA}", True),
        (f"{{uses: beampermit/beampermit/actions/setup@{SHA}, with: {{fresh: 'true'}}}}", False),
    ],
)
def test_a_release_restores_no_cache(step: str, caches: bool) -> None:
    expected = [("release-cache", 7)] if caches else []
    assert defects_of(workflow(f"environment: production\n{STEP.format(step)}", "push")) == [
        (rule, line + 1) for rule, line in expected
    ]
    assert defects_of(workflow(STEP.format(step), "{push: {tags: [v1]}}")) == expected
    assert defects_of(workflow(STEP.format(step), "push")) == []
    assert defects_of(workflow(STEP.format(step), "pull_request")) == []


def test_a_cache_that_may_be_on_in_a_release_is_found() -> None:
    step = f"{{uses: astral-sh/setup-uv@{SHA}, with: {{enable-cache: '${{{{ inputs.cache }}}}'}}}}"
    assert defects_of(workflow(STEP.format(step), "{push: {tags: [v1]}}")) == []
    by_hand = workflow(STEP.format(step), "{push: {tags: [v1]}, workflow_dispatch: }")
    assert defects_of(by_hand) == [("release-cache", 7)]


@pytest.mark.parametrize("right", ["contents", "packages", "id-token"])
def test_permission_to_publish_makes_all_jobs_a_release(right: str) -> None:
    text = workflow(STEP.format(f"uses: actions/cache@{SHA}"), "{push: {branches: [main]}}")
    publishing = f"  two:\n    permissions: {{{right}: write}}\n    runs-on: x\n    steps: []\n"
    assert defects_of(text + publishing) == [("release-cache", 7)]


@pytest.mark.parametrize(
    ("step", "right", "is_release"),
    [
        ("run: python update.py && git push", "contents", False),
        ("run: cargo build --release && cp target/release/a . && cat /etc/os-release", "contents", False),
        ("run: gh release create v1", "contents", True),
        ("run: git tag v1 && git push --tags", "contents", True),
        (f"uses: softprops/action-gh-release@{SHA}", "contents", True),
        ("run: python tools/release.py", "contents", True),
        ("run: python update.py", "packages", True),
    ],
)
def test_a_scheduled_job_that_writes_contents_is_a_release_only_if_it_makes_one(
    step: str, right: str, is_release: bool
) -> None:
    job = f"permissions: {{{right}: write}}\n{STEP.format(f'uses: actions/cache@{SHA}')}\n- {step}"
    expected = [("release-cache", 8)] if is_release else []
    assert defects_of(workflow(job, "{schedule: [{cron: 0 0 * * *}], workflow_dispatch: }")) == expected
    assert defects_of(workflow(job, "push")) == [("release-cache", 8)]


def test_composite_action_is_checked() -> None:
    inside = ".github/workflows/actions/a/action.yml"
    assert lint({inside: "runs:\n  using: composite\n  steps: []\n"}).defects == ()
    action = "name: a\nruns:\n  using: composite\n  steps:\n    - shell: bash\n      run: echo ${{ inputs.a }}\n"
    (defect,) = lint({"actions/a/action.yml": action}).defects
    assert (defect.file, defect.line, defect.rule) == ("actions/a/action.yml", 6, "script-expression")


def test_workflows_that_call_each_other_in_a_circle_are_followed_to_the_limit() -> None:
    circle = "on: {workflow_call: }\njobs:\n  again:\n    uses: ./.github/workflows/circle.yml\n"
    assert defects_of(workflow("uses: ./.github/workflows/circle.yml"), circle=circle) == []


def test_too_many_jobs_are_refused() -> None:
    jobs = "".join(f"  j{n}:\n    uses: ./.github/workflows/circle.yml\n" for n in range(9))
    with pytest.raises(BadInput, match=r"w\.yml: this workflow starts more than 2000 jobs"):
        linted(workflow("uses: ./.github/workflows/circle.yml"), circle=f"on: {{workflow_call: }}\njobs:\n{jobs}")


@pytest.mark.slow
def test_jobs_that_need_the_same_jobs_are_judged_once() -> None:
    needing = (f"  j{n}: {{needs: [{', '.join(f'j{m}' for m in range(n))}], runs-on: x}}\n" for n in range(40))
    assert len(defects_of(workflow(HOSTED) + "".join(needing))) == 40


MANY = "strategy: {matrix: {a: [1, 2, 3, 4, 5, 6, 7, 8], b: [1, 2, 3, 4, 5, 6, 7, 8]}}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(workflow(HOSTED) + "".join(f"  j{n}: {{needs: j{n + 1}}}\n" for n in range(700)), id="needs"),
        pytest.param(
            workflow(f"{MANY}runs-on: ${{{{ matrix.a }}}}\nsteps: []").replace(
                "b: [", f"include: [{', '.join(f'{{c{n}: 1}}' for n in range(300))}], b: ["
            ),
            id="included",
        ),
        pytest.param(
            workflow(
                MANY
                + "runs-on: x\nsteps:\n"
                + "".join(f"- {{uses: {CHECKOUT}, with: {{ref: '${{{{ matrix.a }}}}{n:0500}'}}}}\n" for n in range(70)),
                "workflow_run",
            ),
            id="steps",
        ),
    ],
)
def test_what_takes_too_much_work_to_judge_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"w\.yml: this workflow repeats or nests too much to be judged"):
        linted(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            with_script(
                "a0=$TITLE\n" + "".join(f"a{n + 1}=$a{n}$b{n}\nb{n + 1}=$a{n}$b{n}\n" for n in range(40)) + "eval $a40"
            ),
            id="texts in a script",
        ),
        pytest.param(
            in_steps("true", "true")
            + "\n".join(
                f"    - run: echo a{n}=$X$Y >> $GITHUB_ENV\n"
                f"      env: {{X: '${{{{ env.a{n - 1} || github.head_ref }}}}', Y: '${{{{ env.a{n - 2} || 1 }}}}'}}"
                for n in range(50)
            )
            + "\n    - run: eval $a49",
            id="texts from step to step",
        ),
        pytest.param(
            workflow("outputs: {o: '${{ github.head_ref }}'}\nruns-on: ubuntu-latest")
            + "  j0: {needs: one, runs-on: ubuntu-latest, outputs: {o: '${{ needs.one.outputs.o }}'}}\n"
            + "  j1: {needs: one, runs-on: ubuntu-latest, outputs: {o: '${{ needs.one.outputs.o }}'}}\n"
            + "".join(
                f"  j{n}: {{needs: [j{n - 1}, j{n - 2}], runs-on: ubuntu-latest, "
                f"outputs: {{o: '${{{{ needs.j{n - 1}.outputs.o || needs.j{n - 2}.outputs.o }}}}'}}}}\n"
                for n in range(2, 45)
            )
            + "  last:\n    needs: j44\n    runs-on: ubuntu-latest\n    steps:\n"
            + "    - {run: eval $X, env: {X: '${{ needs.j44.outputs.o }}'}}\n",
            id="texts from job to job",
        ),
    ],
)
def test_texts_that_come_from_each_other_are_followed_once(text: str) -> None:
    assert {rule for rule, _ in defects_of(text)} == {"evaluated-text"}


def test_a_text_of_yaml_is_none_of_pythons_values() -> None:
    for value, own in (("&x true", "true"), ("2020-01-01", "2020-01-01"), ("1_000", "1_000"), ("0o17", "15")):
        job = f"strategy: {{matrix: {{v: [{value}]}}}}\nruns-on: ${{{{ format('{{0}}', matrix.v) == '{own}' && 'x' }}}}"
        (defect,) = linted(workflow(f"{job}\nsteps: []")).defects
        assert "here 'x'" in defect.message


def test_unreadable_file_is_named() -> None:
    with pytest.raises(BadInput, match=r"w\.yml:1: this workflow has no jobs"):
        linted("on: push\n")
