"""The person at the browser: follows the authorization URL, signs in, allows.

Everything it knows about the pages it reads from their HTML, so a page that a browser could not use
fails here too.
"""

from urllib.parse import parse_qs, urljoin, urlsplit

from bs4 import BeautifulSoup

MAX_HOPS = 12


class Browser:
    def __init__(self, httpx, user):
        # httpx keeps the cookie jar; redirects are followed by hand, so that the last one can be caught
        self._http = httpx.AsyncClient(follow_redirects=False, timeout=30)
        self._user = user

    async def authorize(self, authorization_url):
        """Walks from the authorization URL to the redirect URI; gives its parameters and the pages seen."""
        redirect_uri = single(authorization_url)["redirect_uri"]
        pages = []
        url, response = authorization_url, await self._http.get(authorization_url)
        for _ in range(MAX_HOPS):
            if response.is_redirect:
                url = urljoin(url, response.headers["location"])
                if url.split("?")[0] == redirect_uri:
                    return single(url), pages
                response = await self._http.get(url)
                continue
            page = BeautifulSoup(response.text, "html.parser")
            text = " ".join(page.get_text(" ").split())
            if response.status_code != 200:
                raise RuntimeError(f"{url} answered {response.status_code}: {text}")
            kind, action, fields = self._fill(page)
            pages.append({"kind": kind, "url": url.split("?")[0], "text": text})
            url = urljoin(url, action or url)
            response = await self._http.post(url, data=fields)
        raise RuntimeError(f"no redirect to {redirect_uri} after {MAX_HOPS} hops")

    def _fill(self, page):
        login = next((f for f in page.find_all("form") if f.find("input", {"name": "password"})), None)
        consent = next(
            (f for f in page.find_all("form") if f.find(attrs={"name": "decision", "value": "allow"})), None
        )
        form = login or consent
        if form is None:
            raise RuntimeError(f"neither a sign-in nor a consent form: {page.get_text(' ')}")
        if form.get("method", "get").lower() != "post":
            raise RuntimeError("a form with secrets must be posted")
        fields = {i["name"]: i.get("value", "") for i in form.find_all("input", {"type": "hidden"})}
        if login:
            if not form.find("input", {"name": "username"}):
                raise RuntimeError("the sign-in form has no `username` input")
            fields |= {"username": self._user["username"], "password": self._user["password"]}
        else:
            boxes = [b for b in form.find_all("input", {"type": "checkbox"}) if b.has_attr("checked")]
            for name in {b["name"] for b in boxes}:
                fields[name] = [b.get("value", "on") for b in boxes if b["name"] == name]
            fields["decision"] = "allow"
        return ("login" if login else "consent"), form.get("action"), fields

    async def close(self):
        await self._http.aclose()


def single(url):
    """The query of a URL whose parameters must each appear once."""
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    repeated = [name for name, values in query.items() if len(values) > 1]
    if repeated:
        raise RuntimeError(f"repeated parameters {repeated} in {url.split('?')[0]}")
    return {name: values[0] for name, values in query.items()}
