"""The alarm tree of a model: every PV that shows its alarms, and what is done about them; for Phoebus and for JAWS."""

from beampermit.documents.alarm_tree.tree import Branch, Tree, tree

__all__ = ["Branch", "Tree", "tree"]
