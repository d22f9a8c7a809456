"""``make bench``: runs every benchmark, one after the other."""

from benchmarks import (
    bench_dashboard,
    bench_grid,
    bench_networks,
    bench_overhead,
    bench_pipeline,
    bench_results,
    bench_scale,
    bench_submit,
    bench_worker,
)

for benchmark in (
    bench_submit,
    bench_worker,
    bench_overhead,
    bench_scale,
    bench_grid,
    bench_pipeline,
    bench_networks,
    bench_results,
    bench_dashboard,
):
    print(f"\n== {benchmark.__doc__}")
    benchmark.main()
