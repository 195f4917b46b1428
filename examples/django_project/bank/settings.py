"""The settings: what a service without pages needs, and hitherto."""

import os
from pathlib import Path

SECRET_KEY = os.environ.get("SECRET_KEY", "only for this example")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "bank.urls"
INSTALLED_APPS = ["hitherto.django"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "hitherto.django.HithertoMiddleware",
]
USE_TZ = True

HITHERTO = {
    "URL": os.environ.get("DATABASE_URL", f"sqlite:///{Path.cwd() / 'bank.db'}"),
    "TIMEOUT": 3.0,  # seconds
}
