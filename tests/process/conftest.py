from tests.support.dialogue import open_folder, served

__all__ = ["open_folder", "served"]
