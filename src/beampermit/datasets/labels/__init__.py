"""Labels: what rules, injections and people say about each row: who, when, why, and how certain."""
