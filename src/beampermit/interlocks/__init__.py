"""The interlocks, by family, and what runs them."""
