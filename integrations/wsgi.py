"""The web server's way in."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integrations.settings")
os.environ.setdefault("SWITCHYARD_PROCESS", "web")

application = get_wsgi_application()

from integrations.production import require_safe  # noqa: E402 (after Django is set up)

require_safe()
