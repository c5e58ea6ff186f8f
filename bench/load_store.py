"""A store for the loader's benchmark: nginx with the words of Cloud Storage that the clients use. Knows no client.

    python -m bench.load_store FOLDER      serve FOLDER/<bucket>/<object...> until Ctrl-C

Seven ports on loopback: open or capped (a first byte after 30 ms, then a fixed rate per request), over HTTP or TLS, a slow one,
one that fails: every 60th media request is answered with 503, another stalls, another breaks off, so one in twenty has a fault;
and one that is like it and never fails.
Needs Debian's nginx and libnginx-mod-http-lua, and openssl.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

LATENCY = 0.03
RATE_MIB = 64
PORTS = {
    "http": 18480, "http capped": 18481, "tls": 18482, "tls capped": 18483, "tls faults": 18484, "tls slow": 18485,
    "tls no faults": 18486,
}  # fmt: skip
SLOW_MIB = 2
"""Rate per request of the slow port: sixteen of them are a link that is slower than everything else on two cores."""
GENERATION = "1730000000000001"
BUCKET = "bkt"
AUTHORITY = "ca.pem"


@dataclass(frozen=True)
class Store:
    """A store that runs. `bundle`: the system's authorities and its own."""

    bundle: Path

    def address(self, port: str) -> str:
        scheme = "http" if port.startswith("http") else "https"
        return f"{scheme}://localhost:{PORTS[port]}"


def missing() -> str:
    """What the machine lacks; empty when all is there."""
    modules = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
    if shutil.which("nginx") is None or not modules.exists():
        return "apt-get install nginx libnginx-mod-http-lua"
    return "" if shutil.which("openssl") else "apt-get install openssl"


@contextmanager
def running(root: Path, run: Path) -> Iterator[Store]:
    """Serve the objects under root; `run` takes configuration, certificate and descriptions."""
    (run / "tmp").mkdir(parents=True, exist_ok=True)
    describe(root, run / "meta")
    bundle = _authority(run)
    (run / "nginx.conf").write_text(configuration(root, run))
    server = subprocess.Popen(["nginx", "-p", str(run), "-c", str(run / "nginx.conf")])
    try:
        time.sleep(0.5)
        if server.poll() is not None:
            raise SystemExit(f"nginx did not start; see {run / 'error.log'}")
        yield Store(bundle)
    finally:
        server.terminate()
        server.wait()


