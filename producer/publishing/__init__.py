"""Publishing chunks to the broker: lanes, the outbox, publisher confirms and signatures."""
