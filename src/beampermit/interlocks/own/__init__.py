"""A laboratory's own interlocks: locked by the protected branch, installed beside the checker, added to ours."""
