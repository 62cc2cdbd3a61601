"""The doors stand before the admin's middleware: senders have no session, and reading one costs 0.1 ms a request."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import resolve

PREFIX = "/v1/"


def answer(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """The middleware that answers a door's address itself and leaves all others to the middleware after it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(PREFIX):
            return get_response(request)
        view, arguments, named = resolve(request.path_info)
        response: HttpResponse = view(request, *arguments, **named)
        return response

    return middleware
