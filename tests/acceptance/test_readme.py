"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from warren.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def _block(language: str) -> str:
    """Return the first block of this language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.slow
def test_the_first_snippet_prints_what_stands_below_it(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(_block("python"))
    own = {name: value for name, value in os.environ.items() if name not in {"AMQP_URL", "MONGO_URL"}}
    done = subprocess.run(
        [sys.executable, "snippet.py"], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = _block("text").splitlines()[1:]
    assert done.stdout.rstrip().splitlines() == shown
    assert "54/54 trials" in done.stderr


def test_every_setting_is_in_the_table_as_the_code_describes_it() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", README, re.MULTILINE))
    assert sorted(rows) == sorted(str(field.alias) for field in Settings.model_fields.values())
    for field in Settings.model_fields.values():
        default, _, text = rows[str(field.alias)].partition(" | ")
        assert text == field.description
        if field.default_factory is None and field.default not in ((), None, ""):
            shown = default.strip("`")
            assert shown == (f"{field.default:g}" if isinstance(field.default, float) else str(field.default))


def test_every_command_of_make_is_there() -> None:
    root = Path(__file__).parents[2]
    listed = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    for command in re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", README, re.MULTILINE):
        assert f"make {command[0] or command[1]} " in listed


def test_every_page_that_is_linked_is_there() -> None:
    root = Path(__file__).parents[2]
    for page in [*root.glob("*.md"), *root.glob("*/README.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
