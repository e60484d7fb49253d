"""EPICS: inputs over PVA and CA, and records that show the outputs."""
