"""All settings: environment in, sensible start values, one line of comment per knob."""

from pathlib import Path
from typing import Any

import environ
from django.urls import reverse_lazy

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

PROCESS = env.str("SWITCHYARD_PROCESS", default="")  # "web" in web servers, set by wsgi.py
DEBUG = env.bool("DEBUG", default=False)  # never in production
SECRET_KEY = env.str("SECRET_KEY", default="")  # signs sessions; the demo makes its own
SECRET_KEYS = env.str("SWITCHYARD_SECRET_KEYS", default="")  # key ring of stored secrets: id:base64,… newest first
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=LOOPBACK)  # the names people and senders use; with others, no request
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # opens /metrics to other machines, as a bearer token

# People come over https wherever a name other than this machine's is allowed. The door redirects nobody: a library that
# sends to http would lose its events on the way.
HTTPS = env.bool("HTTPS", default=not set(ALLOWED_HOSTS) <= set(LOOPBACK))
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^v1/"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000 if HTTPS else 0)  # how long browsers insist on https
SECURE_PROXY_SSL_HEADER = (  # only behind a proxy that ends TLS and always sets this header itself
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", default=False) else None
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])  # https://… of a proxy that changes the host
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_AGE = env.int("SESSION_SECONDS", default=8 * 3600)  # until one logs in again
SILENCED_SYSTEM_CHECKS = [  # subdomains and the browsers' lists are for the owner of the domain to decide
    "security.W005",
    "security.W021",
]

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # our own site is in integrations.admin.site
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "integrations",
    "connectors",
    "logs",
]

MIDDLEWARE = [
    "integrations.health.probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "integrations.doors.first.answer",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "integrations.urls"
WSGI_APPLICATION = "integrations.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": env.db_url("DATABASE_URL", default="postgres:///switchyard")}  # PostgreSQL 15 or newer, only
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"]["CONN_MAX_AGE"] = None
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
STATEMENT_TIMEOUT = env.int("STATEMENT_TIMEOUT", default=10)  # seconds a web request's statement may take; workers' any
# The door's and the delivery's statements do the same whatever their values are: planning them once is what they need.
_SESSION = ["plan_cache_mode=force_generic_plan"]
if PROCESS == "web":
    _SESSION.append(f"statement_timeout={STATEMENT_TIMEOUT}s")
DATABASES["default"]["OPTIONS"] = {
    "tcp_user_timeout": 5_000,  # ms until a connection is given up whose other end does not answer
    "keepalives_idle": 10,  # seconds of silence until it is asked
    "keepalives_interval": 2,
    "options": " ".join(f"-c {setting}" for setting in _SESSION),
    **DATABASES["default"].get("OPTIONS", {}),
    "server_side_binding": True,  # bodies travel as bytes, not as text in the statement
    "prepare_threshold": 5,
    "connect_timeout": 3,
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")  # the doorbell; losing it loses nothing
BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")  # as Celery spells it
CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker outlives any outage of its broker
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "visibility_timeout": 300,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "sweep", "schedule": 5.0},
    "housekeeping": {"task": "housekeeping", "schedule": 3600.0},
}
WORKER_THREADS = env.int("SWITCHYARD_WORKER_THREADS", default=16)  # deliveries one worker process has under way

LANGUAGE_CODE = "en"
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
USE_TZ = True
FORMAT_MODULE_PATH = ["integrations.formats"]
STATIC_URL = "static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "build" / "static"))
LOGIN_REDIRECT_URL = "/admin/"
LOGIN_URL = "/admin/login/"

SEND_ROUTES = env.dict("SWITCHYARD_SEND_ROUTES", default={})  # operators: host pattern=origin to send to instead
SEND_ALLOWED = env.list("SWITCHYARD_SEND_ALLOWED", default=[])  # operators: address:port allowed beside public ones


def _menu(title: str, *items: tuple[str, str, str]) -> dict[str, Any]:
    """A section of the admin's menu; an item is (title, icon, page), shown to whoever may open the page."""
    links = [
        {
            "title": name,
            "icon": icon,
            "link": reverse_lazy(f"admin:{page}"),
            "permission": lambda request, page=page: _site().may_open(request, page),
        }
        for name, icon, page in items
    ]
    return {"title": title, "separator": True, "items": links}


def _site() -> Any:
    from integrations.admin.site import site  # needs the settings that are being read here

    return site


UNFOLD = {
    "SITE_TITLE": "Switchyard",
    "SITE_HEADER": "Switchyard",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "integrations.admin.home.home",
    "SIDEBAR": {
        "navigation": [
            _menu(
                "Flow",
                ("Sources", "sensors", "integrations_source_changelist"),
                ("Mappings", "alt_route", "integrations_mapping_changelist"),
                ("Destinations", "outbound", "integrations_destination_changelist"),
            ),
            _menu(
                "Logs",
                ("Inbound log", "call_received", "logs_inbound_changelist"),
                ("Outbound log", "call_made", "logs_delivery_changelist"),
            ),
            _menu(
                "Logins at vendors",
                ("Accounts", "key", "integrations_account_changelist"),
                ("Workspaces", "workspaces", "integrations_workspace_changelist"),
            ),
            _menu(
                "Brand",
                ("Brands", "storefront", "integrations_brand_changelist"),
                ("People", "group", "integrations_membership_changelist"),
                ("Audit", "policy", "integrations_auditentry_changelist"),
                ("Log-ins", "badge", "auth_user_changelist"),
            ),
        ]
    },
}
