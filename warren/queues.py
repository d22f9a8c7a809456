"""Names of the queues."""

# The work queue, the one for trials that need a GPU, and the queue of messages that no worker can
# use.
CHUNKS_QUEUE = "chunks"
GPU_QUEUE = "chunks.gpu"
DEAD_QUEUE = "chunks.dead"

# Studies that run at the same time have separate queues, so that a long one does not block a short
# one: the first uses `CHUNKS_QUEUE`, others the further lanes. Workers share their time between
# lanes. If there are more studies than lanes, some share one: eight are more than a team runs at
# once, and few enough to poll.
LANES = (CHUNKS_QUEUE, *(f"{CHUNKS_QUEUE}.{number}" for number in range(2, 9)))
