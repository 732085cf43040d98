"""What the package apisix-client does with an Admin API, against the one that is named."""

import sys

from apisix_client.client import ApisixClient
from apisix_client.common import Pagging
from apisix_client.consumer.models import Consumer
from apisix_client.plugin.models.authentication import KeyAuth, KeyAuthSettings
from apisix_client.plugin.models.traffic import LimitCount
from apisix_client.route.models import Route
from apisix_client.service.models import Service
from apisix_client.upstream.models import Node, Upstream

base, key, node = sys.argv[1:4]
host, port = node.rsplit(":", 1)
client = ApisixClient(base_url=base + "/", api_key=key)
nodes = [Node(host=host, port=int(port), weight=1)]

assert client.upstream.create_or_update(Upstream(name="of-python", nodes=nodes), "u1") == "u1"
generated = client.upstream.create_with_id_generation(Upstream(nodes=nodes))
assert generated and len(generated) == 20, generated
assert client.upstream.count() == 2
upstream = client.upstream.get("u1")
assert upstream.key == "/apisix/upstreams/u1" and upstream.value.name == "of-python", upstream
assert upstream.value.id == "u1" and upstream.created_index <= upstream.modified_index
assert upstream.value.create_time.year >= 2024, upstream.value.create_time
assert client.upstream.get("none") is None

assert client.service.create_or_update(Service(name="s", upstream_id="u1"), "s1") == "s1"
assert client.service.get("s1").value.upstream_id == "u1"

# The package reads nothing that has plugins, whoever answers.
assert client.consumer.create_or_update(Consumer(username="jack"))
assert client.consumer.get("jack").value.username == "jack"
assert client.consumer.count() == 1 and len(client.consumer.get_all()) == 1
assert client.consumer.create_or_update(Consumer(username="jack", plugins=[KeyAuth(key="of-jack")]))
assert not client.consumer.create_or_update(Consumer(username="not a name"))

route = Route(name="r", uri="/of-python", service_id="s1")
assert client.route.create_or_update(route, "r1") == "r1"
assert client.route.get("r1").value.uri == "/of-python"
assert client.route.create_with_id_generation(Route(uri="/other", service_id="none")) is None
for number in range(15):
    assert client.route.create_with_id_generation(Route(uri=f"/p{number}", upstream_id="u1"))
assert client.route.count() == 16
pages = [client.route.get_all(Pagging(page=number, page_size=10)) for number in (1, 2, 3)]
assert [len(page) for page in pages] == [10, 6, 0], pages
assert pages[0][0].value.id == "r1"
created = [route.created_index for page in pages for route in page]
assert created == sorted(set(created)), created

names = client.plugin.get_available()
assert "key-auth" in names and "limit-count" in names, names
assert client.plugin.reload() is True

assert client.route.delete(pages[1][0].value.id) is True
assert client.route.delete("none") is False
assert client.route.count() == 15
limit = LimitCount(count=2, time_window=60, rejected_code=429, key="remote_addr")
route.plugins = [KeyAuthSettings(), limit]
assert client.route.create_or_update(route, "r1") == "r1"
print("done")
