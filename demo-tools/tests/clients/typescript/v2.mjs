// `@modelcontextprotocol/client`: the second generation, both eras.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { main } from './scenario.mjs';

await main(async (session, era) => {
  const transport = new StreamableHTTPClientTransport(session.mcpUrl, { authProvider: session.provider, fetch: session.fetch });
  const client = new Client(
    { name: 'e2e-typescript-v2', version: '1.0.0' },
    { versionNegotiation: { mode: era === 'modern' ? 'auto' : 'legacy' } },
  );
  await client.connect(transport);
  return {
    client,
    UnauthorizedError,
    finish: callback => transport.finishAuth(callback.searchParams),
    protocolVersion: () => client.getNegotiatedProtocolVersion(),
  };
});
