from django.contrib import admin
from django.urls import path

from django_site import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("upload/", views.upload),
    path("visits/", views.visits),
    path("stream/", views.stream),
    path("where/", views.where, name="where"),
]
