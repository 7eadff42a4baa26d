"""What contradicts itself between options and between sections. Called by ``load.py`` once all options are parsed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from tinfront.config.accounts import needs_group
from tinfront.config.address import show_address
from tinfront.config.block import Block
from tinfront.config.finding import Findings
from tinfront.config.model import Address, Place, Server
from tinfront.config.option import show_size
from tinfront.config.schema import SECTIONS

Blocks = Mapping[str, Mapping[str, Block]]


def check(blocks: Blocks, main: Place, findings: Findings) -> None:
    """Note every contradiction. ``main`` is where to report that something is missing altogether."""
    for word in ("listen", "site"):
        if not blocks[word]:
            findings.add(main, SECTIONS[word].form, "there is no such section, at least one is needed")
    _check_server(blocks)
    _check_listeners(blocks["listen"].values())
    _check_sites(blocks["site"].values())
    _check_tls(blocks)
    for block in blocks["server"].values():
        _check_user(block)
    for block in blocks["app"].values():
        _check_app(block)
        _check_user(block)


_PROCESSES_ONLY = (
    *("virtualenv", "umask", "workers_min", "workers_max", "max_requests", "max_requests_jitter", "max_lifetime"),
    *("max_rss", "post_fork", "worker_exit"),
)


def _check_app(block: Block) -> None:
    values = block.values
    if values["mode"] == "threads":
        if values["workers"] > 1 and "workers" in block.given:
            block.complain("workers", "has no meaning with mode = threads; threads is how many requests run at once")
        for name in _PROCESSES_ONLY:
            if name in block.given and values[name]:
                block.complain(name, "has no meaning with mode = threads, which has no processes of its own")
        if "user" in block.given:
            block.complain("user", "has no meaning with mode = threads: the application runs inside the server")
    if values["workers_min"] > values["workers"]:
        block.complain("workers_min", f"is more than workers ({values['workers']})")
    if 0 < values["workers_max"] < values["workers"]:
        block.complain("workers_max", f"is less than workers ({values['workers']})")
    if values["max_requests_jitter"] and not values["max_requests"]:
        block.complain("max_requests_jitter", "has no meaning without max_requests")


def _check_server(blocks: Blocks) -> None:
    spool_max = Server().spool_max
    for block in blocks["server"].values():
        _check_log(block)
        spool_max = max(block.values["spool_max"], block.values["spool_memory"])
        if block.values["spool_memory"] > block.values["spool_max"]:
            block.complain("spool_memory", f"is larger than spool_max ({show_size(block.values['spool_max'])})")
        if "spool_memory_max" in block.given and block.values["spool_memory"] > block.values["spool_memory_max"]:
            bound = show_size(block.values["spool_memory_max"])
            block.complain("spool_memory", f"is larger than spool_memory_max ({bound})")
    for block in blocks["route"].values():
        stored = block.values.get("request_buffering", True)
        if stored and "body_limit" in block.given and block.values["body_limit"] > spool_max:
            block.complain("body_limit", f"is larger than spool_max of [server] ({show_size(spool_max)})")


def _check_log(block: Block) -> None:
    path = block.values["access_log"]
    if path in {"-", "off"}:
        return
    try:
        os.stat(os.path.join(os.path.dirname(path), "."))
        is_directory = os.path.isdir(path)
    except PermissionError:
        return  # whoever starts the server may be allowed to look
    except OSError as error:
        block.complain("access_log", f"{os.path.dirname(path)}: {error.strerror}")
        return
    if is_directory:
        block.complain("access_log", f"{path} is a directory, expected a file")


def _check_user(block: Block) -> None:
    user, group = block.values["user"], block.values["group"]
    if not block.sound("user", "group"):
        return
    if group and not user:
        block.complain("group", "stands without user")
    elif user and not group and needs_group(user):
        block.complain("user", f"this machine does not know the group of user {user}; add group")


def _check_listeners(listeners: Iterable[Block]) -> None:
    taken: list[tuple[Address, Block]] = []
    for block in listeners:
        _check_listener(block)
        for address in block.values["address"]:
            owner = next((owner for other, owner in taken if clash(address, other)), None)
            if owner is not None:
                block.complain("address", f"{show_address(address)} is taken already, by [listen:{owner.name}]")
            taken.append((address, block))


def _check_listener(block: Block) -> None:
    values = block.values
    if block.given.keys() >= {"address", "endpoint"}:
        block.complain("endpoint", "stands beside address; keep one of them")
    elif not values["address"] and not values["endpoint"] and block.sound("address", "endpoint"):
        block.complain("", "has neither address nor endpoint")
    if values["tls"] and str(values["endpoint"]).startswith(("ssl:", "tls:")):
        block.complain("tls", "the endpoint speaks TLS by itself")
    if values["proxy_protocol"] and values["endpoint"]:
        block.complain("proxy_protocol", "stands beside endpoint; it is for addresses only")
    elif values["proxy_protocol"] and not values["trusted_proxies"] and block.sound("trusted_proxies"):
        block.complain("proxy_protocol", "needs trusted_proxies, to know whom to believe")
    for name in ("header_line_max", "header_field_max"):
        if values[name] > values["header_max"]:
            wrong = name if name in block.given else "header_max"
            whole = show_size(values["header_max"])
            block.complain(wrong, f"{name} ({show_size(values[name])}) is larger than header_max ({whole})")


def clash(one: Address, two: Address) -> bool:
    """Whether the kernel would refuse to listen on both."""
    if one.kind != two.kind:
        return False
    if one.kind != "tcp":
        return (one.path, one.port) == (two.path, two.port)
    if one.port != two.port or not one.port:
        return False
    hosts = {one.host, two.host}
    if len(hosts) == 1 or "" in hosts:
        return True
    if "0.0.0.0" in hosts:  # noqa: S104 - compared, not bound
        return not any(":" in host for host in hosts)
    return "::" in hosts and all(":" in host for host in hosts)


def _check_sites(sites: Iterable[Block]) -> None:
    default: Block | None = None
    owners: dict[str, Block] = {}
    for block in sites:
        if block.values["default"]:
            if default is not None:
                block.complain("default", f"[site:{default.name}] is the default site already")
            default = default or block
        elif not block.values["hosts"] and block.sound("hosts", "default"):
            block.complain("", "can never be asked for: it has no hosts, and is not the default site")
        for host in block.values["hosts"]:
            owner = owners.setdefault(host, block)
            if owner is not block:
                block.complain("hosts", f'"{host}" is claimed already, by [site:{owner.name}]')
        for host in {host for host in block.values["hosts"] if block.values["hosts"].count(host) > 1}:
            block.complain("hosts", f'"{host}" is named twice')
        _check_certificate(block)


def _check_certificate(block: Block) -> None:
    certificate, key = block.values["certificate"], block.values["certificate_key"]
    if not block.sound("certificate", "certificate_key"):
        return
    if key and not certificate:
        block.complain("certificate_key", "stands without certificate")
    elif key and certificate == "development":
        block.complain("certificate_key", "has no meaning with certificate = development")
    elif certificate and certificate != "development" and not key and not _may_hold_key(certificate):
        block.complain("certificate", f"{certificate} holds no key, and there is no certificate_key")


def _may_hold_key(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return b"PRIVATE KEY-----" in stream.read(1024 * 1024)
    except OSError:
        return True  # whoever starts the server may be allowed to read it


def _check_tls(blocks: Blocks) -> None:
    if any("certificate" in block.given for block in blocks["site"].values()) or not blocks["site"]:
        return
    for block in blocks["listen"].values():
        if block.values["tls"]:
            block.complain("tls", "no site has a certificate; certificate = development makes one to begin with")
