"""What launchers say in environment variables, and what happens where they say nonsense."""

import pytest

from zoo_core.errors import ProcessError
from zoo_core.runtime.environment import first_process, local_rank, process_count


@pytest.mark.parametrize("value", ["", " ", None])
def test_without_a_launcher_there_is_one_process(monkeypatch, value):
    for variable in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert (process_count(), first_process(), local_rank()) == (1, True, 0)


def test_a_launcher_numbers_its_processes(monkeypatch):
    for variable, value in {"WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(variable, value)
    assert (process_count(), first_process(), local_rank()) == (8, False, 1)


@pytest.mark.parametrize(
    ("variable", "ask", "least"),
    [("WORLD_SIZE", process_count, 1), ("RANK", first_process, 0), ("LOCAL_RANK", local_rank, 0)],
)
@pytest.mark.parametrize("value", ["four", "-1", "1.5", "²", "1e3", "0x2"])
def test_nonsense_is_one_line_that_names_the_variable(monkeypatch, variable, ask, least, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ProcessError, match=rf"{variable} is '.*', not a whole number from {least}; unset it") as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_no_process_at_all_is_nonsense_too(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "0")
    with pytest.raises(ProcessError, match="WORLD_SIZE is '0'"):
        process_count()
