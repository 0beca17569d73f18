from tests.support.dialogue import served

__all__ = ["served"]
