"""A Pyramid application: routes, JSON, a static view, and traversal."""

import os

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import FileResponse, Response

HERE = os.path.dirname(os.path.abspath(__file__))


class Folder(dict):
    """A resource with children that knows where it is."""

    def __init__(self, name="", parent=None):
        super().__init__()
        self.__name__ = name
        self.__parent__ = parent

    def add(self, name):
        """A child."""
        self[name] = child = Folder(name, self)
        return child


ROOT = Folder()
ROOT.add("shelf").add("book")


def page(request):
    return Response(f"hello {request.matchdict['name']}", content_type="text/plain")


def sums(request):
    numbers = request.json_body["numbers"]
    return {"sum": sum(numbers), "url": request.path_url}


def go(request):
    return HTTPFound(request.route_url("page", name="you"))


def stylesheet(request):
    return FileResponse(os.path.join(HERE, "pyramid_assets", "site.css"), request)


def resource(context, request):
    return {
        "name": context.__name__,
        "url": request.resource_url(context),
        "path": request.resource_path(context),
        "children": sorted(context),
    }


def make_app():
    """The WSGI application."""
    with Configurator(root_factory=lambda request: ROOT) as config:
        config.add_static_view("assets", os.path.join(HERE, "pyramid_assets"))
        for name, pattern, view, renderer in (
            ("page", "/page/{name}", page, None),
            ("sums", "/sums", sums, "json"),
            ("go", "/go", go, None),
            ("stylesheet", "/stylesheet", stylesheet, None),
        ):
            config.add_route(name, pattern)
            config.add_view(view, route_name=name, renderer=renderer)
        config.add_view(resource, context=Folder, renderer="json")
        return config.make_wsgi_app()
