"""Why a server does not start, read from its log: said in words, with what to do."""

from __future__ import annotations

import threading
from collections import namedtuple
from pathlib import Path

import pytest

from producer.stack import broker, startup_errors
from producer.stack.process import Guarded, wait_until_up
from producer.stack.providers import Site
from warren.errors import StackError

# As they were written: by RabbitMQ 4.0.5 on data of 3.10.8, and by 3.10.8 on data of 4.0.5.
NEWER = """
2026-11-30 22:56:26.889774+00:00 [error] <0.216.0> Feature flags: `stream_single_active_consumer`: required feature flag not enabled! It must be enabled before upgrading RabbitMQ.
2026-11-30 22:56:26.902221+00:00 [error] <0.216.0> Failed to initialize feature flags registry: {disabled_required_feature_flag,
2026-11-30 22:56:26.902221+00:00 [error] <0.216.0>                                               stream_single_active_consumer}
BOOT FAILED
Error during startup: {error,failed_to_initialize_feature_flags_registry}
2026-11-30 22:56:27.914875+00:00 [error] <0.215.0>     heap_size: 233
2026-11-30 22:56:27.914875+00:00 [error] <0.215.0>     stack_size: 29
2026-11-30 22:56:27.914875+00:00 [error] <0.215.0>     reductions: 67
2026-11-30 22:56:27.914875+00:00 [error] <0.215.0>   neighbours:
Kernel pid terminated (application_controller) ("{application_start_failure,rabbit,{failed_to_initialize_feature_flags_registry,{rabbit,start,[normal,[]]}}}")

Crash dump is being written to: erl_crash.dump...done
"""  # noqa: E501 - a log's lines
OLDER = (
    "Kernel pid terminated (application_controller) ({application_start_failure,rabbit,{{schema_integrity_check_failed,"
    "[{table_missing,rabbit_listener}]},{rabbit,start,[normal,[]]}}})"
)
# As MongoDB's sources word it.
MONGOD = [
    "This version of MongoDB is too recent to start up on the existing data files. Try MongoDB 4.2 or earlier.",
    '{"s":"F","msg":"Wrong mongod version","attr":{"error":"UPGRADE PROBLEM: Found an invalid '
    'featureCompatibilityVersion document (ERROR: BadValue: Invalid value for featureCompatibilityVersion"}}',
    '"unsupported WiredTiger file version: this build only supports versions up to 1, and the file is version 2"',
]


@pytest.mark.parametrize("log", [NEWER, OLDER], ids=["data of an older one", "data of a newer one"])
def test_a_broker_on_another_version_s_data_says_how_everything_comes_back(log: str, tmp_path: Path) -> None:
    said = startup_errors.find(log, startup_errors.of_broker(tmp_path / "it's"))
    assert said is not None
    assert "another version of RabbitMQ wrote the data in" in said
    assert f"""mv '{tmp_path}/it'"'"'s' '{tmp_path}/it'"'"'s.old'""" in said
    assert "resume() for each study that ran" in said


@pytest.mark.parametrize("log", MONGOD)
def test_a_database_on_another_version_s_data_says_to_keep_them(log: str, tmp_path: Path) -> None:
    said = startup_errors.find(log, startup_errors.of_database(tmp_path))
    assert said is not None
    assert said.startswith(f"another version of the database wrote the data in {tmp_path}")
    assert "It holds results, so keep it" in said


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("{error,{cannot_write_file,enospc}}", "is full: free some space"),
        ("WT_SESSION.checkpoint: No space left on device", "is full: free some space"),
        ("failed to open /x/mnesia: eacces", "another user owns files"),
        ("Cookie file /x/.erlang.cookie must be accessible by owner only", "another user owns files"),
        ("[Errno 13] Permission denied: '/x/WiredTiger.lock'", "another user owns files"),
    ],
)
def test_a_full_disk_and_another_user_s_files_are_named(log: str, said: str, tmp_path: Path) -> None:
    for found in (startup_errors.of_broker(tmp_path), startup_errors.of_database(tmp_path)):
        assert said in str(startup_errors.find(log, found))
        assert startup_errors.find("a log without any of that", found) is None


def test_a_server_that_does_not_start_says_the_cause_and_not_its_crash_report(tmp_path: Path) -> None:
    (tmp_path / "said").write_text(NEWER)
    guarded = Guarded(["/bin/sh", "-c", f"cat {tmp_path / 'said'}; exit 1"], log=tmp_path / "log", grace=0.0)
    known = startup_errors.of_broker(tmp_path)
    with pytest.raises(StackError, match="another version of RabbitMQ") as caught:
        wait_until_up(guarded, lambda: False, seconds=30.0, cancelled=threading.Event(), causes=known)
    guarded.stop()
    assert "heap_size" not in str(caught.value)
    assert str(caught.value).endswith(f"Its log is {tmp_path / 'log'}")


def test_the_end_of_a_log_has_no_colours(tmp_path: Path) -> None:
    guarded = Guarded(["printf", r"\033[38;5;160mred\033[0m"], log=tmp_path / "log", grace=0.0)
    with pytest.raises(StackError, match="the end of its log:\nred$"):
        wait_until_up(guarded, lambda: False, seconds=30.0, cancelled=threading.Event())
    guarded.stop()


def test_a_disk_on_which_the_broker_would_take_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(broker.shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 12_345_678, 12_345_678))
    with pytest.raises(StackError, match=r"has 12 MB left, and RabbitMQ takes no message below 50: make room"):
        broker.private_node(Site(folder=tmp_path, temporary=True, log=[].append), Path("rabbitmq-server"))
