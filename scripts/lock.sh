#!/usr/bin/env bash
# Resolves pyproject.toml's ranges into the pins that the images and `make setup` install.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
lock() {
  local file=$1 what=$2
  shift 2
  {
    printf '# %s Resolved from pyproject.toml by `make lock`; change it there.\n' "$what"
    "$uv" pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
      --no-emit-find-links --annotation-style line "$@"
  } >"$file.new"
  mv "$file.new" "$file"
}
lock requirements.txt "What the producer and the workers run on, with CPU builds of the learners, pictures and JupyterLab." \
  pyproject.toml --extra learners --extra views --extra notebook
lock requirements-dev.txt "The same, with the stand-in database and the tools of development." \
  pyproject.toml --extra learners --extra views --extra notebook --extra local --extra dev --constraint requirements.txt --prerelease if-necessary-or-explicit
