"""The project's store, from the settings."""

import hitherto.django
from hitherto import sync


def main() -> None:
    import django
    from django.conf import settings
    from tests.release.extras.counter import Counter

    settings.configure(INSTALLED_APPS=["hitherto.django"], HITHERTO={"URL": "memory:"})
    django.setup()
    counters = sync.Repository(hitherto.django.get_store(), Counter)
    counter = Counter("counter-1")
    counter.count(2)
    counters.save(counter)
    assert counters.load("counter-1").total == 2


main()
