"""MLflow is asked once whether a name is a model's, and a prompt of that name is never taken for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import Outside
from beampermit.registry.mlflow import Registry
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each name that the registry itself is asked for."""
    from mlflow.tracking._model_registry.client import ModelRegistryClient

    names: list[str] = []
    ask = ModelRegistryClient.get_registered_model

    def get_registered_model(client: Any, name: str) -> Any:
        names.append(name)
        return ask(client, name)

    monkeypatch.setattr(ModelRegistryClient, "get_registered_model", get_registered_model)
    return names


def test_a_name_is_looked_at_once_however_much_is_written(
    prepared: Callable[..., Laboratory], asked: list[str]
) -> None:
    registry = prepared("once").registry
    asked.clear()
    registry.tag(MODEL, 1, note="one", other="two")
    registry.set_tags(MODEL, note="three")
    registry.set_alias(MODEL, "spare", 1)
    assert asked == [MODEL]
    assert registry.tags(MODEL)["note"] == "three"
    registry.delete_alias(MODEL, "spare")
    assert asked == [MODEL, MODEL], "what is asked for is never from before"


def test_a_prompt_is_no_model(database: Path, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(database.read_bytes())
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    registry._client.register_prompt("greeting", "Good morning, {{name}}")
    assert registry.tags("greeting") == {}
    for _ in range(2):
        with pytest.raises(Outside, match=r"failed to tag greeting: .*not found"):
            registry.set_tags("greeting", state="in service")
    with pytest.raises(Outside, match=r"failed to tag greeting: .*not found"):
        registry.identify("greeting")
