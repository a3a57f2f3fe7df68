// `@modelcontextprotocol/sdk`: the first generation, handshake era only.
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { answers, capabilities, main } from './scenario.mjs';

await main(async (session, era) => {
  if (era !== 'legacy') throw new Error(`this SDK does not speak the ${era} era`);
  // This generation answers `insufficient_scope` by refreshing as long as it holds a refresh token,
  // although a refresh cannot widen a grant (RFC 6749 §6), and then gives up. An application has to
  // forget the refresh token to get the step-up that the challenge asks for.
  session.onResponse = entry => {
    if (entry.status === 403 && entry.challenge?.includes('insufficient_scope')) session.provider.forgetRefreshToken();
  };
  const transport = new StreamableHTTPClientTransport(session.mcpUrl, { authProvider: session.provider, fetch: session.fetch });
  const client = new Client(
    { name: 'e2e-typescript-v1', version: '1.0.0' },
    session.answers ? { capabilities } : undefined,
  );
  if (session.answers) {
    for (const schema of [CreateMessageRequestSchema, ElicitRequestSchema]) {
      client.setRequestHandler(schema, request => answers[request.method](request));
    }
  }
  await client.connect(transport);
  return {
    client,
    call: (params, options) => client.callTool(params, undefined, options),
    UnauthorizedError,
    finish: callback => transport.finishAuth(callback.searchParams.get('code')),
    protocolVersion: () => transport.protocolVersion,
  };
});
