"""`contract.yaml`: what a model promises. Code, checks and documents are driven by it."""

from beampermit.contract.judging import Metric
from beampermit.contract.load import FILE_NAME, load_contract, parse_contract
from beampermit.contract.model import Contract
from beampermit.contract.signals import Signal

__all__ = ["FILE_NAME", "Contract", "Metric", "Signal", "load_contract", "parse_contract"]
