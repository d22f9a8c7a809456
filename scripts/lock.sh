#!/usr/bin/env bash
# Resolves the ranges in pyproject.toml into the pinned versions that the images and `make setup`
# install.
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
  pyproject.toml --extra learners --extra views --extra notebook --extra tensorflow --extra local --extra dev --constraint requirements.txt --prerelease if-necessary-or-explicit
# Packages that no worker needs: CatBoost requires some to draw plots in a notebook and imports them
# only then (150 MB), and only notebooks control the cluster (80 MB).
unneeded=$(mktemp)
trap 'rm -f "$unneeded"' EXIT
printf "%s ; python_version < '0'\n" aiohttp graphviz kubernetes matplotlib plotly >"$unneeded"
lock requirements-worker.txt "What the image of a worker has: no pictures, no JupyterLab, no Kubernetes client." \
  pyproject.toml --extra learners --constraint requirements.txt --override "$unneeded"
lock requirements-gpu.txt "The same with learners that train on an NVIDIA GPU, TensorFlow among them." \
  pyproject.toml --extra gpu --constraint requirements.txt --override "$unneeded"
lock requirements-tensorflow.txt "The same with TensorFlow, for workers that train networks." \
  pyproject.toml --extra learners --extra tensorflow --constraint requirements.txt --override "$unneeded"
# Pinned versions differ between Pythons. Check that each can be installed on all of them, and from
# wheels, because images compile nothing.
for python in 3.11 3.12 3.13 3.14; do
  for file in requirements.txt requirements-worker.txt requirements-gpu.txt requirements-tensorflow.txt; do
    "$uv" pip install --quiet --dry-run --only-binary :all: --target "$unneeded.none" --python-version "$python" -r "$file" ||
      { echo "lock: Python $python can't install $file" >&2 && exit 1; }
  done
  "$uv" pip install --quiet --dry-run --target "$unneeded.none" --python-version "$python" -r requirements-dev.txt ||
    { echo "lock: Python $python can't install requirements-dev.txt" >&2 && exit 1; }
done
