"""What Envoy is told: which requests it takes, and which revision answers each.

    GET  /                                   what is served, as JSON
    GET  /v2/health/live, /v2/health/ready   whether anything is served
    POST [/ENVIRONMENT]/v1/models/NAME:predict and :explain
    GET  [/ENVIRONMENT]/v1/models/NAME
    POST [/ENVIRONMENT]/v2/models/NAME/infer
    GET  [/ENVIRONMENT]/v2/models/NAME and /ready

Without an environment the revision answers that was most recently put. Every other request is
refused here: 503 with Retry-After where a revision is to come, 404 where none is. The path that a
revision gets is written out in its route and never taken from the client, so KServe's own load and
unload cannot be reached by any spelling.

The documents are Envoy's v3 API in JSON; touchstone.delivery.envoy writes them for a process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.errors import PlatformError

Document = dict[str, Any]

Expected = Mapping[tuple[str, str], bool]
"""Environment and model of what shall be served, and whether it failed to start at the last try."""

LIMIT = 32 << 20
"""Largest request body in bytes; a few hundred small images as JSON."""
REQUEST_SECONDS = 30
"""Within which a whole request must have arrived."""
ANSWER_SECONDS = 60
"""Within which a revision must have answered."""
CONNECTIONS = 512
"""Clients connected at a time; one more is closed at once."""
HEAP = 1 << 30
"""Bytes that the proxy may hold; near it, new requests and then the largest ones are refused."""
_HEADERS, _HEADERS_KIB = 64, 16

_OFFERED = (
    "expected GET /, or [/ENVIRONMENT]/v1/models/NAME with :predict or :explain, or"
    " [/ENVIRONMENT]/v2/models/NAME with /infer or /ready, without a query"
)

GENERATION = "x-touchstone-generation"
"""Response header of `/`: the number of the routes that answered."""

_HOSTS = ["127.0.0.1", "localhost"]
"""Any other host is a page in a browser on this machine that rebinds its own name to loopback."""

_CREDENTIALS = ["authorization", "cookie", "proxy-authorization"]
"""Meant for others on this host: a browser sends a cookie to every port. A model needs none."""

_OF_THE_HOST = ["access-control-allow-origin", "clear-site-data", "set-cookie"]
"""What a model's answer may not tell a browser: it would hold for other servers of this host."""

# Upstream paths by method. A route's own path is the same, with or without an environment before.
_ASKED = {
    "POST": ("/v1/models/{}:predict", "/v1/models/{}:explain", "/v2/models/{}/infer"),
    "GET": ("/v1/models/{}", "/v2/models/{}", "/v2/models/{}/ready"),
}
_NAME = r"[\w.-]+"
_STARTING = "its revision is starting; ask again"
_FAILED = "its revision did not start, and is tried again; touchstone status says why"
_AGAIN, _AGAIN_FAILED = 2, 30
"""Seconds after which a client may ask again; a revision starts in 4 to 8."""
_UNREACHED = ["UF", "UC", "UH", "UO", "UR", "URX", "LR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The revision that answers for one model in one environment.

    Raises:
        PlatformError: a name that is no plain word would be a route of another shape.
    """

    environment: str
    model: str
    version: str
    socket: Path
    """The Unix socket that its server listens on; no two revisions share one."""

    def __post_init__(self) -> None:
        for name in (self.environment, self.model, self.version):
            if not re.fullmatch(_NAME, name, re.ASCII):
                raise PlatformError(
                    f"got the name {name!r}, expected letters, digits, '.', '_' and '-'",
                    hint="rename its folder in the GitOps repository",
                )

    @property
    def cluster(self) -> str:
        """Envoy's name for it, also in statistics."""
        return self.socket.parent.name


def bootstrap(*, folder: Path, port: int, admin: Path, control: Path) -> Document:
    """What Envoy starts with: it listens on loopback's `port`, and reads the rest from `folder`.

    `admin` and `control` are sockets of the platform's own; the second answers as `port` does,
    also where as many clients are connected as may be.
    """
    return {
        "node": {"id": "touchstone", "cluster": "touchstone"},
        "admin": {
            "address": {"pipe": {"path": str(admin), "mode": 0o600}},
            "ignore_global_conn_limit": True,
        },
        "dynamic_resources": {"cds_config": _file(folder / "clusters.json")},
        "static_resources": {
            "listeners": [
                {
                    **_listener("serving", folder),
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    # Otherwise a second platform takes half of the connections, unnoticed.
                    "enable_reuse_port": False,
                },
                {
                    **_listener("control", folder),
                    "address": {"pipe": {"path": str(control), "mode": 0o600}},
                    "ignore_global_conn_limit": True,
                },
            ]
        },
        "overload_manager": _overload(),
    }


def clusters(targets: Iterable[Target], generation: int) -> Document:
    """The servers that may be asked, as a discovery response."""
    return _response(
        generation,
        "envoy.config.cluster.v3.Cluster",
        [
            {
                "name": target.cluster,
                "connect_timeout": "5s",
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": _type("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
                        "explicit_http_config": {"http_protocol_options": {}},
                        # Sooner than the server, whose 5 s could end while a request is sent: what
                        # was sent is not asked a second time.
                        "common_http_protocol_options": {"idle_timeout": "2s"},
                    }
                },
                "load_assignment": {
                    "cluster_name": target.cluster,
                    "endpoints": [{"lb_endpoints": [{"endpoint": _pipe(target.socket)}]}],
                },
            }
            for target in targets
        ],
    )


