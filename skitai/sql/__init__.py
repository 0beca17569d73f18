"""SQL statements written in Python: values are always bound, names always checked. Reads and executes nothing itself.

::

    sql = SQL("postgresql")
    sql.select("post").get("id", "title").filter(author="ann", title__contains="tea").order_by("-id")[:20].render()
"""

from skitai.sql.conditions import Q
from skitai.sql.entry import SQL
from skitai.sql.errors import BadStatement, Unfiltered
from skitai.sql.expressions import B, D, F, V
from skitai.sql.pieces import Rendered
from skitai.sql.statements import Delete, Insert, Select, Statement, Update
from skitai.sql.templates import Template

__all__ = [
    "SQL",
    "B",
    "BadStatement",
    "D",
    "Delete",
    "F",
    "Insert",
    "Q",
    "Rendered",
    "Select",
    "Statement",
    "Template",
    "Unfiltered",
    "Update",
    "V",
]
