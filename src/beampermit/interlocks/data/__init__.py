"""DAT: the data are provably the ones this commit names, and they keep what the contract promises."""

from beampermit.interlocks.data.labels import DAT006
from beampermit.interlocks.data.lineage import DAT007
from beampermit.interlocks.data.objects import DAT001, DAT002, DAT003
from beampermit.interlocks.data.rows import DAT004, DAT005
from beampermit.interlocks.data.strays import DAT008

__all__ = ["DAT001", "DAT002", "DAT003", "DAT004", "DAT005", "DAT006", "DAT007", "DAT008"]
