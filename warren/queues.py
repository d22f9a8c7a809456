"""Names that a broker, a database or a message may hold: one place."""

# The work queue, its twin for trials that need a GPU, and where messages end that no worker can use.
CHUNKS_QUEUE = "chunks"
GPU_QUEUE = "chunks.gpu"
DEAD_QUEUE = "chunks.dead"

# Studies that run at once lie in queues of their own, so that a long one never stands before a short one: the first in
# `CHUNKS_QUEUE`, the others beside it. Workers share their time between these lanes. A study more than there are
# lanes shares one: eight are more than a team runs at once, and few enough to look at.
LANES = (CHUNKS_QUEUE, *(f"{CHUNKS_QUEUE}.{number}" for number in range(2, 9)))
