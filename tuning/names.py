"""Names that a broker, a database or a message may hold: one place."""

# The work queue, its twin for trials that need a GPU, and where messages end that no worker can use.
CHUNKS_QUEUE = "chunks"
GPU_QUEUE = "chunks.gpu"
DEAD_QUEUE = "chunks.dead"

# Packages whose estimators a message may name. A dotted name must lead to a class of one of these,
# by public modules only; WARREN_ALLOW adds single classes.
ALLOWED_PACKAGES = ("sklearn", "xgboost", "lightgbm", "catboost")
