"""Settings on GitHub: each with a planted defect, with an odd but sound set-up, and with a token that sees nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.doctor import committed, runners, settings
from beampermit.doctor.results import Found, State, of_error
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


def protected(*refs: str) -> Change:
    """These too, by the rules of main."""
    return lambda hub, *_: [one["conditions"]["ref_name"]["include"].extend(refs) for one in hub.rulesets.values()]


def left_out(*refs: str) -> Change:
    """By the rules of main and of the ledger."""
    return lambda hub, *_: [one["conditions"]["ref_name"].update(exclude=list(refs)) for one in hub.rulesets.values()]


def an_environment(**more: Any) -> Change:
    return lambda _, own, __: own.environments.update(production=environment_of(**more))


def another_environment(*names_and_secret: str) -> Change:
    """Environments, the last of which has the secret."""
    *names, secret = names_and_secret

    def change(_: GitHub, own: SetUp, __: dict[str, str]) -> None:
        own.environments.update({name: {**environment_of(), "name": name} for name in names})
        own.environment_secrets[names[-1]] = [secret]

    return change


def renamed(name: str) -> Change:
    """GitHub finds an environment by its name in any case, and lists it as it was made."""
    return lambda _, own, __: own.environments["production"].update(name=name)


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
    (
        "another branch too",
        settings.environment,
        branches("main", "*"),
        FAILED,
        "* may use the environment production too, and is not protected: changes can be pushed to it without a pull",
    ),
    ("a tag too", settings.environment, branches("main", type="tag"), FAILED, "tag main may use the environment"),
    (
        "a pattern with main in it",
        settings.environment,
        together(branches("ma*"), protected("refs/heads/ma*")),
        PASSED,
        "is for main; ma*, all of them protected",
    ),
    (
        "others that are protected",
        settings.environment,
        together(branches("main", "1.2.x", "release/**/*"), protected("refs/heads/1.2.x", "refs/heads/release/**/*")),
        PASSED,
        "production has reviewers, and is for main; 1.2.x; release/**/*, all of them protected",
    ),
    (
        "a pattern of which a part is protected",
        settings.environment,
        together(branches("main", "release/*"), protected("refs/heads/release/q*", "refs/heads/release/v?")),
        FAILED,
        "release/* may use the environment production too, and is not protected",
    ),
    *(
        (
            f"{out} left out of what is protected",
            settings.environment,
            together(branches("main", pattern), protected("refs/heads/release/*"), left_out(out)),
            state,
            said,
        )
        for pattern, out, state, said in (
            ("release/*", "refs/heads/release/hot", FAILED, "and release/hot is not protected: changes can be pushed"),
            ("release/*", "refs/heads/release/h*t", FAILED, "and release/hq-beampermit-qt is not protected"),
            ("release/**/*", "refs/heads/release/a/hot", FAILED, "and release/a/hot is not protected"),
            ("release/*", "refs/heads/release/a/hot", PASSED, "is for main; release/*, all of them protected"),
            ("release/v*", "refs/heads/release/hot*", PASSED, "is for main; release/v*, all of them"),
            ("release/v*", "refs/heads/release/*x", UNKNOWN, "leaves release/*x out, and whether that is one of"),
            ("release/v*", "refs/heads/release/[v]1", UNKNOWN, "leaves release/[v]1 out, and whether that is one of"),
            ("release/v", "refs/heads/release/*x", PASSED, "is for main; release/v, all of them protected"),
        )
    ),
    (
        "a pattern that is not followed",
        settings.environment,
        together(branches("main", "v[0-9]"), protected("refs/heads/v*")),
        UNKNOWN,
        "v[0-9] may use the environment production too; its protection is not seen",
    ),
    (
        "another one without main",
        settings.environment,
        together(branches("1.2.x"), protected("refs/heads/1.2.x")),
        FAILED,
        "main may not use the environment production, so nothing",
    ),
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
        "Dependabot's",
        settings.secrets,
        lambda _, own, __: setattr(own, "dependabot_secrets", [KEY]),
        FAILED,
        f"{KEY} is a secret of Dependabot, which jobs of its pull requests can name",
    ),
    ("no Dependabot", settings.secrets, lambda _, own, __: setattr(own, "dependabot_secrets", None), PASSED, KEY),
    (
        "an environment's, besides others",
        settings.secrets,
        another_environment("update", "a test", KEY),
        FAILED,
        f"{KEY} is a secret of the environment a test, whose jobs are no release",
    ),
    ("others of an environment", settings.secrets, another_environment("update", "a/test", "ANY"), PASSED, KEY),
    ("in another case", settings.secrets, renamed("Production"), PASSED, KEY),
    (
        "as many as are asked",
        settings.secrets,
        another_environment(*map(str, range(settings.MOST_ENVIRONMENTS)), "ANY"),
        PASSED,
        KEY,
    ),
    (
        "more than are asked",
        settings.secrets,
        another_environment(*map(str, range(settings.MOST_ENVIRONMENTS + 1)), "ANY"),
        UNKNOWN,
        f"{settings.MOST_ENVIRONMENTS} of {settings.MOST_ENVIRONMENTS + 1} other environments were asked",
    ),
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
    (
        "none, where some start on demand",
        runners.runners,
        gpu('["self-hosted","gpu"]'),
        UNKNOWN,
        "no runner is listed for self-hosted, gpu (.github/workflows/pull-request.yml); machines that are started on",
    ),
    (
        "one without the label",
        runners.runners,
        together(gpu('["self-hosted","gpu"]'), machines(runner())),
        FAILED,
        "no runner has self-hosted, gpu (.github/workflows/pull-request.yml), and other runners are there",
    ),
    (
        "one without the label in a group",
        runners.runners,
        together(gpu('["self-hosted","gpu"]'), group(3, runner("a100"))),
        FAILED,
        "no runner has self-hosted, gpu",
    ),
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
        together(
            gpu('["self-hosted","gpu"]'), machines(runner()), lambda _, own, __: setattr(own, "owner_type", "User")
        ),
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
    assert (found.state, said in found.reason) == (state, True), found
    assert (state is FAILED) == (found.fix != "") or state is UNKNOWN


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
    assert (found.state, "needs " in found.reason, found.no_answer) == (UNKNOWN, True, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "needed"),
    [
        ("secrets:read", "Secrets, read"),
        ("dependabot_secrets:read", "Dependabot secrets, read"),
        ("actions:read", "Actions, read"),
    ],
)
def test_a_key_that_may_be_elsewhere_too_is_unknown_with_the_right_that_would_tell(
    look: Look, whole: GitHub, right: str, needed: str
) -> None:
    all = {"secrets:read", "dependabot_secrets:read", "actions:read", "environments:read", "metadata:read"}
    whole.tokens["s3cret"] = Token("ada", frozenset(all))
    assert look(settings.secrets).state is PASSED
    whole.tokens["s3cret"] = Token("ada", frozenset(all - {right}))
    found = look(settings.secrets)
    assert (found.state, found.reason) == (
        UNKNOWN,
        f"{KEY} in production; whether the key is elsewhere too is not seen: needs {needed}",
    )


def test_further_branches_whose_rules_are_not_seen_are_unknown(subject: Subject, whole: GitHub) -> None:
    branches("main", "1.2.x")(whole, of(whole), {})
    whole.tokens["s3cret"] = Token("ada", frozenset({"actions:read"}))
    found = settings.environment(subject)
    assert (found.state, "1.2.x may use the environment production too; 1.2.x cannot be shown" in found.reason) == (
        UNKNOWN,
        True,
    ), found


def test_a_ruleset_is_asked_for_once_however_many_branches_it_is_about(subject: Subject, whole: GitHub) -> None:
    together(branches("main", "release/*", "1.2.x"), protected("refs/heads/release/*", "refs/heads/1.2.x"))(
        whole, of(whole), {}
    )
    whole.asked.clear()
    assert settings.environment(subject).state is PASSED
    assert whole.count("/rulesets/") == len(whole.rulesets)


def test_each_place_of_the_key_is_said_with_what_removes_it(look: Look, whole: GitHub) -> None:
    another_environment("a test", KEY)(whole, of(whole), {})
    of(whole).environment_secrets.pop("production")
    of(whole).secrets.append(KEY)
    found = look(settings.secrets)
    assert found.reason.count(" a secret of ") == 2
    assert found.fix == "; ".join(
        [
            settings.KEY_COMMAND,
            f"gh secret delete {KEY} --repo {{repository}}",
            f"gh secret delete {KEY} --env 'a test' --repo {{repository}}",
        ]
    )


@pytest.mark.slow
def test_a_repository_runner_counts_though_those_of_the_organization_are_not_seen(
    look: Look, whole: GitHub, files: dict[str, str]
) -> None:
    gpu('["self-hosted","gpu"]')(whole, of(whole), files)
    whole.tokens["s3cret"] = Token("ada", frozenset({"metadata:read", "administration:read"}))
    assert "needs the organization's Self-hosted runners, read" in look(runners.runners).reason
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
