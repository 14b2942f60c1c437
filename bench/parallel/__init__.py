"""Training on several ranks: how it scales, what the sum costs, and how it ends when a rank does."""
