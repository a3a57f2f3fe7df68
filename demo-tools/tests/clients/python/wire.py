"""Records what the SDK says on the wire, without ever putting a token or a code into the report."""

import hashlib
import json
from urllib.parse import parse_qs


def fingerprint(secret):
    return hashlib.sha256(secret.encode()).hexdigest()[:16] if secret else None


def recorder(log):
    async def on_response(response):
        request = response.request
        entry = {"method": request.method, "url": str(request.url).split("?")[0], "status": response.status_code}
        entry["authorized"] = "authorization" in request.headers
        entry["challenge"] = response.headers.get("www-authenticate")
        body = request.content if request.method == "POST" else b""
        form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        if form:
            fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            entry["grant_type"] = fields.get("grant_type")
            entry["resource"] = fields.get("resource")
            entry["refresh_sent"] = fingerprint(fields.get("refresh_token"))
            if response.is_success:
                tokens = json.loads(await response.aread())
                entry["tokens"] = {
                    "access": fingerprint(tokens.get("access_token")),
                    "refresh": fingerprint(tokens.get("refresh_token")),
                    "scope": tokens.get("scope"),
                    "expires_in": tokens.get("expires_in"),
                    "token_type": tokens.get("token_type"),
                }
        elif body:
            message = json.loads(body)
            entry["rpc"] = message.get("method")
            entry["name"] = (message.get("params") or {}).get("name")
            entry["redirect_uris"] = message.get("redirect_uris")
        log.append(entry)

    return on_response
