"""Training on several ranks: how it scales, and how it ends when a rank does."""
