"""Authlib, as a public client and as one with a secret.

Reads one JSON object from stdin:
  {"issuer", "resource", "redirect_uri", "user": {"username", "password"},
   "public": {"id"}, "service": {"id", "secret"}}
and prints one JSON report; the assertions are the caller's.
"""

import asyncio
import base64
import hashlib
import json
import sys
from pathlib import Path

import httpx2
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
from browser import Browser  # noqa: E402  the person at the browser is the same as for the other clients


class Session:
    def __init__(self, task):
        self.task = task
        self.browser = Browser(httpx2, task["user"])

    def client(self, who, **more):
        return AsyncOAuth2Client(
            who["id"],
            who.get("secret"),
            redirect_uri=self.task["redirect_uri"],
            code_challenge_method="S256",
            timeout=60,
            **more,
        )

    async def discover(self):
        async with httpx2.AsyncClient(timeout=60) as http:
            issuer = self.task["issuer"]
            self.metadata = (await http.get(f"{issuer}/.well-known/openid-configuration")).raise_for_status().json()
            self.keys = KeySet.import_key_set((await http.get(self.metadata["jwks_uri"])).raise_for_status().json())

    async def sign_in(self, client, **asked):
        """The authorization code flow with PKCE; the tokens, and what was seen on the way."""
        verifier = generate_token(48)
        url, state = client.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=verifier, resource=self.task["resource"], **asked
        )
        parameters, pages = await self.browser.authorize(url)
        answer = str(httpx2.URL(self.task["redirect_uri"], params=parameters))
        token = await client.fetch_token(
            self.metadata["token_endpoint"],
            authorization_response=answer,
            state=state,
            code_verifier=verifier,
            resource=self.task["resource"],
        )
        seen = {"pages": [page["kind"] for page in pages], "iss": parameters.get("iss"), "tokens": summary(token)}
        return token, seen

    def id_token(self, token, client, nonce):
        """The claims, after the library has found the token good."""
        decoded = jwt.decode(token["id_token"], self.keys, algorithms=["ES256"])
        options = {"iss": {"value": self.metadata["issuer"]}, "aud": {"value": client.client_id}}
        params = {"nonce": nonce, "client_id": client.client_id, "access_token": token["access_token"]}
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        claims.validate()
        return dict(claims)


async def public(session):
    async with session.client(session.task["public"], scope="openid notes:read") as client:
        nonce = generate_token(20)
        token, seen = await session.sign_in(client, nonce=nonce)
        report = {**seen, "nonce": nonce, "id_token": session.id_token(token, client, nonce)}
        answer = await client.get(session.metadata["userinfo_endpoint"])
        report["userinfo"] = answer.raise_for_status().json()
        again = await client.refresh_token(session.metadata["token_endpoint"], refresh_token=token["refresh_token"])
        report["refreshed"] = summary(again)
        revoked = await client.revoke_token(session.metadata["revocation_endpoint"], token=again["refresh_token"])
        report["revoked"] = revoked.status_code
        report["after_revocation"] = await refusal(
            client.refresh_token(session.metadata["token_endpoint"], refresh_token=again["refresh_token"])
        )
        return report


async def confidential(session, method):
    async with session.client(
        session.task["service"],
        scope="notes:read notes:write",
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
    ) as client:
        token, report = await session.sign_in(client)
        endpoint = session.metadata["introspection_endpoint"]
        report["introspected"] = (await client.introspect_token(endpoint, token=token["access_token"])).json()
        await client.revoke_token(session.metadata["revocation_endpoint"], token=token["access_token"])
        report["after_revocation"] = (await client.introspect_token(endpoint, token=token["access_token"])).json()
    # by itself, with the scopes that are its own
    async with session.client(session.task["service"], token_endpoint_auth_method=method) as client:
        endpoint = session.metadata["token_endpoint"]
        own = await client.fetch_token(endpoint, grant_type="client_credentials", scope="notes:read")
        report["own"] = summary(own)
        report["beyond_its_own"] = await refusal(
            client.fetch_token(endpoint, grant_type="client_credentials", scope="notes:write")
        )
    wrong = {**session.task["service"], "secret": "wrong"}
    async with session.client(wrong, token_endpoint_auth_method=method) as client:
        report["wrong_secret"] = await refusal(client.fetch_token(endpoint, grant_type="client_credentials"))
    return report


def summary(token):
    """Tokens without the secrets in them."""
    header, claims, _signature = token["access_token"].split(".")
    return {
        "token_type": token["token_type"],
        "scope": token.get("scope"),
        "expires_in": token["expires_in"],
        "header": json.loads(unpadded(header)),
        "claims": json.loads(unpadded(claims)),
        "refresh": fingerprint(token["refresh_token"]) if "refresh_token" in token else None,
    }


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def fingerprint(secret):
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


async def refusal(request):
    """Why it was refused; an error if it was not."""
    try:
        await request
    except OAuthError as error:
        return error.error
    raise RuntimeError("nobody refused")


async def main():
    session = Session(json.load(sys.stdin))
    await session.discover()
    report = {
        "public": await public(session),
        "basic": await confidential(session, "client_secret_basic"),
        "post": await confidential(session, "client_secret_post"),
    }
    await session.browser.close()
    json.dump(report, sys.stdout)


asyncio.run(main())
