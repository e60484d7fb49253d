"""Settings on GitHub: each with a planted defect, with an odd but sound set-up, and with a token that sees nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.doctor import committed, runners, settings
from beampermit.doctor.look import Found, State, of_error
from beampermit.doctor.subject import Subject
from beampermit.errors import BeampermitError, Outside
from support.github_server import says
from support.github_setup import KEY, SetUp, environment_of, of, runner
from support.github_stand_in import GitHub, Token

Look = Callable[[Callable[[Subject], Found]], Found]
Change = Callable[[GitHub, SetUp, dict[str, str]], Any]
PASSED, FAILED, UNKNOWN = State.PASSED, State.FAILED, State.UNKNOWN
PULL_REQUEST = ".github/workflows/pull-request.yml"


def gpu(labels: str, file: str = PULL_REQUEST) -> Change:
    return lambda _, own, files: files.update({file: files[file].replace('gpu-labels: ""', f"gpu-labels: '{labels}'")})


def a_gpu_for_tests(_: GitHub, __: SetUp, files: dict[str, str]) -> None:
    """The contract wants them."""
    wanted = 'tests: {gpu: {capability: "7.0"}}\nenvironment: {accelerators: [cpu, cuda]}\n'
    text = re.sub(r"(?m)^(tests|environment):.*\n(  .*\n)*", "", files["contract.yaml"])
    files["contract.yaml"] = text.replace("signals:\n", f"{wanted}signals:\n", 1)


def together(*changes: Change) -> Change:
    return lambda *everything: [change(*everything) for change in changes]


def branches(*names: str, type: str = "branch") -> Change:
    return lambda _, own, __: own.branches.update(production=[{"name": name, "type": type} for name in names])


def an_environment(**more: Any) -> Change:
    return lambda _, own, __: own.environments.update(production=environment_of(**more))


def machines(*all: dict[str, Any]) -> Change:
    return lambda _, own, __: own.runners.extend(all)


def group(id: int, *machines: dict[str, Any]) -> Change:
    return lambda _, own, __: own.groups.update({id: list(machines)})


CASES: list[tuple[str, Callable[[Subject], Found], Change, State, str]] = [
    ("as it is", settings.tracking_variable, lambda *_: None, PASSED, "the variable MLFLOW_TRACKING_URI is set"),
    ("no variable", settings.tracking_variable, lambda _, own, __: own.variables.clear(), FAILED, "not set, so"),
    (
        "an empty variable",
        settings.tracking_variable,
        lambda _, own, __: own.variables.update(MLFLOW_TRACKING_URI=""),
        FAILED,
        "is not set, so no job knows the registry",
    ),
    (
        "a folder",
        settings.tracking_variable,
        lambda _, own, __: own.variables.update(MLFLOW_TRACKING_URI="mlruns"),
        FAILED,
        "is 'mlruns', which is not the address of a registry",
    ),
    (
        "the organization's",
        settings.tracking_variable,
        lambda _, own, __: (own.variables.clear(), own.shared_variables.update(MLFLOW_TRACKING_URI="https://m.lab")),
        PASSED,
        "by the organization",
    ),
    ("as it is", settings.environment, lambda *_: None, PASSED, "production has reviewers, and is for main alone"),
    ("none", settings.environment, lambda _, own, __: own.environments.clear(), FAILED, "there is no environment"),
    ("no reviewers", settings.environment, an_environment(reviewers=False), FAILED, "nobody approves"),
    (
        "no reviewers, and a plan that may have none",
        settings.environment,
        together(an_environment(reviewers=False), lambda _, own, __: setattr(own, "private", True)),
        UNKNOWN,
        "only some plans have them, which is not seen",
    ),
    (
        "any branch",
        settings.environment,
        lambda _, own, __: own.environments["production"].update(deployment_branch_policy=None),
        FAILED,
        "every branch may use the environment production",
    ),
    ("another branch too", settings.environment, branches("main", "*"), FAILED, "branch * may use the environment"),
    ("a tag too", settings.environment, branches("main", type="tag"), FAILED, "tag main may use the environment"),
    ("no branch", settings.environment, branches(), FAILED, "main may not use the environment production, so nothing"),
    (
        "protected branches",
        settings.environment,
        together(branches(), an_environment(policy={"protected_branches": True, "custom_branch_policies": False})),
        PASSED,
        "production has reviewers",
    ),
    ("as it is", settings.secrets, lambda *_: None, PASSED, f"{KEY} in production"),
    ("no key", settings.secrets, lambda _, own, __: own.environment_secrets.clear(), FAILED, "no permit is signed"),
    ("the repository's", settings.secrets, lambda _, own, __: own.secrets.append(KEY), FAILED, "the whole repository"),
    ("the organization's", settings.secrets, lambda _, own, __: own.shared_secrets.append(KEY), FAILED, "organization"),
    (
        "half a login",
        settings.secrets,
        lambda _, own, __: own.environment_secrets["production"].append("MLFLOW_TRACKING_USERNAME"),
        FAILED,
        "has the secret MLFLOW_TRACKING_USERNAME without MLFLOW_TRACKING_PASSWORD",
    ),
    (
        "a login, and others elsewhere",
        settings.secrets,
        lambda _, own, __: (
            own.environment_secrets["production"].extend(["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]),
            own.secrets.append("MLFLOW_TRACKING_USERNAME"),
            own.shared_secrets.append("ANY"),
        ),
        PASSED,
        "BEAMPERMIT_SIGNING_KEY, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_USERNAME in production",
    ),
    ("as it is", settings.protection, lambda *_: None, PASSED, "main is protected, and needs 'ml / permit'"),
    ("no rules", settings.protection, lambda hub, *_: hub.rulesets.clear(), FAILED, "without a pull request"),
    (
        "the organization's rules",
        settings.protection,
        lambda hub, *_: [one.update(source_type="Organization") for one in hub.rulesets.values()],
        PASSED,
        "main is protected by rules of the organization",
    ),
    (
        "another check",
        settings.protection,
        lambda _, __, files: files.update({PULL_REQUEST: files[PULL_REQUEST].replace("name: ml\n", "name: x\n")}),
        FAILED,
        "the check 'x / permit' is not required",
    ),
    ("GitHub's machines", runners.runners, lambda *_: None, PASSED, "every job runs on GitHub's machines"),
    ("a GPU that no job asks for", runners.runners, a_gpu_for_tests, FAILED, "asks for tests on a GPU (tests.gpu)"),
    ("a GPU, asked for", runners.runners, together(a_gpu_for_tests, gpu('["gpu"]')), UNKNOWN, "no runner is listed"),
    ("no runner", runners.runners, gpu('["self-hosted","gpu"]'), FAILED, "no runner has self-hosted, gpu (.github"),
    (
        "one in another case",
        runners.runners,
        together(gpu('["Self-Hosted","GPU"]'), lambda _, own, __: own.runners.append(runner("Gpu", "a100"))),
        PASSED,
        "a runner is online for Self-Hosted, GPU",
    ),
    (
        "the labels on two",
        runners.runners,
        together(gpu('["self-hosted","gpu","a100"]'), machines(runner("gpu"), runner("a100"))),
        FAILED,
        "no runner has self-hosted, gpu, a100",
    ),
    (
        "offline",
        runners.runners,
        together(gpu('["self-hosted","gpu"]'), lambda _, own, __: own.runners.append(runner("gpu", online=False))),
        FAILED,
        "the runners with self-hosted, gpu are offline",
    ),
    (
        "one of two online, in a group of the organization",
        runners.runners,
        together(
            gpu('["self-hosted","gpu"]'),
            lambda _, own, __: own.runners.append(runner("gpu", online=False)),
            group(3, runner("gpu")),
        ),
        PASSED,
        "a runner is online",
    ),
    ("a scale set", runners.runners, gpu('["gpu-scale-set"]'), UNKNOWN, "started on demand are not seen"),
    (
        "a person's repository",
        runners.runners,
        together(gpu('["self-hosted","gpu"]'), lambda _, own, __: setattr(own, "owner_type", "User")),
        FAILED,
        "no runner has self-hosted, gpu",
    ),
    ("as it is", committed.owners, lambda *_: None, PASSED, "CODEOWNERS names @ada; @lab/models"),
    ("none", committed.owners, lambda _, __, files: files.pop("CODEOWNERS"), FAILED, "there is no CODEOWNERS"),
    (
        "not for all",
        committed.owners,
        lambda _, __, files: files.update(CODEOWNERS="/.github/ @ada\n"),
        FAILED,
        "names no owner for contract.yaml",
    ),
    (
        "one unknown",
        committed.owners,
        lambda _, own, __: setattr(own, "owner_errors", [
            {"line": 1, "column": 8, "kind": "Unknown owner", "source": "* @ada @lab/models", "message": ""}
        ]),
        FAILED,
        "CODEOWNERS: line 1: @lab/models is unknown to GitHub",
    ),
    (
        "elsewhere",
        committed.owners,
        lambda _, __, files: files.update({".github/CODEOWNERS": files.pop("CODEOWNERS")}),
        PASSED,
        ".github/CODEOWNERS names @ada",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "change", "state", "said"),
    [case[1:] for case in CASES],
    ids=[f"{case[1].__name__}: {case[0]}" for case in CASES],
)
def test_a_setting(
    look: Look, whole: GitHub, files: dict[str, str], check: Callable[[Subject], Found], change: Change,
    state: State, said: str,
) -> None:  # fmt: skip
    change(whole, of(whole), files)
    found = look(check)
    assert (found.state, said in found.said) == (state, True), found
    assert (state is FAILED) == (found.mend != "") or state is UNKNOWN


CHECKS = [settings.tracking_variable, settings.environment, settings.secrets, runners.runners, committed.owners]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_a_token_does_not_see_is_not_missing(
    look: Look, whole: GitHub, files: dict[str, str], check: Callable[[Subject], Found]
) -> None:
    gpu('["self-hosted","gpu"]')(whole, of(whole), files)
    own = of(whole)
    own.variables.clear()
    own.environments.clear()
    whole.tokens["s3cret"] = Token("ada", frozenset({"metadata:read"}))
    try:
        found = look(check)
    except BeampermitError as error:
        found = of_error(error, "Some, read")
    assert (found.state, "needs " in found.said, found.no_answer) == (UNKNOWN, True, False)


def test_a_repository_runner_counts_though_those_of_the_organization_are_not_seen(
    look: Look, whole: GitHub, files: dict[str, str]
) -> None:
    gpu('["self-hosted","gpu"]')(whole, of(whole), files)
    whole.tokens["s3cret"] = Token("ada", frozenset({"metadata:read", "administration:read"}))
    assert "needs the organization's Self-hosted runners, read" in look(runners.runners).said
    of(whole).runners.append(runner("gpu"))
    assert look(runners.runners).state is PASSED


@pytest.mark.parametrize("check", [*CHECKS, settings.protection], ids=lambda check: check.__name__)
def test_an_outage_is_no_missing_setting(
    look: Look, whole: GitHub, files: dict[str, str], check: Callable[[Subject], Found], subject: Subject
) -> None:
    gpu('["self-hosted","gpu"]')(whole, of(whole), files)
    whole.next(*[says(502)] * 5)
    with pytest.raises(Outside) as raised:
        check(subject)
    found = of_error(raised.value, "Some, read")
    assert (found.state, found.no_answer) == (UNKNOWN, True)
