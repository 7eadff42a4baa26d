"""From host and path to a route and its compiled chain of filters. Built once, only read afterwards."""