def routes(targets: Sequence[Target], generation: int, expected: Expected | None) -> Document:
    """Which request goes where, as a discovery response.

    Args:
        targets: most recently put last.
        expected: what shall be served, also what is already; None where that is not known yet.
    """
    latest = {target.model: target for target in targets}
    answered = [
        *(route for target in latest.values() for route in _forward("", target)),
        *(route for target in targets for route in _forward(f"/{target.environment}", target)),
    ]
    asked = {
        method: "(/[^/]+)?(" + "|".join(path.format(_NAME) for path in paths) + ")"
        for method, paths in _ASKED.items()
    }
    to_come = [
        _later({"path": prefix + path.format(model), "headers": [_method(method)]}, failed)
        for (environment, model), failed in sorted((expected or {}).items())
        for prefix in ("", f"/{environment}")
        for method, paths in _ASKED.items()
        for path in paths
    ]
    if expected is None:
        to_come = [_later(_match(path)) for path in asked.values()]
    query = {"name": ":path", "string_match": {"contains": "?"}}
    long = {"name": "content-length", "range_match": {"start": LIMIT + 1, "end": 1 << 62}}
    loopback = [
        _say(403, {"connect_matcher": {}}),
        _say(404, _match(".*", query), _OFFERED),
        _say(413, _match(".*", long)),
        *_about(targets, generation),
        *answered,
        *(
            _say(405, _match(path, _method(method, invert=True)), f"expected {method}")
            for method, path in asked.items()
        ),
        *to_come,
        *(
            _say(404, _match(path), "no such model is served; GET / lists those that are")
            for path in asked.values()
        ),
        _say(404, _match(".*"), _OFFERED),
    ]
    elsewhere = [_say(403, {"connect_matcher": {}}), _say(421, _match(".*"))]
    configuration = {
        "name": "models",
        "max_direct_response_body_size_bytes": 1 << 20,
        "virtual_hosts": [
            {"name": "loopback", "domains": _HOSTS, "routes": loopback},
            {"name": "other", "domains": ["*"], "routes": elsewhere},
        ],
    }
    return _response(generation, "envoy.config.route.v3.RouteConfiguration", [configuration])


