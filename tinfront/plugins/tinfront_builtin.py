"""The handlers and filters that ship with tinfront, by name, so that finding them imports none of them."""

from tinfront.maker import FilterMaker, HandlerMaker

static = HandlerMaker("static", "tinfront.handlers.static")
app = HandlerMaker("app", "tinfront.handlers.app")
redirect = HandlerMaker("redirect", "tinfront.handlers.redirect")
respond = HandlerMaker("respond", "tinfront.handlers.respond")
ready = HandlerMaker("ready", "tinfront.handlers.ready")

headers = FilterMaker("headers", "tinfront.filters.headers")
redirect_https = FilterMaker("redirect_https", "tinfront.filters.redirect_https")
