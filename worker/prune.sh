#!/bin/sh
# Takes out of an environment what no worker ever loads: a third of its size. Each line says why nothing misses it.
set -eu
cd "$1"/lib/python3*/site-packages

# Tests of libraries: none imports its own.
for library in numpy scipy pandas sklearn pyarrow; do
    [ ! -d "$library" ] || find "$library" -type d -name tests -prune -exec rm -rf {} +
done

# Headers and Cython declarations, for compiling against Arrow.
rm -rf pyarrow/include pyarrow/includes

# Headers, for compiling operations of one's own: 290 MB.
rm -rf tensorflow/include

# Flight is Arrow over the network, loaded by `import pyarrow.flight` alone.
rm -f pyarrow/_flight.* pyarrow/libarrow_flight.* pyarrow/libarrow_python_flight.*

# The Kubernetes client for asyncio, a second copy of all its classes, loaded by `import kubernetes.aio` alone.
rm -rf kubernetes/aio
