"""Taking messages: the connection, which lanes to listen to, and what belongs to other databases."""
