"""Resource files for the gateway, one per variant of a workload."""

import json
from pathlib import Path

ROUTES = 10_000
KEY = "bench-client-key"


def _route(identifier, uri, **more):
    return {"id": str(identifier), "uri": uri, "upstream_id": "backend"} | more


def one_route():
    return {"routes": [_route("size", "/size/*")]}


def many_routes():
    """The measured route among others that share its shape, but not its prefix."""
    routes = [_route(f"r{number}", f"/service-{number}/*") for number in range(ROUTES - 1)]
    routes.insert(ROUTES // 2, _route("size", "/size/*"))
    return {"routes": routes}


def plugins():
    """A route as an API gateway has it: authenticated, limited, observed."""
    limit = {"count": 1_000_000_000, "time_window": 3600, "key_type": "var",
             "key": "remote_addr", "rejected_code": 429, "policy": "local"}
    return {
        "routes": [_route("size", "/size/*", plugins={
            "key-auth": {}, "limit-count": limit, "prometheus": {}})],
        "consumers": [{"username": "bench", "plugins": {"key-auth": {"key": KEY}}}],
    }


VARIANTS = {"one": one_route, "many": many_routes, "plugins": plugins, "h2c": one_route,
            "grpc": one_route}
# How nodes are spoken to, where it is not HTTP/1.1.
SCHEMES = {"h2c": "h2c", "grpc": "grpc"}


def write(path, variant, backend, certificate=None):
    """Writes the variant's resources. JSON is YAML, and every object gets a line of its own."""
    objects = VARIANTS[variant]()
    objects["upstreams"] = [{
        "id": "backend", "type": "roundrobin", "nodes": {"%s:%d" % backend: 1},
        "scheme": SCHEMES.get(variant, "http")}]
    if certificate:
        objects["ssls"] = [{"id": "bench", "snis": ["bench.test"],
                            "cert": Path(certificate["CERT"]).read_text(),
                            "key": Path(certificate["KEY"]).read_text()}]
    with open(path, "w", encoding="utf-8") as file:
        for kind, items in objects.items():
            file.write(f"{kind}:\n")
            file.writelines(f"  - {json.dumps(item)}\n" for item in items)
        file.write("#END\n")
