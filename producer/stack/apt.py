"""Installs a Debian package without starting its service."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from producer.stack.process import run_tool
from producer.stack.providers import Site
from warren.errors import StackError

# The packages' scripts run it before they start a service; exit code 101 forbids the start.
# https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# Written by Warren's local stack during an installation. May be removed.\nexit 101\n"
# Seconds for fetching the package lists.
UPDATE_SECONDS = 300.0
# Seconds for fetching and unpacking some 60 MB: RabbitMQ and Erlang.
INSTALL_SECONDS = 900.0


@contextlib.contextmanager
def services_stay_down(policy: Path = POLICY) -> Iterator[None]:
    """Forbid packages to start their services in this context.

    Parameters
    ----------
    policy : Path, default=/usr/sbin/policy-rc.d
        The script that answers. An existing one belongs to the machine and stays.

    Yields
    ------
    None
    """
    # Also remove our own file if a killed installation left it behind.
    ours = policy.exists() and policy.read_text(errors="replace") == POLICY_TEXT
    if not policy.exists():
        policy.write_text(POLICY_TEXT)
        policy.chmod(0o755)
        ours = True
    try:
        yield
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def install(package: str, site: Site) -> None:
    """Install a package from the machine's own package sources.

    Parameters
    ----------
    package : str
        The package's name.
    site : Site
        The stack's folder and settings.

    Raises
    ------
    StackError
        There is no apt-get, this user isn't root, or the installation failed.
    """
    apt_get = shutil.which("apt-get")
    if apt_get is None:
        raise StackError("no apt-get on this machine")
    if os.geteuid() != 0:
        raise StackError(f"only root may install; run: sudo apt-get install {package}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-qq", "-o", "DPkg::Lock::Timeout=120"]
    command = [apt_get, *options, "install", "-y", "--no-install-recommends", package]
    site.log(f"Installing {package} with apt-get: a minute or two, once. Its service isn't started")
    with services_stay_down():
        try:
            run_tool(command, seconds=INSTALL_SECONDS, cancelled=site.cancelled, env=env)
        except StackError:
            if site.cancelled.is_set():
                raise
            # The package lists are missing, as in a fresh image, or outdated.
            run_tool([apt_get, *options, "update"], seconds=UPDATE_SECONDS, cancelled=site.cancelled, env=env)
            run_tool(command, seconds=INSTALL_SECONDS, cancelled=site.cancelled, env=env)