def _about(targets: Sequence[Target], generation: int) -> Iterator[Document]:
    """What the proxy answers of itself."""
    served = [
        {"environment": one.environment, "model": one.model, "version": one.version}
        for one in targets
    ]
    index = _say(200, {"path": "/", "headers": [_method("GET")]}, json.dumps({"serving": served}))
    yield index | {"response_headers_to_add": [_header(GENERATION, str(generation))]}
    live = {"path": "/v2/health/live", "headers": [_method("GET")]}
    yield _say(200, live, json.dumps({"live": True}))
    ready = {"path": "/v2/health/ready", "headers": [_method("GET")]}
    if targets:
        yield _say(200, ready, json.dumps({"ready": True}))
    else:
        yield _say(503, ready, "no revision of any model is ready")


def _later(match: Document, failed: bool = False) -> Document:
    again = _header("retry-after", str(_AGAIN_FAILED if failed else _AGAIN))
    said = _say(503, match, _FAILED if failed else _STARTING)
    return said | {"response_headers_to_add": [again]}


def _forward(prefix: str, target: Target) -> Iterator[Document]:
    for method, paths in _ASKED.items():
        for path in (path.format(target.model) for path in paths):
            yield {
                "match": {"path": prefix + path, "headers": [_method(method)]},
                "route": {
                    "cluster": target.cluster,
                    "prefix_rewrite": path,  # all of it, as all of it was matched
                    "host_rewrite_literal": target.model,
                    "timeout": f"{ANSWER_SECONDS}s",
                    # Only where not a byte of the request was sent: no model is asked twice.
                    "retry_policy": {
                        "retry_on": "connect-failure,refused-stream,reset-before-request",
                        "num_retries": 3,
                        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.05s"},
                    },
                },
                "request_headers_to_remove": [*_CREDENTIALS, "te", "x-envoy-external-address"],
                "response_headers_to_remove": _OF_THE_HOST,
                "response_headers_to_add": [
                    _header("x-touchstone-version", target.version),
                    _header("x-touchstone-environment", target.environment),
                ],
            }


def _listener(name: str, folder: Path) -> Document:
    manager = {
        "@type": _type(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        ),
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_any_host_port": True,
        # A client's x-envoy-… headers (time limits, retries) count only from an internal address,
        # and none is: this one is kept free for documentation by RFC 5737.
        "use_remote_address": True,
        "internal_address_config": {
            "cidr_ranges": [{"address_prefix": "192.0.2.1", "prefix_len": 32}]
        },
        "skip_xff_append": True,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "request_headers_timeout": "10s",
        "request_timeout": f"{REQUEST_SECONDS}s",
        "stream_idle_timeout": f"{REQUEST_SECONDS + ANSWER_SECONDS}s",
        "max_request_headers_kb": _HEADERS_KIB,
        "common_http_protocol_options": {"idle_timeout": "75s", "max_headers_count": _HEADERS},
        "local_reply_config": _local_replies(),
        "rds": {"route_config_name": "models", "config_source": _file(folder / "routes.json")},
        "http_filters": [
            # Whole bodies only: a client that sends slowly holds no place in a revision.
            {
                "name": "buffer",
                "typed_config": {
                    "@type": _type("envoy.extensions.filters.http.buffer.v3.Buffer"),
                    "max_request_bytes": LIMIT,
                },
            },
            {
                "name": "router",
                "typed_config": {
                    "@type": _type("envoy.extensions.filters.http.router.v3.Router"),
                    "suppress_envoy_headers": True,
                },
            },
        ],
    }
    return {
        "name": name,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _local_replies() -> Document:
    """`{"error": …}` for whatever Envoy itself refuses: what was got, what was expected."""

    def worded(test: Document, expected: str, *headers: Document) -> Document:
        got = "got %REQUEST_HEADER(:METHOD)% %REQUEST_HEADER(:PATH)%"
        said = {"filter": test, "body_format_override": {"json_format": {"error": got + expected}}}
        return said | ({"headers_to_add": list(headers)} if headers else {})

    def status(op: str, code: int) -> Document:
        value = {"default_value": code, "runtime_key": "touchstone.unused"}
        return {"status_code_filter": {"comparison": {"op": op, "value": value}}}

    slash = {"name": ":path", "string_match": {"prefix": "/"}, "invert_match": True}
    no_path = {"header_filter": {"header": slash}}  # `OPTIONS *`, which no route can match
    unreached = {"response_flag_filter": {"flags": _UNREACHED}}
    own = {400: " (%RESPONSE_CODE_DETAILS%)"}  # what was malformed
    return {
        "mappers": [
            *(
                worded(status("EQ", code), own.get(code, "") + ": " + text)
                for code, text in _refusals().items()
            ),
            worded(
                unreached,
                ": the revision cannot be reached, or ended (%RESPONSE_FLAGS%); another is started",
                _header("retry-after", str(_AGAIN)),
            ),
            worded({"and_filter": {"filters": [no_path, status("EQ", 404)]}}, ": " + _OFFERED),
            worded(status("GE", 400), ": %LOCAL_REPLY_BODY%"),
        ],
        "body_format": {
            "text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"},
            "content_type": "application/json",
        },
    }


