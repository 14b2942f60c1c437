"""What the commands do with tables: a training and its run folder, and what they say of it."""
