"""Labels: what rules, injections and people say of each row, who says it, when, why, and how surely."""
