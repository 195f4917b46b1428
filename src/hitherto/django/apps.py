"""The app `hitherto`."""

from django.apps import AppConfig
from django.core.checks import register
from django.core.signals import setting_changed
from django.db.backends.base.creation import BaseDatabaseCreation

from hitherto.django.checks import check_settings
from hitherto.django.stores import let_go_before, renew


class HithertoConfig(AppConfig):
    """Checks the settings; follows them where a test overrides them."""

    name = "hitherto.django"
    label = "hitherto"
    verbose_name: str = "hitherto"  # pyright: ignore[reportIncompatibleVariableOverride]

    def ready(self) -> None:
        """See `AppConfig.ready`."""
        register(check_settings, "hitherto")
        setting_changed.connect(renew, dispatch_uid="hitherto")
        let_go_before(BaseDatabaseCreation, "destroy_test_db")
