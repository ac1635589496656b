"""Settings of Django's own test suite, from libpq's variables."""

import os


def database(suffix: str) -> dict:
    """One of the two databases the suite wants; its runner makes and drops them."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "USER": os.environ["PGUSER"],
        "PASSWORD": os.environ["PGPASSWORD"],
        "NAME": os.environ["PGDATABASE"],
        "TEST": {"NAME": f"{os.environ['PGDATABASE']}_{suffix}"},
    }


DATABASES = {"default": database("one"), "other": database("two")}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
