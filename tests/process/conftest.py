from tests.support.dialogue import open_folder, served
from tests.support.place import place

__all__ = ["open_folder", "place", "served"]
