"""What a program around the commands gives them, as Django's `manage.py` does."""

import pytest

from hitherto import ConfigurationError
from hitherto.cli.connecting import connect, giving


def test_what_is_left_out_is_given_within_the_block_only() -> None:
    """A setting of the command's own wins."""
    with giving({"timeout": -1.0}):
        connect("memory:", timeout=1.0)
        with pytest.raises(ConfigurationError, match="timeout"):
            connect("memory:")
    connect("memory:")


def test_another_store_is_not_listened_to_where_the_projects_is() -> None:
    """As the copy that is made beside it."""
    with giving({"listen_url": "mysql://nowhere"}):
        connect("memory:")
        with pytest.raises(ConfigurationError, match="listen_url"):
            connect()
