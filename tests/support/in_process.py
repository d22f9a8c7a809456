"""Marks of tests whose broker, database and worker are threads of their own process."""

from __future__ import annotations

import pytest

# Filters of warnings are the whole process's: where they are errors, a warning of a fit
# fails its trial.
IN_PROCESS = [pytest.mark.usefixtures("in_process"), pytest.mark.filterwarnings("ignore")]
