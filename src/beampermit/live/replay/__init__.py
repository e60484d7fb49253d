"""The inference loop over what was recorded: the same rows, the same judgement, the same fallback, at any speed."""
