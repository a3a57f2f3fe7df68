// The person at the browser: follows the authorization URL, signs in, allows. Everything it knows
// about the pages it reads from their HTML, so a page that a browser could not use fails here too.
import { parse } from 'node-html-parser';
import { CookieJar } from 'tough-cookie';

const MAX_HOPS = 12;

export class Browser {
  #jar = new CookieJar();
  #user;

  constructor(user) {
    this.#user = user;
  }

  /**
   * Walks from the authorization URL to the redirect URI; that last redirect is caught, not followed. The URL of a
   * request that was pushed does not say what the redirect URI is.
   */
  async authorize(authorizationUrl, redirectUri = authorizationUrl.searchParams.get('redirect_uri')) {
    const { end, pages } = await this.#walk(authorizationUrl, next => sameExceptQuery(next, redirectUri));
    return { callback: end, pages };
  }

  /** Types the code that a device shows and lets the device in, up to the redirect to the page that says so. */
  async connect(verificationUri, userCode) {
    return this.#walk(verificationUri, next => next.searchParams.has('done'), userCode);
  }

  async #walk(start, isEnd, userCode) {
    const pages = [];
    let request = { method: 'GET', url: start };
    for (let hop = 0; hop < MAX_HOPS; hop += 1) {
      const response = await this.#send(request);
      const location = response.headers.get('location');
      if (response.status >= 300 && response.status < 400 && location) {
        await response.body?.cancel();
        const next = new URL(location, request.url);
        if (isEnd(next)) return { end: next, pages };
        request = { method: 'GET', url: next };
        continue;
      }
      const html = await response.text();
      const page = parse(html);
      if (response.status !== 200) throw new Error(`${request.method} ${request.url} answered ${response.status}: ${page.text}`);
      const filled = this.#fill(page, request.url, userCode);
      pages.push({ kind: filled.kind, url: request.url.origin + request.url.pathname, text: page.text.replace(/\s+/g, ' ').trim() });
      request = filled.request;
    }
    throw new Error(`no end of the redirects from ${start} after ${MAX_HOPS} hops`);
  }

  async #send({ method, url, body }) {
    const cookie = await this.#jar.getCookieString(url.href);
    const response = await fetch(url, { method, body, redirect: 'manual', headers: cookie ? { cookie } : {} });
    for (const set of response.headers.getSetCookie()) await this.#jar.setCookie(set, url.href);
    return response;
  }

  #fill(page, base, userCode) {
    const having = selector => page.querySelectorAll('form').find(form => form.querySelector(selector));
    const code = userCode && having('input[name="user_code"]:not([type="hidden"])');
    if (code) return typed(code, userCode, base);
    const login = having('input[name="password"]');
    const form = login ?? having('[name="decision"][value="allow"]');
    if (!form) throw new Error(`no form to fill at ${base}: ${page.text}`);
    // what keeps people from letting in the device of somebody else
    const withMe = form.querySelector('input[type="checkbox"][name="with_me"]');
    const fields = new URLSearchParams();
    for (const input of form.querySelectorAll('input[type="hidden"]')) {
      fields.append(input.getAttribute('name'), input.getAttribute('value') ?? '');
    }
    if (login) {
      if (!form.querySelector('input[name="username"]')) throw new Error('the sign-in form has no `username` input');
      fields.append('username', this.#user.username);
      fields.append('password', this.#user.password);
    } else {
      for (const box of form.querySelectorAll('input[type="checkbox"]')) {
        if (box === withMe || box.hasAttribute('checked')) fields.append(box.getAttribute('name'), box.getAttribute('value') ?? 'on');
      }
      fields.append('decision', 'allow');
    }
    if ((form.getAttribute('method') ?? 'get').toLowerCase() !== 'post') throw new Error('a form with secrets must be posted');
    const url = new URL(form.getAttribute('action') || base, base);
    return { kind: login ? 'login' : withMe ? 'device' : 'consent', request: { method: 'POST', url, body: fields } };
  }
}

/** The form that asks for the code of a device. */
function typed(form, userCode, base) {
  if ((form.getAttribute('method') ?? 'get').toLowerCase() !== 'get') throw new Error('a code is looked up, not posted');
  const url = new URL(form.getAttribute('action') || base, base);
  url.search = new URLSearchParams({ user_code: userCode });
  return { kind: 'code', request: { method: 'GET', url } };
}

function sameExceptQuery(url, expected) {
  const wanted = new URL(expected);
  return url.origin === wanted.origin && url.pathname === wanted.pathname;
}
