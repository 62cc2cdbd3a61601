"""A Django project with one view that answers 200 and does nothing else: how fast the front alone is."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="nothing is signed here")


@csrf_exempt
def view(request):
    return HttpResponse(headers={"Content-Length": "0"})


urlpatterns = [re_path("", view)]
application = get_wsgi_application()
