#!/bin/sh
# Removes files that no worker loads from an environment: a third of its size. Each comment says why
# nothing needs them.
set -eu
cd "$1"/lib/python3*/site-packages

# Tests of libraries: no library imports its own tests.
for library in numpy scipy pandas sklearn pyarrow; do
    [ ! -d "$library" ] || find "$library" -type d -name tests -prune -exec rm -rf {} +
done

# Headers and Cython declarations, for compiling against Arrow.
rm -rf pyarrow/include pyarrow/includes

# Headers, for compiling your own operations: 290 MB.
rm -rf tensorflow/include

# Flight is Arrow over the network, loaded only by `import pyarrow.flight`.
rm -f pyarrow/_flight.* pyarrow/libarrow_flight.* pyarrow/libarrow_python_flight.*

# The Kubernetes client for asyncio, a second copy of all its classes, loaded only by
# `import kubernetes.aio`.
rm -rf kubernetes/aio
