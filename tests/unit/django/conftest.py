"""Django, set up once for all of these tests, with a store in memory."""

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["hitherto.django"],
        MIDDLEWARE=["hitherto.django.HithertoMiddleware"],
        ROOT_URLCONF="tests.unit.django.project",
        HITHERTO={"URL": "memory:"},
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "shop",
                "USER": "clerk",
                "PASSWORD": "p@ss/word",
                "HOST": "db.example",
                "PORT": "5433",
                "OPTIONS": {"sslmode": "require", "pool": True},
            },
            "local": {"ENGINE": "django.db.backends.postgresql", "NAME": "shop"},
            "socket": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "shop",
                "USER": "clerk",
                "HOST": "/run/postgresql",
                "PORT": 5433,
            },
            "many": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "shop",
                "HOST": "a.example,::1",
                "PORT": "5432,5433",
            },
            "service": {
                "ENGINE": "django.db.backends.postgresql",
                "OPTIONS": {"service": "shop"},
            },
            "nameless": {"ENGINE": "django.db.backends.postgresql"},
            "file": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/tmp/django/site.db"},
        },
    )
    django.setup()
