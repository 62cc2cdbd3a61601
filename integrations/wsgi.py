"""The web server's way in."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integrations.settings")

application = get_wsgi_application()

from integrations.secrets import require_keys  # noqa: E402 (after Django is set up)

require_keys()
