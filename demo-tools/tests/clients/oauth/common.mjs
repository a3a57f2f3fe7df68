// What the scripts share: the task on stdin, the report on stdout, the person at the browser.
import { createHash } from 'node:crypto';
import { Browser } from '../typescript/browser.mjs';

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** Runs `scenario` with the task and prints its report. */
export async function run(scenario) {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const report = await scenario(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  process.stdout.write(JSON.stringify(report));
}

/** A `fetch` that notes what was asked for and how it ended. */
export function recorder(wire) {
  return async (input, init = {}) => {
    const response = await fetch(input, init);
    const path = new URL(input).pathname;
    wire.push({ method: init.method ?? 'GET', path, status: response.status, proof: new Headers(init.headers).has('dpop') });
    return response;
  };
}

/** The user signs in and allows; the redirect back to the client, and what was seen on the way. */
export async function visit(task, url) {
  const { callback, pages } = await new Browser(task.user).authorize(url, task.redirect_uri);
  const seen = {
    sent: [...url.searchParams.keys()].sort(),
    pages: pages.map(page => page.kind),
    returned: [...callback.searchParams.keys()].sort(),
  };
  return { callback, seen };
}

/** The user types the code of a device, signed in by then, and lets it in; the pages that were seen, and what was said. */
export async function connect(task, { verification_uri, user_code }) {
  const { end, pages } = await new Browser(task.user).connect(new URL(verification_uri), user_code);
  return [...pages.map(page => page.kind), end.searchParams.get('done')];
}

/** The same redirect as somebody else would have sent it. */
export function withIssuer(callback, issuer) {
  const other = new URL(callback);
  if (issuer) other.searchParams.set('iss', issuer);
  else other.searchParams.delete('iss');
  return other;
}

/** Tokens without the secrets in them. */
export function tokens(answer) {
  return {
    token_type: answer.token_type,
    expires_in: answer.expires_in,
    scope: answer.scope,
    access: fingerprint(answer.access_token),
    header: part(answer.access_token, 0),
    claims: part(answer.access_token, 1),
    refresh: fingerprint(answer.refresh_token),
  };
}

/** Why it was refused; an error if it was not. */
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    // one of the two libraries says what it found in its cause
    const message = [error.message, error.cause?.message].filter(Boolean).join(': ');
    return { error: error.error ?? null, status: error.status ?? null, message };
  }
  throw new Error('nobody refused');
}

function fingerprint(secret) {
  return secret === undefined ? null : createHash('sha256').update(secret).digest('hex').slice(0, 16);
}

function part(jwt, index) {
  return JSON.parse(Buffer.from(jwt.split('.')[index], 'base64url').toString('utf8'));
}
