"""``make pictures``: makes docs/pictures from a real study on real workers in a real Chromium."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from browser import chromium, find_chromium
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image
from playwright.sync_api import Browser, Page
from polling import until
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from xgboost import XGBClassifier

from producer.cli.demo import grids
from warren import Study, local_stack, submit

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
# Pixels of a plot, of a cell, of the dashboard and of TensorBoard, and the scale of a screenshot.
PLOT, CELL, DASHBOARD, BOARD = (1100, 800), (840, 800), (1400, 1180), (1900, 1000)
SCALE = 1.5
# Colours of a picture: enough for plots, and a quarter of the bytes.
COLOURS = 256
# Seconds until a step counts as stuck.
STUCK = 300.0
# Arguments of each plot: one library has more parameters to show than all three have in common.
ONE = {"estimator": "LGBMClassifier"}
PLOTS: dict[str, dict[str, str]] = {
    "history": {},
    "parallel": ONE,
    "importance": ONE,
    "slice": ONE,
    "contour": ONE,
    "timeline": {},
    "scores": {},
}


def space() -> list[dict[str, list[Any]]]:
    """Return the demo's space, and a few points that fail, to show failures."""
    return [*grids(), {"estimator": [XGBClassifier(random_state=0)], "subsample": [2.0], "max_depth": [2, 3, 4]}]


def search(name: str) -> Study:
    """Submit the study."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return submit(None, space(), X, y, scoring=["roc_auc", "accuracy"], refit="roc_auc", cv=folds, name=name)


def save(name: str, picture: bytes) -> None:
    """Save a picture with few colours."""
    path = FOLDER / f"{name}.png"
    Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(Path.cwd())}: {path.stat().st_size / 1000:.0f} kB", flush=True)  # noqa: T201 - a person waits


def new_page(browser: Browser, size: tuple[int, int], scale: float = SCALE) -> Page:
    """Open an empty page."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=scale)
    page.set_default_timeout(STUCK * 1000)
    return page


def shoot_cell(browser: Browser, name: str, study: Study, code: str) -> None:
    """Run a cell in a new kernel, and save its output as a notebook shows it."""
    cells = [
        nbformat.v4.new_code_cell(f"from warren import Study\n\nstudy = Study.attach({study.id!r})"),
        nbformat.v4.new_code_cell(code),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=STUCK).execute()
    # Show only the line that a reader would type.
    notebook.cells[1].source = code.partition("\n")[0]
    text, _ = HTMLExporter(template_name="lab").from_notebook_node(notebook)
    page = new_page(browser, CELL)
    page.set_content(text, wait_until="domcontentloaded")
    save(name, page.locator(".jp-Cell").nth(1).screenshot())
    page.close()


def shoot_plot(browser: Browser, study: Study, name: str) -> None:
    """Save one of the study's plots, as plotly draws it."""
    figure = getattr(study.plot, name)(**PLOTS[name])
    page = new_page(browser, PLOT)
    page.set_content(figure.to_html(include_plotlyjs=True, default_width=f"{PLOT[0] - 20}px"))
    plot = page.locator(".js-plotly-plot")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    save(name, plot.screenshot())
    page.close()


@contextmanager
def dashboard(study: Study) -> Iterator[str]:
    """Run ``warren dashboard``; yield the address of the study's page."""
    command = [sys.executable, "-m", "producer", "dashboard", study.id, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield next(iter(process.stdout or ())).strip()
        finally:
            process.terminate()


def shoot_dashboard(browser: Browser, study: Study) -> None:
    """Save the dashboard while the study runs."""
    with dashboard(study) as url:
        page = new_page(browser, DASHBOARD, scale=1.0)
        page.goto(url)
        page.wait_for_selector("#plot-history .points path")
        page.wait_for_selector("#graph-hyperparameter-importances .point")
        page.wait_for_timeout(1000)  # until animations have ended
        save("dashboard", page.screenshot())
        page.goto(f"{url}/smartSelection")
        page.wait_for_selector("#plot-parallel-coordinate .parcoords")
        page.wait_for_timeout(1000)
        save("dashboard-parallel", page.locator(".MuiCard-root").first.screenshot())
        page.close()


def shoot_tensorboard(browser: Browser, study: Study) -> None:
    """Save the HParams page of TensorBoard."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "producer", "tensorboard", study.id, "--port", "0", "--logdir", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                page = new_page(browser, BOARD, scale=1.0)
                page.goto(next(iter(process.stdout or ())).strip())
                page.get_by_text("XGBClassifier").nth(1).wait_for()
                page.wait_for_timeout(1000)  # until the table has its column widths
                save("tensorboard", page.screenshot())
                page.close()
            finally:
                process.terminate()


def main() -> None:
    """Make all pictures."""
    path = find_chromium()
    if path is None:
        sys.exit("no Chromium here: install Debian's package chromium, or let CHROMIUM name one")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with local_stack(workers=2) as stack, chromium(path) as browser:
        evicted = stack.start_worker()
        study = search("breast-cancer")
        until(lambda: study.status().done > 60, STUCK, "a part of the study is done")
        os.kill(evicted.pid, signal.SIGKILL)
        shoot_cell(browser, "live", study, "study.live()\nimport time\ntime.sleep(4)")
        shoot_dashboard(browser, study)
        study.wait()
        shoot_cell(browser, "card", study, "study")
        shoot_tensorboard(browser, study)
        for name in PLOTS:
            shoot_plot(browser, study, name)


if __name__ == "__main__":
    main()
