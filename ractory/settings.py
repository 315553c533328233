"""Settings, from the environment (contract, "Running"). docs/operations.md lists every variable."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy

from ractory import __version__
from ractory.variables import boolean, exact_origins, hosts, number, one_of, origins, rate, seconds, secret_key, words

T = TypeVar("T")

BASE_DIR = Path(__file__).resolve().parent.parent
IN_FILES = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "REPLICA_URL", "METRICS_TOKEN")


def read(name: str, cast: Callable[[str], T], default: str = "") -> T:
    """The variable's text by `cast`; of a secret, also the content of the file that `<name>_FILE` names. Empty is the
    default. What is wrong with it is said in one line (manage.py)."""
    path = os.environ.get(f"{name}_FILE") if name in IN_FILES else None
    if path and os.environ.get(name):
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set")
    try:
        text = Path(path).read_text() if path else os.environ.get(name, "")
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE={path!r} can't be read: {error}") from error
    try:
        return cast(text.strip() or default)
    except (KeyError, ValueError) as error:
        raise ImproperlyConfigured(f"{name}={os.environ.get(name, '')!r} is not understood") from error


DEBUG = read("DEBUG", boolean)
# With DEBUG a throw-away key will do; without, a missing key must stop the start.
SECRET_KEY = read("SECRET_KEY", secret_key, "only-for-debugging-" * 3 if DEBUG else "")
SECRET_KEY_FALLBACKS = read("SECRET_KEY_FALLBACKS", words)
ALLOWED_HOSTS = read("ALLOWED_HOSTS", hosts, "localhost,127.0.0.1")
CSRF_TRUSTED_ORIGINS = read("CSRF_TRUSTED_ORIGINS", origins)

INSTALLED_APPS = [
    "tenants",  # ours first: their templates go before those of the packages
    "pieces",
    "sync",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
]

MIDDLEWARE = [
    "ractory.api.middleware.RequestMiddleware",
    "ractory.api.middleware.HeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "ractory.api.middleware.TrailingSlashMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tenants.admin.middleware.StaffMiddleware",
]

# Whose pages in a browser may call the API. They send their key or token themselves: no cookie of ours goes along.
CORS_ALLOWED_ORIGINS = read("CORS_ALLOWED_ORIGINS", exact_origins)
CORS_URLS_REGEX = r"/(api|health)(/|$)"
CORS_ALLOW_HEADERS = [
    *("authorization", "cache-control", "content-encoding", "content-type", "idempotency-key", "prefer"),
    *("x-api-key", "x-request-id", "x-sync-run"),
]
CORS_EXPOSE_HEADERS = [
    *("Idempotent-Replayed", "Link", "Preference-Applied", "Retry-After"),
    *("X-Ignored-Fields", "X-Request-ID", "X-Sync-Run", "X-Total-Count"),
]
if CORS_ALLOWED_ORIGINS:  # behind what every answer passes, before anything that redirects or refuses
    MIDDLEWARE.insert(2, "corsheaders.middleware.CorsMiddleware")

ROOT_URLCONF = "ractory.urls"
WSGI_APPLICATION = "ractory.wsgi.application"
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "tenants.admin.middleware.csrf_failure"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Database ---------------------------------------------------------------------------------


def database(name: str, default: str) -> dict[str, Any]:
    """The database that the variable names. Errors do not repeat it: it may hold a password."""
    url = read(name, str, default)
    if url.partition("://")[0] not in ("sqlite", "postgres", "postgresql"):
        raise ImproperlyConfigured(f"{name} is neither sqlite:///… nor postgres://…")
    try:
        config: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError as error:
        said = f"{name} is not understood: write postgres://user:password@host:5432/name"
        raise ImproperlyConfigured(said) from error
    if not config["NAME"] or url in ("sqlite://", "sqlite:///"):  # these would be in memory, and gone with the process
        raise ImproperlyConfigured(f"{name} names no database: {url.partition('://')[0]}://…/name")
    return config


primary = database("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
on_sqlite = primary["ENGINE"] == "django.db.backends.sqlite3"
# Behind PgBouncer in transaction mode a cursor of the server would not outlive its transaction.
primary |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "DISABLE_SERVER_SIDE_CURSORS": read("PGBOUNCER", boolean)}
if on_sqlite:
    # IMMEDIATE: a transaction takes the write lock at its start, so that it never fails half-way
    # with "database is locked"; WAL: readers do not wait for it.
    primary["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 7,  # seconds; a request may wait thrice (key, data, receipt) before a proxy in front gives up
        # Temporary tables in memory: each UPDATE of a table with a trigger has a journal of its own among them.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;",
    }
else:
    primary["ENGINE"] = "tenants.postgresql"  # the same, with the second wall between tenants
    # A host that is gone or mute must be noticed while the client still waits: seconds, but the last in milliseconds.
    soon = {"connect_timeout": 3, "keepalives_idle": 3, "keepalives_interval": 2, "keepalives_count": 2}
    primary["OPTIONS"] = soon | {"tcp_user_timeout": 5000} | primary.get("OPTIONS", {})
DATABASES = {"default": primary}
# Seconds for any statement, each of which holds one of the few threads; a proxy must wait for longer (docs/nginx.conf).
STATEMENT_TIMEOUT = read("STATEMENT_TIMEOUT", seconds, "20")
# For one that deletes, restores or moves all that is below a row.
CASCADE_TIMEOUT = read("CASCADE_TIMEOUT", seconds, "300")
# For those of lists that look at more rows than they show; and how many such lists a caller may have running.
SEARCH_TIMEOUT, SEARCHES_AT_ONCE = read("SEARCH_TIMEOUT", seconds, "5"), read("SEARCHES_AT_ONCE", number(0, 1000), "2")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REPLICA_MAX_LAG = read("REPLICA_MAX_LAG", seconds, "30")  # seconds
RECEIPT_MODEL = "sync.SyncRun"  # whose rows prove, on a replica, that a sync has arrived there
if read("REPLICA_URL", str):
    replica = database("REPLICA_URL", "")
    if on_sqlite or "sqlite" in replica["ENGINE"]:
        raise ImproperlyConfigured("REPLICA_URL is a postgres://… beside another one in DATABASE_URL")
    # Sooner than the primary, which is still to be asked then (PATIENCE: tenants.postgresql.silence).
    soon = {**soon, "connect_timeout": 2, "tcp_user_timeout": 2000, **replica.get("OPTIONS", {})}
    DATABASES["replica"] = {**primary, **replica, "ENGINE": primary["ENGINE"], "OPTIONS": soon, "PATIENCE": 0.3}
    DATABASE_ROUTERS = ["ractory.api.replica.ReplicaRouter"]

# --- Who --------------------------------------------------------------------------------------

AUTH_USER_MODEL = "tenants.User"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = ["tenants.logins.LimitedBackend"]
# New passwords get the first; what has come from an old server is replaced at its user's first login.
PASSWORD_HASHERS = [
    f"django.contrib.auth.hashers.{name}PasswordHasher"
    for name in ("PBKDF2", "BCrypt")  # bcrypt 4: 5 refuses 73 bytes
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "USER_ID_FIELD": "guid",
    "USER_ID_CLAIM": "sub",
}

# Failed logins, of an account and from an address; and all of them, since each costs the hash of a password.
THROTTLE_LOGINS = read("THROTTLE_LOGINS", rate("20/15 minutes"))
THROTTLE_LOGINS_ADDRESS = read("THROTTLE_LOGINS_ADDRESS", rate("100/15 minutes"))
THROTTLE_ALL_LOGINS = read("THROTTLE_ALL_LOGINS", rate("60/15 minutes"))
THROTTLE_ALL_LOGINS_ADDRESS = read("THROTTLE_ALL_LOGINS_ADDRESS", rate("300/15 minutes"))

# --- The API ----------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.permissions.Nobody"],
    "DEFAULT_THROTTLE_CLASSES": ["tenants.throttling.RequestThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["ractory.api.rendering.JsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],  # for the document: views read by ractory.api.body
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "ractory.api.rendering.AlwaysJson",
    "DEFAULT_SCHEMA_CLASS": "ractory.api.openapi.DescribedSchema",
    "EXCEPTION_HANDLER": "ractory.api.envelope.exception_handler",
    "UNAUTHENTICATED_USER": None,
}
# Bytes of a request's body, as sent and as unpacked. 1000 full pieces are 2 MB without pictures.
MAX_BODY_BYTES = read("MAX_BODY_BYTES", number(1024, 2**30), str(32 * 1024 * 1024))

# What a key or a user, and what all of a company together, may ask for and send. Not on SQLite: there a read would
# have to wait for the one lock of all writers in order to be counted.
_throttled = not DEBUG and not on_sqlite
THROTTLE_REQUESTS = read("THROTTLE_REQUESTS", rate("6000/minute" if _throttled else "off"))
THROTTLE_REQUESTS_COMPANY = read("THROTTLE_REQUESTS_COMPANY", rate("12000/minute" if _throttled else "off"))
THROTTLE_ROWS = read("THROTTLE_ROWS", rate("3000000/minute" if _throttled else "off"))
THROTTLE_ROWS_COMPANY = read("THROTTLE_ROWS_COMPANY", rate("6000000/minute" if _throttled else "off"))

TAGS = ("sync", "projects", "components", "assemblies", "pieces", "companies", "users", "api-keys", "auth", "meta")
SPECTACULAR_SETTINGS = {
    "TITLE": "Ractory",
    "VERSION": __version__,
    "DESCRIPTION": "A factory's production pieces, for many companies, synchronised in bulk. Lengths are whole "
    "millimetres, angles whole degrees. Every path works with and without a trailing slash.",
    "OAS_VERSION": "3.1.0",
    "TAGS": [{"name": name} for name in TAGS],
    "SCHEMA_PATH_PREFIX": "/api/v1",  # an operation's tag is the next word of its path
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "COMPONENT_SPLIT_REQUEST": True,  # what a request may not set is not in its schema
    "SORT_OPERATIONS": False,  # as in the URL configuration
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,  # they are for programmers
    "POSTPROCESSING_HOOKS": ["ractory.api.openapi.complete"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},  # or it would ask a server of theirs
}

# --- Log and metrics --------------------------------------------------------------------------

METRICS_TOKEN = read("METRICS_TOKEN", str)  # without one there is no /metrics
LOG_FORMAT = read("LOG_FORMAT", one_of("line", "json") if DEBUG else one_of("json", "line"))
LOG_LEVEL = read("LOG_LEVEL", one_of("INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "ractory.api.logs.JsonFormatter"},
        "line": {"()": "ractory.api.logs.LineFormatter"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": "NOTSET", "propagate": True},
        "django.db.backends": {"level": "INFO"},  # every statement with its values, else, with LOG_LEVEL=DEBUG
        "pyBarcode": {"level": "WARNING"},  # it tells each command that there is no Pillow, which nobody needs
        # A refusal is the client's affair and has its receipt; what is ours, a 500, comes with its traceback.
        "django.request": {"level": "ERROR"},
    },
}

DEFAULT_EXCEPTION_REPORTER_FILTER = "ractory.api.redaction.ReportFilter"

# --- Site -------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
STATIC_URL = "/static/"
# Without STATIC_ROOT files are served from where they are: there is no collectstatic to forget. The image collects
# them, compressed and under names that change with their content, so that browsers keep them for good.
STATIC_ROOT = read("STATIC_ROOT", str) or None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
if STATIC_ROOT:
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }

# gunicorn's: processes, and threads of each (gunicorn.conf.py).
WORKERS = read("WEB_CONCURRENCY", number(1, 1000), str(min(2 * len(os.sched_getaffinity(0)), 8)))
THREADS = 2

# TLS ends at the proxy in front. With BEHIND_TLS=true the site insists on it.
BEHIND_TLS = read("BEHIND_TLS", boolean)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
if BEHIND_TLS:
    SECURE_REDIRECT_EXEMPT = [r"^health/?$", r"^api/v1/health/?$", r"^metrics$"]  # these come without a proxy
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

# How many proxies in front append their peer to X-Forwarded-For (tenants.networks). 0: the header is not believed.
TRUSTED_PROXIES = read("TRUSTED_PROXIES", number(0, 100), "0")

# --- The staff's admin ------------------------------------------------------------------------


def page(title: str, icon: str, model: str) -> dict[str, object]:
    """The entry of a model's list, for those who may see it."""
    link, needed = reverse_lazy(f"admin:{model}_changelist"), model.replace("_", ".view_")
    return {"title": title, "icon": icon, "link": link, "permission": lambda request: request.user.has_perm(needed)}


