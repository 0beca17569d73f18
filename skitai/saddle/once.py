"""Members of an object that are made when they are first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - used as a decorator, like `property`
    """`functools.cached_property` without the lock that it has before Python 3.12, which costs a microsecond for each member
    of each request. What is made belongs to one request, so nobody else is about to make it."""

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> once[T] | T:
        if instance is None:
            return self
        try:
            made = instance.__dict__[self._name] = self._function(instance)
        except AttributeError as error:  # which would pass for "there is no such member"
            raise RuntimeError(f"{type(instance).__name__}.{self._name} cannot be made: {error}") from error
        return made
