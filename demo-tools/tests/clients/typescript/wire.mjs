// Records what the SDK says on the wire, without ever putting a token or a code into the report.
import { createHash } from 'node:crypto';

const fingerprint = secret => (secret === undefined ? null : createHash('sha256').update(secret).digest('hex').slice(0, 16));

/** Wraps `fetch`; `onResponse` sees each finished exchange before the SDK does. */
export function recorder(log, onResponse = () => {}) {
  return async (input, init = {}) => {
    const url = new URL(typeof input === 'string' || input instanceof URL ? input : input.url);
    const entry = { method: (init.method ?? 'GET').toUpperCase(), url: url.origin + url.pathname };
    const body = init.body === undefined || init.body === null ? '' : String(init.body);
    const form = new Headers(init.headers).get('content-type')?.startsWith('application/x-www-form-urlencoded');
    if (form) {
      const fields = new URLSearchParams(body);
      entry.grant_type = fields.get('grant_type');
      entry.resource = fields.get('resource');
      entry.refresh_sent = fingerprint(fields.get('refresh_token') ?? undefined);
    } else if (body) {
      const message = JSON.parse(body);
      entry.rpc = message.method ?? null;
      entry.name = message.params?.name ?? null;
      entry.redirect_uris = message.redirect_uris;
    }
    entry.authorized = new Headers(init.headers).has('authorization');
    const response = await fetch(input, init);
    entry.status = response.status;
    entry.challenge = response.headers.get('www-authenticate');
    if (form && response.ok) {
      const tokens = await response.clone().json();
      entry.tokens = {
        access: fingerprint(tokens.access_token),
        refresh: fingerprint(tokens.refresh_token),
        scope: tokens.scope ?? null,
        expires_in: tokens.expires_in ?? null,
        token_type: tokens.token_type,
      };
    }
    log.push(entry);
    onResponse(entry);
    return response;
  };
}
