#!/usr/bin/env bash
# Writes the papers of the permit in the folder "$1": for people, for the alarm systems, for the inventory.
set -euo pipefail
beampermit card --permit "$1/permit.json" --out "$1/MODEL_CARD.md" --html
beampermit runbook --permit "$1/permit.json" --out "$1/RUNBOOK.md" --html
beampermit data card --out "$1/DATASHEET.md" --html
beampermit alarms --format phoebus --out "$1"
beampermit alarms --format jaws --out "$1"
