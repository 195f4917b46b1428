"""The user's rules: each test says what was, what is asked for, and what comes of it."""

import pytest
from examples.users import User, UserCreated, UserDeactivated, UserEmailChanged, UserRenamed

from hitherto import (
    AggregateVersionConflict,
    InvalidAggregateState,
    InvalidInput,
    Repository,
    connect,
)
from hitherto.testing import given

JOHN = UserCreated(email="john@example.com", name="John Doe")
LEFT = UserDeactivated(reason="left")


def test_a_user_is_created() -> None:
    """Creation is one event, and makes the user active."""
    user = User.create("user-1", "john@example.com", " John Doe ")
    assert user.pending == (JOHN,)
    assert (user.email, user.name, user.active) == ("john@example.com", "John Doe", True)


@pytest.mark.parametrize("email", ["", "john", "@example.com", "john@", "j d@x.org", "a@b@c"])
def test_an_invalid_email_is_refused(email: str) -> None:
    """At creation and at a change."""
    with pytest.raises(InvalidInput, match="email address"):
        User.create("user-1", email, "John Doe")
    given(User, JOHN).when(lambda user: user.change_email(email)).then_raises(InvalidInput)


def test_an_empty_name_is_refused() -> None:
    """At creation and at a change."""
    with pytest.raises(InvalidInput, match="name is empty"):
        User.create("user-1", "john@example.com", "  ")
    given(User, JOHN).when(lambda user: user.rename("")).then_raises(InvalidInput)


def test_a_user_is_renamed() -> None:
    """The new name stands, without the blanks around it."""
    given(User, JOHN).when(lambda user: user.rename(" Jack ")).then(UserRenamed(name="Jack"))


def test_a_user_gets_another_email() -> None:
    """The new address stands."""
    (
        given(User, JOHN)
        .when(lambda user: user.change_email("doe@example.com"))
        .then(UserEmailChanged(email="doe@example.com"))
        .then_state(email="doe@example.com", name="John Doe", active=True)
    )


def test_a_change_to_what_is_already_so_records_nothing() -> None:
    """An event says that something happened."""
    given(User, JOHN).when(lambda user: user.rename("John Doe")).then_nothing()
    given(User, JOHN).when(lambda user: user.change_email("john@example.com")).then_nothing()


def test_a_user_is_deactivated() -> None:
    """The reason is kept."""
    given(User, JOHN).when(lambda user: user.deactivate("left")).then(LEFT).then_state(active=False)


def test_a_deactivated_user_cannot_be_deactivated_again() -> None:
    """The second time makes no sense."""
    (
        given(User, JOHN, LEFT, id="user-1")
        .when(lambda user: user.deactivate("again"))
        .then_raises(InvalidAggregateState, match="user-1 is not active")
    )


def test_a_deactivated_user_cannot_be_changed() -> None:
    """Neither the name nor the address."""
    gone = given(User, JOHN, LEFT)
    gone.when(lambda user: user.rename("Jack")).then_raises(InvalidAggregateState)
    gone.when(lambda user: user.change_email("j@x.org")).then_raises(InvalidAggregateState)


def test_a_user_who_was_never_created_can_do_nothing() -> None:
    """There is no one to rename or to deactivate."""
    given(User).when(lambda user: user.rename("Jack")).then_raises(InvalidAggregateState)
    given(User).when(lambda user: user.deactivate("left")).then_raises(InvalidAggregateState)


async def test_an_id_is_given_to_one_user_only() -> None:
    """Creation expects that nothing was there; the store refuses the second."""
    async with connect("memory:") as store:
        users = Repository(store, User)
        await users.save(User.create("user-1", "john@example.com", "John Doe"))
        with pytest.raises(AggregateVersionConflict):
            await users.save(User.create("user-1", "jane@example.com", "Jane Doe"))


async def test_a_user_comes_back_from_the_store_as_saved() -> None:
    """The state is the fold of its events, now and at each earlier version."""
    async with connect("memory:") as store:
        users = Repository(store, User)
        await users.save(User.create("user-1", "john@example.com", "John Doe"))
        await users.update("user-1", lambda user: user.rename("Jack"))
        await users.update("user-1", lambda user: user.deactivate("left"))
        now, before = await users.load("user-1"), await users.load("user-1", version=1)
    assert (now.name, now.active, now.version) == ("Jack", False, 3)
    assert (before.name, before.active, before.version) == ("John Doe", True, 1)
