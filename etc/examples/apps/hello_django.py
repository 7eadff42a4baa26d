"""The Django project of the examples, in one file."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(SECRET_KEY=os.environ["DJANGO_SECRET_KEY"], ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)


def home(request):
    """Say where we are."""
    return HttpResponse(f"Hello from Django, at {request.build_absolute_uri()}.")


urlpatterns = [path("", home)]
application = get_wsgi_application()
