"""The pictures of a run folder, for a paper or a slide."""
