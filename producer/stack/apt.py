"""Installing a Debian package without letting it start a service."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from producer.stack.process import run_tool
from producer.stack.providers import Site
from warren.errors import StackError

# Asked by the packages' scripts before they start a service; 101 is "no".
# https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# From Warren's local stack, for the time of one installation. May be removed.\nexit 101\n"
# Seconds for fetching the package lists.
UPDATE_SECONDS = 300.0
# Seconds for fetching and unpacking some 60 MB: RabbitMQ and Erlang.
INSTALL_SECONDS = 900.0


@contextlib.contextmanager
def services_stay_down(policy: Path = POLICY) -> Iterator[None]:
    """Forbid packages to start their services meanwhile.

    Parameters
    ----------
    policy : Path, default=/usr/sbin/policy-rc.d
        Where the answer is looked up. A file that is there is the machine's own answer and stays.

    Yields
    ------
    None
    """
    # One that an installation left behind when it was killed is ours to remove.
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
        Its name.
    site : Site
        Where the stack lives.

    Raises
    ------
    StackError
        There is no apt-get, this isn't root, or the installation failed.
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
            # No package lists yet, as in a fresh image, or old ones that name files that are gone.
            run_tool([apt_get, *options, "update"], seconds=UPDATE_SECONDS, cancelled=site.cancelled, env=env)
            run_tool(command, seconds=INSTALL_SECONDS, cancelled=site.cancelled, env=env)
