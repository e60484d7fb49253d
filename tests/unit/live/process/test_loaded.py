"""A model is loaded as in service where there is no service: its bytes stay, and its GPU may be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.errors import Failed
from beampermit.live.process import loaded, starting
from beampermit.live.process.loaded import loaded_model
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import SPEAKS, asked_contract


@pytest.mark.slow
def test_a_copy_is_asked_and_a_missing_gpu_is_no_fault_of_the_model(
    contract_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, folder = tmp_path / "worker.py", tmp_path / "model"
    writes = 'open(options["--model"] + "/written", "w").close()'
    script.write_text(SPEAKS.replace("BEFORE", writes).replace("ASKED", "pass"))
    monkeypatch.setattr(starting, "WORKER", script)
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    contract = asked_contract(contract_text)
    environment: Any = contract.environment.model_copy(update={"accelerators": ("cuda",)})
    contract = contract.model_copy(update={"environment": environment})
    said: list[str] = []
    start = starting.start

    def noted(command: Any, **options: Any) -> Any:
        said.append(command[command.index("--device") + 1])
        return start(command, **options)

    monkeypatch.setattr(starting, "start", noted)
    with loaded_model(THIS_ENVIRONMENT, folder, contract) as model:
        assert model.ask({"turns": np.full((1, 3), 2.0)})["score"].tolist() == [2.0]
    assert [file.name for file in folder.iterdir()] == ["MLmodel"]
    assert said == ["any"]


@pytest.mark.slow
def test_who_has_time_waits_for_a_late_answer_and_not_for_ever(
    contract_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, folder = tmp_path / "worker.py", tmp_path / "model"
    script.write_text(SPEAKS.replace("BEFORE", "").replace("ASKED", "time.sleep(turns[0, 0])"))
    monkeypatch.setattr(starting, "WORKER", script)
    monkeypatch.setattr(loaded, "ANSWER", 1.5)
    folder.mkdir()
    contract = asked_contract(contract_text, serving={"timeout": 0.05})
    with loaded_model(THIS_ENVIRONMENT, folder, contract) as model:
        assert model.ask({"turns": np.full((1, 3), 0.2)})["score"].round(6).tolist() == [0.2]
        with pytest.raises(Failed, match=r"^the model did not answer within 1.5 s$"):
            model.ask({"turns": np.full((1, 3), 60.0)})
