// What every client does, whichever SDK speaks. Reads one JSON object from stdin:
//   {"mcp_url", "era": "legacy" | "modern", "scenario": "full" | "refresh" | "sign_in" | "calls",
//    "redirect_uri", "client_metadata_url"?, "users": [{"username", "password"}],
//    "calls"?: [{"tool", "arguments", "until"?}], "answers"?: bool}
// and prints one JSON report; the assertions are the caller's.
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Browser } from './browser.mjs';
import { MemoryProvider } from './provider.mjs';
import { recorder } from './wire.mjs';

/**
 * `open(session, era)` gives `{ client, call(params, options), finish(callback), UnauthorizedError, protocolVersion() }`:
 * a connected client of the SDK under test whose transport uses `session.provider` and `session.fetch`, and which, where
 * `session.answers`, has the capabilities of `capabilities` and answers as `answers` says.
 */
export const capabilities = { sampling: {}, elicitation: {} };

/** What a client says that is asked something by a server, by the method. */
export const answers = {
  'sampling/createMessage': ({ params }) => ({
    role: 'assistant',
    model: 'none',
    content: { type: 'text', text: `sampled: ${params.messages[0].content.text}` },
  }),
  'elicitation/create': () => ({ action: 'accept', content: { name: 'Alex' } }),
};

export async function main(open) {
  const input = JSON.parse(await readStdin());
  const report = { node: process.version, people: [] };
  const scenario = { full, refresh, sign_in: signIn, calls }[input.scenario];
  if (!scenario) throw new Error(`unknown scenario ${input.scenario}`);
  for (const user of input.users) {
    const person = { username: user.username, wire: [], authorizations: [], steps: {} };
    report.people.push(person);
    const session = new Session(input, user, person);
    const opened = await open(session, input.era);
    session.opened = opened;
    person.protocol_version = opened.protocolVersion();
    await scenario(session, person.steps, report.people.length === 1, input);
    await opened.client.close();
  }
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

class Session {
  constructor(input, user, person) {
    this.mcpUrl = new URL(input.mcp_url);
    this.provider = new MemoryProvider(input.redirect_uri, input.client_metadata_url);
    this.browser = new Browser(user);
    this.person = person;
    this.answers = input.answers === true;
    this.fetch = recorder(person.wire, entry => this.onResponse?.(entry));
  }

  /** Calls a tool; when the SDK asks for the browser, plays the browser and calls again. */
  async call(name, args = {}, options = undefined) {
    const { call, UnauthorizedError } = this.opened;
    try {
      return await call({ name, arguments: args }, options);
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      await this.#authorize();
      return await call({ name, arguments: args }, options);
    }
  }

  /** Calls a tool that never ends, cancels that once it has begun, and waits for the file that it leaves behind. */
  async cancelled(name, args, until) {
    const controller = new AbortController();
    const options = { onprogress: () => controller.abort('the test cancels'), signal: controller.signal };
    const outcome = await this.call(name, args, options).then(() => 'answered', () => 'cancelled');
    while (!existsSync(until)) await pause(20);
    return outcome;
  }

  async #authorize() {
    const url = this.provider.authorizationUrl;
    const { callback, pages } = await this.browser.authorize(url);
    this.provider.checkState(callback);
    this.person.authorizations.push({
      endpoint: url.origin + url.pathname,
      client_id: url.searchParams.get('client_id'),
      scope: url.searchParams.get('scope'),
      resource: url.searchParams.get('resource'),
      challenge_method: url.searchParams.get('code_challenge_method'),
      iss: callback.searchParams.get('iss'),
      pages,
    });
    await this.opened.finish(callback);
  }
}

async function full(session, steps, isFirst) {
  steps.tools_anonymous = (await session.opened.client.listTools()).tools;
  steps.auth_show_anonymous = await session.call('auth_show');
  steps.teaser_anonymous = await session.call('notes_teaser');
  steps.authorizations_before = session.person.authorizations.length;
  steps.list_first = await session.call('notes_list');
  if (!isFirst) return;
  steps.tools_signed_in = (await session.opened.client.listTools()).tools;
  steps.auth_show = await session.call('auth_show');
  steps.echo = await session.call('echo', { text: 'grüße, 世界' });
  steps.add = await session.call('notes_add', { text: 'buy milk' });
  steps.list = await session.call('notes_list');
  steps.teaser = await session.call('notes_teaser');
  steps.whoami = await session.call('auth_whoami');
}

async function refresh(session, steps) {
  await session.call('notes_list');
  steps.after = [];
  for (let round = 0; round < 2; round += 1) {
    const expiry = session.provider.accessTokenExpiry;
    while (Date.now() < expiry * 1000) await pause(50);
    await session.call('notes_list');
    steps.after.push({ expired_at: expiry, expires_at: session.provider.accessTokenExpiry });
  }
}

async function signIn(session, steps) {
  steps.whoami = await session.call('auth_whoami');
}

async function calls(session, steps, _isFirst, { calls: wanted }) {
  steps.tools = (await session.opened.client.listTools()).tools;
  steps.results = [];
  steps.progress = [];
  for (const { tool, arguments: given, until } of wanted) {
    const progress = [];
    const options = { onprogress: told => progress.push(told.progress) };
    steps.results.push(
      until ? await session.cancelled(tool, given, until) : await session.call(tool, given, options),
    );
    steps.progress.push(progress);
  }
}

async function readStdin() {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  return text;
}
