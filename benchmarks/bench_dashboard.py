"""Measures the dashboard's page, the Optuna study and the card with 26,160 trials."""

from __future__ import annotations

import gzip
import json
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.machine import describe, workers
from benchmarks.madeup import TRIALS, insert, made_up, shuffled, study
from warren import Study

# Trials that end while the page is open.
LATER = 60
# How often the card is drawn.
CARDS = 20


@dataclass(frozen=True)
class Asked:
    """An answer: its content, its size as sent, and the seconds it took."""

    content: dict[str, Any]
    size: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s, {self.size / 1000:,.1f} kB"


def ask(url: str) -> Asked:
    """Send a request like a browser's: accept gzip, and read the whole answer."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    began = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
        packed = answer.headers.get("Content-Encoding") == "gzip"
    seconds = time.perf_counter() - began
    return Asked(json.loads(gzip.decompress(body) if packed else body), len(body), seconds)


@contextmanager
def serving() -> Iterator[tuple[str, psutil.Process]]:
    """Run ``warren dashboard``; yield its address and its process."""
    command = [sys.executable, "-m", "producer", "dashboard", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip().removesuffix("/dashboard"), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def measure(made: Study, order: list[int]) -> Iterator[str]:
    """Yield a line with the cost of each request of the page."""
    with serving() as (url, process):
        yield f"memory at the start: {process.memory_info().rss / 1e6:.0f} MB"
        [listed] = ask(f"{url}/api/studies").content["study_summaries"]
        page = f"{url}/api/studies/{listed['study_id']}"
        yield f"first load, nothing read before: {ask(page)}"
        yield f"first load of the next page: {ask(page)}"
        known = len(order) - LATER
        yield f"an update, nothing new: {ask(f'{page}?after={known}')}"
        insert(made, made_up(made, order[known:], hours_ago=0))
        time.sleep(1.5)  # the server caches what it read for a second
        later = ask(f"{page}?after={known}")
        assert len(later.content["trials"]) == LATER, len(later.content["trials"])
        yield f"an update, {LATER} new trials: {later}"
        yield f"importances: {ask(f'{page}/param_importances')}"
        yield f"memory afterwards: {process.memory_info().rss / 1e6:.0f} MB"
        yield from in_a_browser(f"{url}/dashboard/studies/{listed['study_id']}")


def in_a_browser(url: str) -> Iterator[str]:
    """Yield the seconds until Chromium, if there is one, shows the history of all trials."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        yield "history in Chromium: there is none on this machine"
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        began = time.perf_counter()
        page.goto(url)
        points = "Math.max(0, ...(document.querySelector('#plot-history')?.data ?? []).map(one => one.x.length))"
        page.wait_for_function(f"{points} > 0", timeout=240_000)
        yield f"history in Chromium: {time.perf_counter() - began:.1f} s ({page.evaluate(points):,} points)"
        browser.close()


def main() -> None:
    """Print the figures."""
    with workers(0) as servers:
        print(f"{describe()}\n{servers}")
        made, order = study(), shuffled()
        insert(made, made_up(made, order[:-LATER]))
        print(f"{TRIALS:,} trials, results made up")
        for line in measure(made, order):
            print(f"  {line}", flush=True)
        began = time.perf_counter()
        made.to_optuna()
        print(f"  to_optuna(): {time.perf_counter() - began:.1f} s (aim: under 10 s)")
        for name, card in (("HTML", made._repr_html_), ("text", lambda: str(made))):
            seconds = []
            for _ in range(CARDS):
                began = time.perf_counter()
                card()
                seconds.append(time.perf_counter() - began)
            median, most = statistics.median(seconds) * 1000, max(seconds) * 1000
            print(f"  the card as {name}: {median:.0f} ms, at most {most:.0f} ms of {CARDS} (aim: under 100 ms)")


if __name__ == "__main__":
    main()
