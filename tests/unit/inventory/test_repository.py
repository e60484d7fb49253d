"""What is read of a repository, and kept; what somebody wrote there to deceive is seen or does nothing."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from beampermit.errors import Conflict, Outside
from beampermit.git import Git
from beampermit.inventory import repository
from beampermit.inventory.entries import entry_of
from beampermit.inventory.facts import ModelFacts
from beampermit.inventory.listing import Place
from beampermit.inventory.repository import Read, read_repository
from beampermit.inventory.seen import Seen
from beampermit.live.promoted.wanted import Repository
from beampermit.registry.bypassing import bypass
from support.git_repositories import committed
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow


def place(lab: Laboratory, folder: str | None = None) -> Place:
    return Place(Repository(str(lab.root.parent / "origin.git")), folder)


def only(read: Read) -> ModelFacts:
    assert len(read.facts.models) == 1
    return read.facts.models[0]


def push(lab: Laboratory, files: dict[str, str], message: str = "Changed") -> None:
    for name, text in files.items():
        file = lab.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    lab.git("add", "--all")
    lab.git("commit", "--quiet", "--message", message)
    lab.git("push", "--quiet", "origin", "main")


def test_a_champion_is_read_with_contract_keys_and_lock(lab: Laboratory) -> None:
    push(lab, {"CODEOWNERS": "* ada@lab.example @lab/ml # and bo@lab.example\n"})
    read = read_repository(place(lab))
    model = only(read)
    assert read.unreached is None
    assert (model.name, model.state, model.promoted, model.doubts, model.troubles) == (
        MODEL,
        "in service",
        (1,),
        "",
        (),
    )
    assert model.champion == lab.last()
    assert model.running == model.now
    assert model.declared
    assert model.declared.outputs == ("B1:X:FAULT", "B2:Y:FAULT")
    assert (model.declared.prefix, model.declared.every) == ("BPM-FAULTS", 600.0)
    assert [key.until for key in read.facts.keys] == [None]
    assert read.facts.code_owners == ("ada@lab.example", "@lab/ml")
    assert read.facts.troubles == ()


def test_what_is_in_service_is_told_from_what_the_branch_says_now(lab: Laboratory) -> None:
    text = (lab.root / "contract.yaml").read_text()
    push(lab, {"contract.yaml": text.replace("2099-06-01", "2098-01-01").replace("every: 10min", "every: 1min")})
    model = only(read_repository(place(lab)))
    assert model.now
    assert model.running
    assert (f"{model.now.review_by}", model.now.every) == ("2098-01-01", 60.0)
    assert (f"{model.running.review_by}", model.running.every) == ("2099-06-01", 600.0)


def test_a_repository_that_did_not_move_is_not_read_again(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_repository(place(lab))
    with monkeypatch.context() as patch:
        patch.setattr(repository._Reader, "read", lambda _: pytest.fail("it was read again"))
        assert read_repository(place(lab)) == first
    lab.freeze()
    now = datetime.now(UTC)
    bypass(lab.project, lab.ledger, "MON001", until="8h", reason="a study", now=now)
    again = only(read_repository(place(lab)))
    assert again.frozen
    assert again.frozen.reason == "drifts"
    (held,) = again.bypasses(now)
    assert (held.name, held.reason) == ("MON001", "a study")
    assert entry_of(Seen(place(lab).repository.name, again, read_repository(place(lab)).facts), now).bypassed
    assert again.bypasses(now + timedelta(hours=9)) == ()
    push(lab, {"CODEOWNERS": "* ada@lab.example\n"})
    assert read_repository(place(lab)).facts.code_owners == ("ada@lab.example",)


def test_what_was_kept_by_another_version_or_is_damaged_is_read_again(lab: Laboratory, cache: Path) -> None:
    first = read_repository(place(lab))
    (kept,) = cache.glob("inventory/*/facts-*.json")
    for text in ("{", kept.read_text().replace(repository.MADE_BY, "0.0.1 1")):
        kept.write_text(text)
        assert read_repository(place(lab)) == first


def test_without_a_network_it_is_as_it_was_and_says_so(lab: Laboratory) -> None:
    first = read_repository(place(lab))
    (lab.root.parent / "origin.git").rename(lab.root.parent / "away")
    again = read_repository(place(lab))
    assert again.facts == first.facts
    assert isinstance(again.unreached, Outside)


def test_what_was_never_reached_is_an_error(lab: Laboratory) -> None:
    with pytest.raises(Outside, match="does not answer"):
        read_repository(Place(Repository(str(lab.root.parent / "none.git"))))


def test_a_ledger_that_was_rewritten_does_not_count(lab: Laboratory) -> None:
    first = read_repository(place(lab))
    lab.forge(cut=1)
    again = read_repository(place(lab))
    assert again.facts.models == first.facts.models
    assert isinstance(again.unreached, Conflict)


def test_a_line_that_nobody_signed_is_not_believed(lab: Laboratory) -> None:
    last = lab.last()
    lab.forge(last.model_copy(update={"sequence": 2, "version": 9, "expected": 1, "permit": f"sha256:{'5' * 64}"}))
    model = only(read_repository(place(lab)))
    assert model.champion
    assert model.champion.version == 9
    assert "the ledger has no signed permit for it" in model.doubts
    assert (model.running, model.troubles) == (None, ()), "it is said once"


def test_a_contract_that_cannot_be_read_leaves_the_others(lab: Laboratory) -> None:
    text = (lab.root / "contract.yaml").read_text()
    other = text.replace("name: bpm-faults", "name: losses").replace("signals:\n  devices: devices.csv", "signals:")
    plain = other.replace("{device}:{plane}", "L1")
    push(lab, {
        "models/losses/contract.yaml": plain,
        "models/twin/contract.yaml": plain,
        "models/broken/contract.yaml": "beampermit: 1\nmodel: {name: <script>}\n",
        "models/away/contract.yaml": text.replace("name: bpm-faults", "name: away").replace("devices.csv", "none.csv"),
    })  # fmt: skip
    facts = read_repository(place(lab)).facts
    assert {model.name: model.folder for model in facts.models} == {"bpm-faults": "", "losses": "models/losses"}
    assert [trouble.partition(":")[0] for trouble in facts.troubles] == [
        "models/away/none.csv", "models/broken/contract.yaml", "models/twin/contract.yaml",
    ]  # fmt: skip
    (alone,) = read_repository(place(lab, "models/losses")).facts.models
    assert (alone.name, alone.state) == ("losses", "never promoted")
    assert read_repository(place(lab, "models/none")).facts.troubles == (
        "models/none/contract.yaml: the protected branch has no such contract",
    )


def test_a_contract_that_is_a_link_is_not_followed(lab: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text((lab.root / "contract.yaml").read_text())
    (lab.root / "contract.yaml").unlink()
    (lab.root / "contract.yaml").symlink_to(tmp_path / "secret.yaml")
    push(lab, {"x": ""})
    model = only(read_repository(place(lab)))
    assert model.now is None
    assert model.running, "what is in service is read at its own commit"


def test_a_retired_model_whose_contract_is_gone_is_still_listed(lab: Laboratory) -> None:
    lab.retire()
    (lab.root / "contract.yaml").unlink()
    push(lab, {"x": ""})
    model = only(read_repository(place(lab)))
    assert (model.name, model.state, model.declared) == (MODEL, "retired", None)


def test_a_repository_of_something_else_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/README").write_text("x")
    committed(tmp_path / "other")
    read = read_repository(Place(Repository(str(tmp_path / "other"))))
    assert read.facts.models == ()
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "empty.git"], check=True)
    with pytest.raises(Exception, match="no default branch") as refused:
        read_repository(Place(Repository(str(tmp_path / "empty.git"))))
    assert refused.value.exit_code == 2  # type: ignore[attr-defined]


def test_nothing_of_a_repository_is_written_outside_of_the_cache(lab: Laboratory, cache: Path) -> None:
    read_repository(place(lab))
    (folder,) = (cache / "inventory").iterdir()
    (clone,) = folder.glob("ledger-*")
    assert {path.name for path in clone.iterdir()} == {".git"}
    assert Git(clone).files_at("refs/remotes/origin/protected")
