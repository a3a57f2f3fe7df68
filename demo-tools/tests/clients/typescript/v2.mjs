// `@modelcontextprotocol/client`: the second generation, both eras.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { answers, capabilities, main } from './scenario.mjs';

await main(async (session, era) => {
  const transport = new StreamableHTTPClientTransport(session.mcpUrl, { authProvider: session.provider, fetch: session.fetch });
  const client = new Client(
    { name: 'e2e-typescript-v2', version: '1.0.0' },
    {
      versionNegotiation: { mode: era === 'modern' ? 'auto' : 'legacy' },
      ...(session.answers ? { capabilities } : {}),
    },
  );
  if (session.answers) {
    for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, answer);
  }
  await client.connect(transport);
  return {
    client,
    call: (params, options) => client.callTool(params, options),
    UnauthorizedError,
    finish: callback => transport.finishAuth(callback.searchParams),
    protocolVersion: () => client.getNegotiatedProtocolVersion(),
  };
});