def _refusals() -> dict[int, str]:
    """What was expected, by the status of a refusal, of ours or of Envoy."""
    return {
        400: "expected one well-formed HTTP/1.1 request: one Host, one Content-Length or"
        " Transfer-Encoding, no encoded slash",
        403: "expected plain HTTP/1.1, no upgrade and no WebSocket",
        408: f"expected the whole request within {REQUEST_SECONDS} s",
        413: f"expected a body of at most {LIMIT} bytes",
        421: f"expected Host: {' or '.join(_HOSTS)}",
        426: "expected HTTP/1.1",
        431: f"expected at most {_HEADERS} headers, {_HEADERS_KIB} KiB together",
        501: "expected Content-Length or Transfer-Encoding: chunked",
        504: f"the revision did not answer within {ANSWER_SECONDS} s",
    }


def _overload() -> Document:
    """Refuse before memory or descriptors run out."""

    def trigger(**how: Any) -> list[Document]:
        return [{"name": "envoy.resource_monitors.fixed_heap", **how}]

    actions = "envoy.overload_actions."
    return {
        "refresh_interval": "0.1s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": _type(
                        "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig"
                    ),
                    "max_heap_size_bytes": HEAP,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": _type(
                        "envoy.extensions.resource_monitors.downstream_connections.v3."
                        "DownstreamConnectionsConfig"
                    ),
                    "max_active_downstream_connections": CONNECTIONS,
                },
            },
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "actions": [
            {
                "name": actions + "stop_accepting_requests",
                "triggers": trigger(threshold={"value": 0.8}),
            },
            {
                "name": actions + "reset_high_memory_stream",
                "triggers": trigger(
                    scaled={"scaling_threshold": 0.85, "saturation_threshold": 0.95}
                ),
            },
        ],
    }


def _say(status: int, match: Document, text: str = "") -> Document:
    """Answered at once, before the body has arrived; `text` is left to _refusals where empty."""
    at_once = {
        "@type": _type("envoy.extensions.filters.http.buffer.v3.BufferPerRoute"),
        "disabled": True,
    }
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": text}},
        "typed_per_filter_config": {"buffer": at_once},
    }


def _match(path: str, *headers: Document) -> Document:
    """`path` is a regular expression of all of it."""
    return {"safe_regex": {"regex": path}, "headers": list(headers)}


def _method(method: str, *, invert: bool = False) -> Document:
    return {"name": ":method", "string_match": {"exact": method}, "invert_match": invert}


def _header(name: str, value: str) -> Document:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _pipe(socket: Path) -> Document:
    return {"address": {"pipe": {"path": str(socket)}}}


def _file(path: Path) -> Document:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def _response(generation: int, kind: str, resources: list[Document]) -> Document:
    return {
        "version_info": str(generation),
        "resources": [{"@type": _type(kind), **resource} for resource in resources],
    }


def _type(name: str) -> str:
    return f"type.googleapis.com/{name}"