def _authority(run: Path) -> Path:
    """A certificate for localhost by an authority of our own; the bundle that trusts it."""
    authority, key, certificate = run / AUTHORITY, run / "key.pem", run / "cert.pem"
    if not certificate.exists():
        new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
        # Python 3.13, which gcloud brings, refuses an authority and a certificate that don't say these
        name = ["-x509", "-subj", "/CN=gemmactl bench", "-days", "365", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        extension = run / "extension.cnf"
        extension.write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        sign = [
            "openssl",
            "x509",
            "-req",
            "-CA",
            str(authority),
            "-CAkey",
            str(run / "ca.key"),
            "-CAcreateserial",
            "-days",
            "365",
        ]
        for command in (
            [*new, *name, "-keyout", str(run / "ca.key"), "-out", str(authority)],
            [*new, "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(run / "request.pem")],
            [*sign, "-in", str(run / "request.pem"), "-out", str(certificate), "-extfile", str(extension)],
        ):
            subprocess.run(command, check=True, capture_output=True)
    system, bundle = Path("/etc/ssl/certs/ca-certificates.crt"), run / "bundle.pem"
    bundle.write_bytes((system.read_bytes() if system.exists() else b"") + authority.read_bytes())
    return bundle


def describe(root: Path, meta: Path) -> None:
    """What the JSON and XML APIs say of buckets and objects, as files."""
    import crc32c

    known_path = meta / "sums.json"
    known: dict[str, str] = json.loads(known_path.read_text()) if known_path.exists() else {}
    for bucket in sorted(entry for entry in root.iterdir() if entry.is_dir()):
        items = []
        for path in sorted(entry for entry in bucket.rglob("*") if entry.is_file()):
            name, stat = path.relative_to(bucket).as_posix(), path.stat()
            key = f"{path}:{stat.st_size}:{stat.st_mtime_ns}"
            if key not in known:
                crc = 0
                with path.open("rb") as file:
                    while chunk := file.read(1 << 22):
                        crc = crc32c.crc32c(chunk, crc)
                known[key] = base64.b64encode(crc.to_bytes(4, "big")).decode()
            item = {
                "kind": "storage#object", "id": f"{bucket.name}/{name}/{GENERATION}", "name": name, "bucket": bucket.name,
                "generation": GENERATION, "metageneration": "1", "contentType": "application/octet-stream",
                "storageClass": "STANDARD", "size": str(stat.st_size), "crc32c": known[key], "etag": "CP3ZkYP",
                "timeCreated": "2026-01-01T00:00:00.000Z", "updated": "2026-01-01T00:00:00.000Z",
            }  # fmt: skip
            items.append(item)
            _write(meta / bucket.name / "o" / f"{name}.json", item)
        folders = {item["name"].rpartition("/")[0] for item in items}
        for folder in folders:
            inside = [item for item in items if item["name"].rpartition("/")[0] == folder]
            _write(meta / bucket.name / "list" / f"{folder}.json", {"kind": "storage#objects", "items": inside})
        _write(meta / bucket.name / "all.json", {"kind": "storage#objects", "items": items})
        row = {
            "kind": "storage#bucket", "id": bucket.name, "name": bucket.name, "location": "US", "locationType": "multi-region",
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}, "storageClass": "STANDARD",
            "metageneration": "1", "projectNumber": "1",
        }  # fmt: skip
        _write(meta / bucket.name / "bucket.json", row)
    _write(known_path, known)


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def configuration(root: Path, run: Path) -> str:
    """nginx.conf."""
    sums = "".join(
        f'  "/{item["bucket"]}/{item["name"]}" "{item["crc32c"]}";\n'
        for bucket in root.iterdir()
        for item in json.loads((run / "meta" / bucket.name / "all.json").read_text())["items"]
    )
    servers = "".join(_server(name, port, root, run) for name, port in PORTS.items())
    temporary = "".join(f" {kind}_temp_path {run}/tmp/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off; master_process on; worker_processes 2; user root;
pid {run}/nginx.pid; error_log {run}/error.log error;
events {{ worker_connections 4096; }}
http {{
 access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; sendfile_max_chunk 2m; server_tokens off;
 open_file_cache max=1000 inactive=600s; open_file_cache_valid 600s; default_type application/octet-stream; types {{ }}
 map_hash_bucket_size 256; map_hash_max_size 8192; lua_shared_dict count 1m;{temporary}
 map $key $crc {{
{sums} }}
{servers}}}
"""


# One media request in twenty: 503, silence, or a body that breaks off after 2 MiB. The body is another location's: a variable
# goes into it with the request, what lua keeps for itself does not.
_FAULTS = """access_by_lua_block {
     local n = ngx.shared.count:incr("n", 1, 0) % 60
     if n == 20 then return ngx.exit(503) end
     if n == 40 then ngx.sleep(60) end
     if n == 0 then ngx.var.breaks = "yes" end
   }"""
_BREAK = """body_filter_by_lua_block {
     if ngx.var.breaks == "yes" then
       ngx.ctx.left = (ngx.ctx.left or 2097152) - #ngx.arg[1]
       if ngx.ctx.left < 0 then return ngx.ERROR end
     end
   }"""
_BEFORE = {"tls faults": f'set $breaks ""; {_FAULTS}', "tls no faults": 'set $breaks "";'}
_WAIT = f"access_by_lua_block {{ ngx.sleep({LATENCY}) }}"


def _server(name: str, port: int, root: Path, run: Path) -> str:
    tls = name.startswith("tls")
    capped = name in {"http capped", "tls capped", "tls slow"}
    rate = SLOW_MIB if name == "tls slow" else RATE_MIB
    before = _BEFORE.get(name, _WAIT if capped else "")
    media = f"limit_rate {rate}m; sendfile_max_chunk 256k;" if capped else ""
    secure = f"ssl_certificate {run}/cert.pem; ssl_certificate_key {run}/key.pem; ssl_protocols TLSv1.3; ssl_buffer_size 16k;"
    layout = {"location": "US", "locationType": "multi-region", "hierarchicalNamespace": {"enabled": False}}
    # Faults need the body in lua's hands, which sendfile does not give.
    drilled = name in {"tls faults", "tls no faults"}
    plain = "sendfile off; output_buffers 2 1m;" if drilled else ""
    return f"""
 server {{ listen 127.0.0.1:{port} backlog=1024{" ssl" if tls else ""}; server_name localhost; {secure if tls else ""} {plain}
  keepalive_requests 1000000; keepalive_timeout 75s;
  location ^~ /_media/ {{ internal; alias {root}/; etag off; {media} {_BREAK if drilled else ""}
   add_header ETag '"{GENERATION}"' always; add_header x-goog-generation {GENERATION} always;
   add_header x-goog-metageneration 1 always; add_header x-goog-hash "crc32c=$crc" always;
   add_header x-goog-stored-content-encoding identity always; add_header x-goog-storage-class STANDARD always; }}
  location ^~ /_meta/ {{ internal; alias {run}/meta/; default_type application/json; types {{ }} }}
  location ~ ^/(?:download/)?storage/v1/b/([^/]+)/o/(.+)$ {{ set $b $1; set $o $2; set $key /$b/$o;
   {before}
   content_by_lua_block {{
     local pin = ngx.var.arg_ifGenerationMatch
     if pin and pin ~= "{GENERATION}" then ngx.status = 412; ngx.say("conditionNotMet"); return end
     if ngx.var.arg_alt == "media" then return ngx.exec("/_media/" .. ngx.var.b .. "/" .. ngx.var.o) end
     return ngx.exec("/_meta/" .. ngx.var.b .. "/o/" .. ngx.var.o .. ".json")
   }} }}
  location ~ ^/storage/v1/b/([^/]+)/o/?$ {{ set $b $1; {_WAIT if capped else ""}
   content_by_lua_block {{
     local prefix = ngx.unescape_uri(ngx.var.arg_prefix or ""):gsub("/$", "")
     local file = io.open("{run}/meta/" .. ngx.var.b .. "/list/" .. prefix .. ".json")
     if prefix == "" then return ngx.exec("/_meta/" .. ngx.var.b .. "/all.json") end
     if not file then ngx.say('{{"kind": "storage#objects"}}'); return end
     file:close()
     return ngx.exec("/_meta/" .. ngx.var.b .. "/list/" .. prefix .. ".json")
   }} }}
  location ~ ^/storage/v1/b/([^/]+)/storageLayout {{ default_type application/json; return 200 '{json.dumps(layout)}'; }}
  location ~ ^/storage/v1/b/([^/]+)/?$ {{ set $b $1;
   content_by_lua_block {{ return ngx.exec("/_meta/" .. ngx.var.b .. "/bucket.json") }} }}
  location ~ ^/([^/]+)/(.+)$ {{ set $b $1; set $o $2; set $key /$b/$o;
   {before}
   content_by_lua_block {{ return ngx.exec("/_media/" .. ngx.var.b .. "/" .. ngx.var.o) }} }}
 }}
"""


def path_of(model: str, name: str) -> str:
    """The path of an object's media in the JSON API."""
    return f"/download/storage/v1/b/{BUCKET}/o/{quote(f'{model}/{name}', safe='')}?alt=media"


if __name__ == "__main__":
    with running(Path(sys.argv[1]).resolve(), Path(sys.argv[1]).resolve().parent / "run"):
        print("serving on", PORTS)
        while True:
            time.sleep(60)
