"""Which Sigstore is trusted: that of --trust, the project's, or the public one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.permit.sigstore import find_trust, read_trust
from support.sigstore_stand_in import Sigstore


def test_the_trust_configuration_is_in_git(tmp_path: Path) -> None:
    assert find_trust(tmp_path) is None
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    assert find_trust(tmp_path) is None
    file = Sigstore().trust(tmp_path / ".github/permit.trust.json")
    (tmp_path / "models").mkdir()
    assert find_trust(tmp_path / "models") == file
    assert read_trust(file, offline=True).trusted_root.get_fulcio_certs()


def test_the_public_trust_configuration_is_known_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_trust(None, offline=True).trusted_root.get_fulcio_certs()


NO_TRUST = {
    "": "Invalid JSON|JSON",
    "{}": "not a Sigstore ClientTrustConfig",
    '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}': "not a Sigstore ClientTrustConfig",
}


@pytest.mark.parametrize("content", NO_TRUST)
def test_an_invalid_trust_configuration_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    with pytest.raises(BadInput, match="there is no trust configuration"):
        read_trust(file, offline=True)
    file.write_text(content)
    with pytest.raises(BadInput, match="not a Sigstore ClientTrustConfig: ") as caught:
        read_trust(file, offline=True)
    assert "\n" not in str(caught.value)


def test_a_trust_configuration_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Sigstore().trust(tmp_path / "trust.json")
    size = file.stat().st_size
    monkeypatch.setattr("beampermit.permit.sigstore.LARGEST", size)
    assert read_trust(file, offline=True)
    monkeypatch.setattr("beampermit.permit.sigstore.LARGEST", size - 1)
    with pytest.raises(BadInput, match=f"larger than the {size - 1} bytes allowed for a trust configuration"):
        read_trust(file, offline=True)


@pytest.mark.parametrize("part", ["tlogs", "certificateAuthorities"])
def test_an_empty_trust_configuration_is_refused(part: str, tmp_path: Path) -> None:
    file = Sigstore().trust(tmp_path / "trust.json", **{part: []})
    with pytest.raises(BadInput, match="not a Sigstore ClientTrustConfig: "):
        read_trust(file, offline=True)