def file(name: str) -> Callable[[object], str]:
    """The address of a static file of ours, which is not known yet."""
    return lambda request: static(f"tenants/{name}")


PAGES = {
    "Factory": [
        {"title": "Home", "icon": "home", "link": reverse_lazy("admin:index")},
        page("Projects", "folder", "pieces_project"),
        page("Components", "window", "pieces_component"),
        page("Assemblies", "select_all", "pieces_assembly"),
        page("Pieces", "straighten", "pieces_piece"),
        page("Trash", "delete", "pieces_deletion"),
    ],
    "Connections": [
        page("Upload", "upload_file", "sync_upload"),
        page("Sync runs", "sync", "sync_syncrun"),
        page("API keys", "key", "tenants_apikey"),
    ],
    "People": [
        page("Users", "group", "tenants_user"),
        page("Companies", "factory", "tenants_company"),
    ],
}
UNFOLD = {
    "SITE_TITLE": "Ractory",
    "SITE_HEADER": "Ractory",
    "SITE_SYMBOL": "window",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "GLOBAL_CALLBACK": "tenants.admin.staff.frame",
    "DASHBOARD_CALLBACK": "sync.admin.home.dashboard",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": file("icon.svg")}],
    "STYLES": [file("staff.css")],
    "SCRIPTS": [file("staff.js"), file("frame.js"), file("editing.js"), file("scanning.js")],
    "SIDEBAR": {"navigation": [{"title": title, "items": items} for title, items in PAGES.items()]},
}
