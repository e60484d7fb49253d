"""DAT: the data are those that this commit names, and they match the contract."""

from beampermit.interlocks.data.objects import DAT001, DAT002, DAT003, DAT008
from beampermit.interlocks.data.origins import DAT006, DAT007
from beampermit.interlocks.data.rows import DAT004, DAT005

__all__ = ["DAT001", "DAT002", "DAT003", "DAT004", "DAT005", "DAT006", "DAT007", "DAT008"]
