"""Every command of docs/adapter.md, run as it stands, in the order in which it says it."""

import asyncio
from pathlib import Path

from tests.producing import prepare, registry_settings
from tests.typing_in import commands, type_in

PAGE = (Path(__file__).parents[2] / "docs" / "adapter.md").read_text(encoding="utf-8")
LISTS = ("code.ward", "code.ethnic_group", "code.country", "code.legal_form")


def test_commands_run_as_they_stand(kafka, topic_prefix, tmp_path, monkeypatch, capsys):
    asyncio.run(prepare(kafka, topic_prefix, ["business.registration", *LISTS]))
    bus = {"KAFKA": kafka, "PREFIX": topic_prefix, "REGISTRY": registry_settings(topic_prefix).topic}
    for name, value in bus.items():
        monkeypatch.setenv(f"LIENTHONG_{name}", value)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.chdir(tmp_path)
    typed = commands(PAGE)
    assert len(typed) == 11
    for line in typed:
        assert type_in(line, monkeypatch) == 0, line
    assert "code lists country, ethnic_group, legal_form, ward as published" in capsys.readouterr().out
