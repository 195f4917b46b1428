"""The errors: one tree, drawn where they are defined."""

import inspect
import pickle

import pytest

from hitherto import AggregateNotFound, AggregateVersionConflict, errors

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass)]


def test_the_drawing_shows_the_tree() -> None:
    """Every error, below its base and nowhere else."""
    above: list[str] = []
    drawn: dict[str, str] = {}
    for line in str(errors.__doc__).splitlines():
        name = next((word for word in line.split() if hasattr(errors, word)), None)
        if name is not None:
            depth = line.index(name) // 4 - 1
            above[depth:] = [name]
            drawn[name] = above[depth - 1] if depth else "Exception"
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


@pytest.mark.parametrize("cls", [errors.ConfigurationError, errors.InvalidInput])
def test_bad_input_is_a_value_error_too(cls: type[Exception]) -> None:
    """As Python programmers expect it."""
    assert issubclass(cls, ValueError)


def test_a_conflict_tells_both_versions_and_the_remedy() -> None:
    """In its attributes and in its message."""
    conflict = AggregateVersionConflict("a-1", expected=3, actual=5)
    assert (conflict.aggregate_id, conflict.expected, conflict.actual) == ("a-1", 3, 5)
    assert str(conflict) == (
        "aggregate 'a-1' is at version 5, not at the expected 3: load it again and decide anew"
    )
    assert str(AggregateVersionConflict("a-1", expected=0, actual=2)) == (
        "there is an aggregate 'a-1' already, at version 2: load it, or give the new one another id"
    )
    assert str(AggregateVersionConflict("a-1", expected=3, actual=3)) == (
        "aggregate 'a-1' is at version 3, which another writer has written: load it again and "
        "decide anew"
    )


def test_what_was_not_found_is_named() -> None:
    """With the version, where one was asked for."""
    assert str(AggregateNotFound("a-1", "Account")) == "there is no Account with id 'a-1'"
    assert str(AggregateNotFound("a-1", "Account", 7)).endswith("with id 'a-1' at version 7")


@pytest.mark.parametrize(
    "error", [AggregateVersionConflict("a-1", 3, 5), AggregateNotFound("a-1", "Account", 7)]
)
def test_errors_cross_processes(error: Exception) -> None:
    """With all that they tell."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
