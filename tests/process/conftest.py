from tests.support.dialogue import open_folder, served
from tests.support.place import place
from tests.support.scheduled import scheduled

__all__ = ["open_folder", "place", "scheduled", "served"]
